"""How decisions of the engine become rows, and rows become what the engine knows. Pure. Read on in ``batch``."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from beamhall.history.records import Artifact, ArtifactTask, Moment, RunEvent, Task, task_id
from beamhall.pipelines.engine.decisions import Kind, Note, Start, State
from beamhall.pipelines.engine.events import Row
from beamhall.pipelines.engine.rows import parent_of
from beamhall.pipelines.engine.values import ArtifactRef, Inputs, Outputs
from beamhall.pipelines.steps.metrics import metrics_of

MAX_ERROR = 8192
"""How many characters of an error are kept; the end is kept too, since a log's last lines are there."""

ATTEMPTS = 1000
"""Attempts that a task may have in one go: a retried run counts on from the next thousand; none is met twice."""

SECOND = 1_000_000
"""Microseconds, which is what moments are."""

_ARTIFACTS = uuid.UUID("0b1fd1c2-45a3-4c0c-9c0c-54b3c6a6f0d4")
_LINKS = uuid.UUID("7b8a2c36-9b0e-4a9e-8f61-2b0f2f0b7a55")


class OfRun(msgspec.Struct, frozen=True):
    """What all rows of a run have."""

    namespace: str
    run_id: str


def moment_of(when: datetime) -> Moment:
    """Give a time as the history has it."""
    return int(when.timestamp() * SECOND)


def time_of(moment: Moment) -> datetime:
    """Give a moment of the history as a time."""
    return datetime.fromtimestamp(moment / SECOND, UTC)


def bounded(error: str) -> str:
    """Give an error as it can be kept: not too long (its beginning and its end), and without NULs."""
    error = error.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if len(error) <= MAX_ERROR:
        return error
    half = MAX_ERROR // 2
    return f"{error[:half]}\n[…]\n{error[-half:]}"


def task_name(path: str) -> str:
    """Give the name of the task at a path: ``train`` of ``/loop[3]/train``, ``loop`` of ``/loop[3]``."""
    return path.rsplit("/", 1)[-1].partition("[")[0]


def started_record(of: OfRun, start: Start, now: Moment, attempt: int) -> Task:
    """Give the row of a task that is to be executed, before it is."""
    name = task_name(start.path)
    return Task(
        id=task_id(of.run_id, start.path),
        namespace=of.namespace,
        run_id=of.run_id,
        path=start.path,
        name=name,
        display_name=start.task.task_info.name or name,
        created_at=now,
        type=Kind.RUNTIME.value,
        parent_id=_parent_id(of, start.path),
        iteration=start.iteration or 0,
        attempt=attempt,
        inputs=values_of(start.inputs),
        state_history=[{"update_time": now, "state": State.PENDING.value}],
    )


def noted_record(of: OfRun, note: Note, now: Moment, before: Task | None) -> Task:
    """Give the row of something that needs no executor, after the one that it had before."""
    found = before or Task(
        id=task_id(of.run_id, note.path),
        namespace=of.namespace,
        run_id=of.run_id,
        path=note.path,
        name=note.name or task_name(note.path),
        created_at=now,
        parent_id=_parent_id(of, note.path),
    )
    fields: dict[str, Any] = {"type": note.kind.value, "error": bounded(note.error)}
    if note.inputs is not None:
        fields["inputs"] = values_of(note.inputs)
    if note.outputs is not None:
        fields["outputs"] = values_of(note.outputs)
    if note.iterations is not None or note.iteration is not None:
        fields["iteration"] = note.iterations if note.iterations is not None else note.iteration
    return in_state(msgspec.structs.replace(found, **fields), note.state, now)


def in_state(task: Task, state: State, now: Moment, **fields: Any) -> Task:
    """Give a row with another state, and what follows from it: times, history."""
    entry: dict[str, Any] = {"update_time": now, "state": state.value}
    if error := fields.get("error"):
        entry["error"] = error
    fields["state_history"] = [*task.state_history, entry]
    if state is State.RUNNING and not task.started_at:
        fields["started_at"] = now
    if state.is_final:
        fields["finished_at"] = now
    return msgspec.structs.replace(task, state=state.value, **fields)


def row_of(task: Task) -> Row:
    """Give a row as the engine has it."""
    state = State(task.state)
    outputs = msgspec.convert(task.outputs, Outputs) if state is State.SUCCEEDED else None
    return Row(task.path, state, outputs, task.error)


