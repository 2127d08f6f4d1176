"""What is kept, one plain struct a table; a table has exactly the fields of its struct, in this order.

Moments are microseconds since 1970 in UTC; 0 stands for "not yet", so that everything that lists are sorted by has a
value. Fields that can be large come last, because a database then need not read them to filter. Knows no SQL; read
``tables`` for keys and indexes.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

Moment = Annotated[int, "moment"]
"""Microseconds since 1970-01-01T00:00:00Z; 0: not yet, or never."""

JsonObject = Mapping[str, Any]
JsonArray = Sequence[Any]


class AnyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A row; its key is ``id``."""

    namespace: str


class Record(AnyRecord, frozen=True, kw_only=True):
    """A row with an id that whoever makes it gives."""

    id: str


class Experiment(Record, frozen=True, kw_only=True):
    """A group of runs; its name is unique in its namespace."""

    display_name: str
    created_at: Moment
    storage_state: str = "AVAILABLE"
    last_run_created_at: Moment = 0
    description: str = ""


class Pipeline(Record, frozen=True, kw_only=True):
    """A pipeline that has versions; its name is unique in its namespace."""

    name: str
    display_name: str
    created_at: Moment
    description: str = ""
    tags: JsonObject = {}


class PipelineVersion(Record, frozen=True, kw_only=True):
    """One version of a pipeline; its name is unique in the pipeline. ``spec_digest`` names its ``Specification``."""

    pipeline_id: str
    name: str
    display_name: str
    created_at: Moment
    spec_digest: str
    package_url: str = ""
    code_source_url: str = ""
    status: str = ""
    description: str = ""
    error: str = ""
    tags: JsonObject = {}


class Specification(Record, frozen=True, kw_only=True):
    """A pipeline's document as JSON text, kept once however many versions and runs use it; ``id`` is its digest."""

    body: str


class Run(Record, frozen=True, kw_only=True):
    """A run with the summary that lists show.

    Attributes:
        state: A ``RuntimeState`` of KFP, such as ``PENDING``.
        asked: What a user wants of it that was not begun yet: ``""``, ``TERMINATE`` or ``RETRY``.
        pipeline_version_id: Set where it was made from a version; ``spec_digest`` names what it runs in any case.
        tasks: How many tasks are in which state, by state.
        state_history: ``{"update_time": moment, "state": ..., "error"?: ...}``, oldest first.
    """

    experiment_id: str
    display_name: str
    created_at: Moment
    state: str = "PENDING"
    asked: str = ""
    storage_state: str = "AVAILABLE"
    scheduled_at: Moment = 0
    started_at: Moment = 0
    finished_at: Moment = 0
    recurring_run_id: str = ""
    pipeline_name: str = ""
    pipeline_id: str = ""
    pipeline_version_id: str = ""
    spec_digest: str = ""
    service_account: str = ""
    pipeline_root: str = ""
    error_code: int = 0
    error: str = ""
    description: str = ""
    tasks: JsonObject = {}
    state_history: JsonArray = []
    parameters: JsonObject = {}
    plugins: JsonObject = {}


class Task(Record, frozen=True, kw_only=True):
    """A task of a run: a step, or a DAG, loop, iteration, condition or exit handler around others.

    Attributes:
        path: Where it stands in the run, such as ``/for-loop-1[3]/train``; ``id`` is ``task_id(run_id, path)``.
        type: A ``TaskType`` of KFP 3.0, such as ``RUNTIME`` or ``LOOP_ITERATION``.
        cached: Its outputs were taken from an earlier task.
        fingerprint: What it would be found by in the cache; empty: not at all.
        iteration: Its index for a ``LOOP_ITERATION``, the number of them for a ``LOOP``.
        attempt: How often it was begun again.
        pods: ``{"name", "uid", "type"}`` of each Pod that ran it.
        inputs: ``parameters`` and ``artifacts`` as they were resolved.
    """

    run_id: str
    path: str
    name: str
    created_at: Moment
    type: str = "RUNTIME"
    state: str = "PENDING"
    parent_id: str = ""
    display_name: str = ""
    cached: bool = False
    fingerprint: str = ""
    iteration: int = 0
    attempt: int = 0
    started_at: Moment = 0
    finished_at: Moment = 0
    error_code: int = 0
    error: str = ""
    pods: JsonArray = []
    state_history: JsonArray = []
    inputs: JsonObject = {}
    outputs: JsonObject = {}


class Artifact(Record, frozen=True, kw_only=True):
    """Something that a task made or an importer named. A scalar metric has ``number_value`` and no ``uri``."""

    name: str
    type: str
    created_at: Moment
    uri: str = ""
    number_value: float | None = None
    description: str = ""
    metadata: JsonObject = {}


class ArtifactTask(Record, frozen=True, kw_only=True):
    """Lineage: a task made an artifact (``OUTPUT``) or used it (``INPUT``), as the parameter ``key``.

    Attributes:
        position: Its place where the parameter is a list.
        producer_task: For an input, the name of the task that it came from, and ``producer_key`` its output there.
    """

    artifact_id: str
    task_id: str
    run_id: str
    type: str
    key: str
    position: int = 0
    producer_task: str = ""
    producer_key: str = ""


class RecurringRun(Record, frozen=True, kw_only=True):
    """A schedule that makes runs.

    Attributes:
        status: ``ENABLED`` or ``DISABLED``.
        interval_s: Seconds between runs; 0: ``cron`` says when.
        time_zone: Of ``cron``, as IANA names it; empty: the service's.
        next_at: The first scheduled time that is not done; 0: there is none.
        last_at: Up to when scheduled times are done: the last one that was, or when the trigger was changed after it.
        count: How many runs it made.
    """

    experiment_id: str
    display_name: str
    created_at: Moment
    updated_at: Moment
    status: str = "ENABLED"
    cron: str = ""
    time_zone: str = ""
    interval_s: int = 0
    start_at: Moment = 0
    end_at: Moment = 0
    no_catchup: bool = False
    max_concurrency: int = 1
    next_at: Moment = 0
    last_at: Moment = 0
    count: int = 0
    pipeline_id: str = ""
    pipeline_version_id: str = ""
    spec_digest: str = ""
    service_account: str = ""
    pipeline_root: str = ""
    description: str = ""
    error: str = ""
    parameters: JsonObject = {}
    plugins: JsonObject = {}


class RunEvent(AnyRecord, frozen=True, kw_only=True):
    """Something that happened to a run, for those who follow it. ``id`` is given by the database, and only grows."""

    run_id: str
    kind: str
    created_at: Moment
    path: str = ""
    data: JsonObject = {}
    id: int = 0


_TASKS = uuid.UUID("6a1f0f0e-6f0a-4d55-9d0e-1c8a0a0c7d11")


def task_id(run_id: str, path: str) -> str:
    """Give the id of the task at a path of a run: always the same, so that nothing can make a task twice."""
    return str(uuid.uuid5(_TASKS, f"{run_id}\n{path}"))
