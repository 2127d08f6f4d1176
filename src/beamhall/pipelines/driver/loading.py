"""How a run is taken out of the history: what it is, its rows, and for a retry without those that no longer count.

Functions of one transaction. Read on in ``carrier``.
"""

from collections.abc import Sequence

import msgspec

from beamhall.history.protocol import Reading, Writing
from beamhall.history.queries import Order, Where
from beamhall.history.records import ArtifactTask, Moment, Run, Task, task_id
from beamhall.pipelines.driver.records import row_of
from beamhall.pipelines.engine.decisions import State
from beamhall.pipelines.engine.retrying import stale
from beamhall.pipelines.runs import NOT_ENDED
from beamhall.pipelines.spec.ir import Pipeline

TERMINATE, RETRY = "TERMINATE", "RETRY"
"""What users ask of a run (``Run.asked``)."""

_AT_ONCE = 500


class Loaded(msgspec.Struct, frozen=True):
    """A run as it is stored, with its tasks."""

    run: Run
    tasks: Sequence[Task]


def wanting(tx: Reading, limit: int) -> tuple[Sequence[str], Sequence[str]]:
    """Give the ids of the runs that want to be carried: those that had begun, and those that had not; oldest first."""
    oldest = Order("created_at")
    begun = tx.find(Run, Where("state", "in", [one for one in NOT_ENDED if one != "PENDING"]), order=oldest)
    fresh = tx.find(Run, Where("state", "=", "PENDING"), order=oldest, limit=limit)
    return [run.id for run in begun], [run.id for run in fresh]


def loaded(tx: Reading, run_id: str) -> Loaded | None:
    """Give a run with its tasks; None if it is gone."""
    run = tx.get(Run, run_id)
    if run is None:
        return None
    return Loaded(run, tx.find(Task, Where("run_id", "=", run_id)))


def retried(tx: Writing, run_id: str, pipeline: Pipeline) -> Loaded | None:
    """Remove what a retry does again, and give the run with what is left; None if it is gone."""
    found = loaded(tx, run_id)
    if found is None or found.run.asked != RETRY:
        return found
    gone = stale(pipeline, [row_of(task) for task in found.tasks])
    ids = [task_id(run_id, path) for path in gone]
    for first in range(0, len(ids), _AT_ONCE):
        some = ids[first : first + _AT_ONCE]
        tx.remove(ArtifactTask, Where("task_id", "in", some))
        tx.remove(Task, Where("id", "in", some))
    tx.change(Run, Where("id", "=", run_id), asked="", state=State.PENDING.value, finished_at=0)
    dropped = set(gone)
    return Loaded(
        msgspec.structs.replace(found.run, asked="", state=State.PENDING.value, finished_at=0),
        [task for task in found.tasks if task.path not in dropped],
    )


def failed(tx: Writing, run_id: str, error: str, now: Moment) -> None:
    """End a run that cannot be carried, with what is wrong."""
    run = tx.get(Run, run_id)
    if run is None:
        return
    entry = {"update_time": now, "state": State.FAILED.value, "error": error}
    open_ = [Where("run_id", "=", run_id), Where("state", "in", [State.PENDING.value, State.RUNNING.value])]
    tx.change(Task, *open_, state=State.CANCELED.value, finished_at=now, error="the run could not be carried on")
    tx.change(
        Run, Where("id", "=", run_id), state=State.FAILED.value, asked="", error=error, error_code=3, finished_at=now,
        state_history=[*run.state_history, entry],
    )  # fmt: skip


def generation_of(run: Run) -> int:
    """Tell how often a run was retried: each time it was PENDING again."""
    pending = [entry for entry in run.state_history if entry.get("state") == State.PENDING.value]
    return max(0, len(pending) - 1)
