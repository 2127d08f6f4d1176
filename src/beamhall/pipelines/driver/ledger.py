"""The rows of one run: what the carrier decides becomes rows here, gathered into the next batch.

Holds the rows of tasks that have not ended, never of those that have. Does no input or output. Read on in ``records``
for the rows themselves, and in ``batch`` for how they are written.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from beamhall.history.records import Artifact, ArtifactTask, Moment, Task
from beamhall.pipelines.driver.attempt import Ended
from beamhall.pipelines.driver.batch import Batch
from beamhall.pipelines.driver.loading import Loaded, generation_of
from beamhall.pipelines.driver.records import (
    ATTEMPTS,
    OfRun,
    artifact_records,
    bounded,
    identified,
    in_state,
    input_links,
    new_refs,
    noted_record,
    output_links,
    started_record,
    values_of,
)
from beamhall.pipelines.engine.decisions import End, Kind, Note, Start, State
from beamhall.pipelines.engine.values import Outputs

TERMINATED = "terminated"
"""The error of a run that a user ended, as upstream has it."""

_CANCELED_CODE, _UNKNOWN_CODE, _DEADLINE_CODE = 1, 2, 4
"""Codes of gRPC."""


class Ledger:
    """The rows of one run.

    Args:
        loaded: The run as it is stored, with its tasks.
        now: Tells the time.
    """

    def __init__(self, loaded: Loaded, now: Callable[[], Moment]) -> None:
        run = loaded.run
        self.of = OfRun(run.namespace, run.id)
        self._now = now
        self._state = State(run.state)
        self._canceling = (run.error or TERMINATED) if self._state is State.CANCELING else ""
        self._first_attempt = generation_of(run) * ATTEMPTS
        self._counts = Counter(task.state for task in loaded.tasks if task.type == Kind.RUNTIME)
        self._tasks = {task.path: task for task in loaded.tasks if not State(task.state).is_final}
        self._batch = Batch(self.of, now())

    @property
    def state(self) -> State:
        """The state of the run, as it was last written or will be next."""
        return self._state

    def taken(self) -> Batch:
        """Give all that is to be written, and begin anew."""
        batch, self._batch = self._batch, Batch(self.of, self._now())
        batch.now = self._now()
        if batch.tasks:
            batch.fields["tasks"] = {state: number for state, number in self._counts.items() if number}
        return batch

    def begin(self, start: Start) -> Task:
        """Give the row of a task that is started: the one that it had, or a new one."""
        found = self._tasks.get(start.path)
        if found is not None:
            return found
        made = started_record(self.of, start, self._now(), self._first_attempt)
        self._batch.links += input_links(made, start)
        return self._put(made)

    def row_of(self, path: str) -> Task | None:
        """Give the row of a task that has not ended."""
        return self._tasks.get(path)

    def look_up(self, task: Task, fingerprint: str) -> Task:
        """Have the results of earlier runs looked for when the row is written."""
        self._batch.fingerprints.append(fingerprint)
        return self._put(msgspec.structs.replace(task, fingerprint=fingerprint))

    def write_running(self, task: Task, pod: str) -> Task:
        """Write that an attempt begins, in a Pod of this name if it needs one."""
        pods = [*task.pods, {"name": pod, "type": "EXECUTOR"}] if pod else task.pods
        return self._put(in_state(task, State.RUNNING, self._now(), pods=pods))

    def write_held(self, task: Task, why: str) -> Task:
        """Write what keeps the Pod of a task from starting; empty: nothing does any more."""
        return self._put(msgspec.structs.replace(task, error=bounded(why)))

    def write_retry(self, task: Task, end: Ended) -> Task:
        """Write that an attempt failed, and another follows."""
        now, error = self._now(), bounded(end.error)
        failed = in_state(task, State.FAILED, now, pods=_with_uid(task, end), error=error)
        again = in_state(failed, State.PENDING, now, attempt=task.attempt + 1, finished_at=0)
        return self._put(again)

    def write_end(self, task: Task, end: Ended) -> Outputs | None:
        """Write the end of a task; give its outputs with the ids of its artifacts."""
        now, pods = self._now(), _with_uid(task, end)
        if end.state is not State.SUCCEEDED or end.outputs is None:
            code = _CANCELED_CODE if end.state is State.CANCELED else _UNKNOWN_CODE
            self._put(in_state(task, end.state, now, pods=pods, error=bounded(end.error), error_code=code))
            return None
        outputs = identified(end.outputs, task)
        for key, ref in new_refs(end.outputs, outputs):
            self._add_artifacts(artifact_records(ref, task, key, now))
        self._batch.links += output_links(task, outputs)
        self._put(in_state(task, State.SUCCEEDED, now, pods=pods, outputs=values_of(outputs), error="", error_code=0))
        return outputs

    def write_cached(self, task: Task, outputs: Outputs) -> None:
        """Write that a task has the outputs of an earlier one."""
        self._batch.links += output_links(task, outputs)
        fields = {"outputs": values_of(outputs), "cached": True, "pods": []}
        self._put(in_state(task, State.SUCCEEDED, self._now(), **fields))

    def write_note(self, note: Note) -> None:
        """Write what the engine says of a DAG, a loop, the run, or a task that never started."""
        self._put(noted_record(self.of, note, self._now(), self._tasks.get(note.path)))
        if note.kind is Kind.ROOT and not note.state.is_final and note.state is not self._state:
            self._state = note.state
            self._batch.states.append((note.state, ""))
            if note.state is State.RUNNING:
                self._batch.fields |= {"started_at": self._now(), "error": "", "error_code": 0}

    def begin_canceling(self, reason: str) -> None:
        """Write that the run is to end, and why."""
        self._canceling = self._canceling or reason
        self._batch.fields |= {"asked": "", "error": self._canceling}

    def write_run_end(self, end: End) -> None:
        """Write the end of the run: one that was ended by a user FAILED, so that clients stop waiting for it.

        Source: reference "KFP", section 1.6, "Terminate".
        """
        state, error, code = end.state, bounded(end.error), _UNKNOWN_CODE if end.error else 0
        if state is State.CANCELED or (self._canceling and state is State.FAILED):
            error = self._canceling or TERMINATED
            code = _CANCELED_CODE if error == TERMINATED else _DEADLINE_CODE
            if error == TERMINATED:
                self._batch.states.append((State.CANCELED, ""))
            state = State.FAILED
        elif state is State.SUCCEEDED:
            error, code = "", 0
        self._state = state
        self._batch.states.append((state, error))
        self._batch.fields |= {"finished_at": self._now(), "error": error, "error_code": code, "asked": ""}

    def _add_artifacts(self, made: Sequence[tuple[Artifact, ArtifactTask | None]]) -> None:
        for artifact, link in made:
            self._batch.artifacts.append(artifact)
            if link is not None:
                self._batch.links.append(link)

    def _put(self, task: Task) -> Task:
        before = self._tasks.get(task.path)
        if task.type == Kind.RUNTIME:
            if before is not None:
                self._counts[before.state] -= 1
            self._counts[task.state] += 1
        if State(task.state).is_final:
            self._tasks.pop(task.path, None)
        else:
            self._tasks[task.path] = task
        self._batch.tasks[task.path] = task
        return task


def _with_uid(task: Task, end: Ended) -> Sequence[object]:
    """Give the Pods of a task, the last one with its uid."""
    name, uid = end.pod
    return [{**pod, "uid": uid} if pod["name"] == name else pod for pod in task.pods] if name else task.pods