def task_event(task: Task, now: Moment) -> RunEvent:
    """Give the event that tells followers of a task."""
    data = {
        "id": task.id,
        "name": task.display_name or task.name,
        "state": task.state,
        "type": task.type,
        "parent": parent_of(task.path),
        "cached": task.cached,
        "started_at": task.started_at,
        "finished_at": task.finished_at,
        "error": task.error,
    }
    if task.type in (Kind.LOOP, Kind.ITERATION):
        data["iteration"] = task.iteration
    return RunEvent(
        namespace=task.namespace, run_id=task.run_id, kind="task", created_at=now, path=task.path, data=data
    )  # fmt: skip


def identified(outputs: Outputs, task: Task) -> Outputs:
    """Give outputs whose artifacts have ids: the same whenever the same attempt gives them again."""
    if not outputs.artifacts:
        return outputs
    found = {
        name: [
            ref if ref.id else msgspec.structs.replace(ref, id=_artifact_id(task, name, place))
            for place, ref in enumerate(refs)
        ]
        for name, refs in outputs.artifacts.items()
    }
    return Outputs(outputs.parameters, found)


def new_refs(before: Outputs, after: Outputs) -> Sequence[tuple[str, ArtifactRef]]:
    """Give the artifacts that had no id before, each with the output that it is."""
    return [
        (name, ref)
        for name, refs in after.artifacts.items()
        for old, ref in zip(before.artifacts[name], refs, strict=True)
        if not old.id
    ]


def artifact_records(
    ref: ArtifactRef, task: Task, key: str, now: Moment
) -> Sequence[tuple[Artifact, ArtifactTask | None]]:
    """Give the row of an artifact that is new, and one for each number that it tells, with who made it."""
    of: dict[str, Any] = {"namespace": task.namespace, "type": ref.type.title, "created_at": now}
    found: list[tuple[Artifact, ArtifactTask | None]] = [
        (Artifact(id=ref.id, name=ref.name, uri=ref.uri, metadata=ref.metadata, **of), None)
    ]
    for place, (name, number) in enumerate(metrics_of(ref).items()):
        metric = Artifact(id=str(uuid.uuid5(_ARTIFACTS, f"{ref.id}\n{name}")), name=name, number_value=number, **of)
        found.append((metric, _link(task, "OUTPUT", f"{key}.{name}", place, metric.id)))
    return found


def output_links(task: Task, outputs: Outputs) -> Sequence[ArtifactTask]:
    """Say which artifacts a task made."""
    return [
        _link(task, "OUTPUT", name, place, ref.id)
        for name, refs in outputs.artifacts.items()
        for place, ref in enumerate(refs)
    ]


def input_links(task: Task, start: Start) -> Sequence[ArtifactTask]:
    """Say which artifacts a task uses, and where it has them from."""
    found = []
    for name, refs in start.inputs.artifacts.items():
        source = start.task.inputs.artifacts.get(name)
        made = source.task_output_artifact if source is not None else None
        producer = (made.producer_task, made.output_artifact_key) if made is not None else ("", "")
        found += [_link(task, "INPUT", name, place, ref.id, producer) for place, ref in enumerate(refs) if ref.id]
    return found


def _link(
    task: Task, kind: str, key: str, place: int, artifact_id: str, producer: tuple[str, str] = ("", "")
) -> ArtifactTask:
    return ArtifactTask(
        id=str(uuid.uuid5(_LINKS, f"{task.id}\n{kind}\n{key}\n{place}")),
        namespace=task.namespace,
        artifact_id=artifact_id,
        task_id=task.id,
        run_id=task.run_id,
        type=kind,
        key=key,
        position=place,
        producer_task=producer[0],
        producer_key=producer[1],
    )


def _artifact_id(task: Task, name: str, place: int) -> str:
    return str(uuid.uuid5(_ARTIFACTS, f"{task.id}\n{task.attempt}\n{name}\n{place}"))


def _parent_id(of: OfRun, path: str) -> str:
    parent = parent_of(path)
    return "" if parent is None else task_id(of.run_id, parent)


def values_of(given: Inputs | Outputs) -> Mapping[str, Any]:
    """Give parameters and artifacts as JSON has them; what is empty is absent."""
    found: dict[str, Any] = {}
    if given.parameters:
        found["parameters"] = given.parameters
    if given.artifacts:
        found["artifacts"] = {
            name: [msgspec.to_builtins(ref) for ref in refs] for name, refs in given.artifacts.items()
        }
    return found
