"""What the machine is told: events, stored rows, options. Read on in ``machine``."""

from collections.abc import Mapping

import msgspec

from beamhall.pipelines.engine.decisions import State
from beamhall.pipelines.engine.values import Outputs


class Finished(msgspec.Struct, frozen=True):
    """A started task has ended: SUCCEEDED, FAILED or CANCELED. Told twice, it counts once.

    Attributes:
        path: Its path.
        state: How it ended.
        outputs: What it gave, if it succeeded; parameters of the declared types.
        error: What people should read, if it did not succeed.
        cached: Whether the outputs are those of an earlier run.
    """

    path: str
    state: State
    outputs: Outputs | None = None
    error: str = ""
    cached: bool = False


class CancelAsked(msgspec.Struct, frozen=True):
    """The run shall end now. What runs is stopped, nothing starts but exit tasks."""


Event = Finished | CancelAsked


class Row(msgspec.Struct, frozen=True):
    """What was stored of a task of any kind.

    Attributes:
        path: Its path.
        state: Its last state.
        outputs: What it gave, if it has succeeded.
        error: Why it failed, as it was told or noted.
    """

    path: str
    state: State
    outputs: Outputs | None = None
    error: str = ""


class Options(msgspec.Struct, frozen=True):
    """How a run is executed.

    Attributes:
        fail_fast: After a failure, a DAG starts no new tasks but those that run whatever happened (as KFP's backend).
        final_status_state: What a final status calls success: ``SUCCEEDED`` (the documentation) or ``COMPLETE`` (the
            state that KFP's backend gives).
        job: What placeholders of the job mean in constants, by field (``spec.placeholders.JOB_FIELDS``). Those that
            are absent stay, for the step to fill in. Final statuses hold ``pipeline_job_resource_name``.
        loop_window: How many iterations of loops are alive at most, nested ones together, at least 1; a loop inside a
            loop has always 1.
    """

    fail_fast: bool = True
    final_status_state: str = "SUCCEEDED"
    job: Mapping[str, str] = msgspec.field(default_factory=dict)
    loop_window: int = 256
