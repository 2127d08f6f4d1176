"""One instance of a DAG: starts its tasks when what they wait for has ended, and ends when all of them have.

Each end costs what depends on it. Knows nothing of how inputs are found (``binding``). Read on in ``loop``.

The rules (reference "KFP", section 2.2; Source: kubeflow/pipelines backend, as Argo executes what it compiles):

- A task is looked at once all that it waits for has ended. It is skipped if any of these did not succeed, unless its
  strategy is ALL_UPSTREAM_TASKS_COMPLETED; then if its condition does not hold.
- A DAG is canceled if any of its tasks is, failed if any has failed, and has succeeded otherwise, skipped ones and all.
- After a failure, with ``fail_fast``, only tasks of that strategy are still started in the same DAG.
- Cancel ends what runs, and starts nothing but exit tasks, each after what it waits for.
"""

from collections.abc import Callable

from beamhall.pipelines.engine.binding import Bound, Unbound, bind, is_wanted
from beamhall.pipelines.engine.decisions import Note, State
from beamhall.pipelines.engine.events import Options
from beamhall.pipelines.engine.instance import SKIPPED, Instance, Outcome, Run, Seat, error_of, outcome_of
from beamhall.pipelines.engine.outputs import dag_outputs
from beamhall.pipelines.engine.shape import Shape, TaskShape
from beamhall.pipelines.engine.values import Inputs, Outputs

CANCELED = Outcome(State.CANCELED, error="the run was canceled before it started")


class Scope:
    """An instance of a DAG that has begun and not ended.

    Attributes:
        inputs: What the DAG was given.
        states: One a task: None while it waits, then its state. RUNNING is any that has begun.
        outputs: Outputs of tasks, by index, as long as anything will read them.
        failures: How tasks that failed or were canceled ended, by index.
    """

    __slots__ = (
        "_canceled", "_children", "_left", "_readers", "_run", "_seat", "_shape", "_stopped", "_waits", "failures",
        "inputs", "outputs", "states",
    )  # fmt: skip

    def __init__(self, run: Run, seat: Seat, shape: Shape, inputs: Inputs) -> None:
        self._run = run
        self._seat = seat
        self._shape = shape
        self.inputs = inputs
        self.states: list[State | None] = [None] * len(shape.tasks)
        self.outputs: dict[int, Outputs] = {}
        self.failures: dict[int, Outcome] = {}
        self._children: dict[int, Instance] = {}
        self._waits = list(shape.waits)
        self._readers: dict[int, int] = {}
        self._left = len(shape.tasks)
        self._canceled = seat.canceled
        self._stopped = False
        run.note_begin(seat, inputs)
        for root in shape.roots:
            run.work.append((self._look, root, SKIPPED))
        if not shape.tasks:
            self._finish()

    @property
    def shape(self) -> Shape:
        """What is common to all instances of the DAG."""
        return self._shape

    @property
    def options(self) -> Options:
        """How the run is executed."""
        return self._run.options

    def error_of(self, slot: int) -> str:
        """Say why a task did not succeed; empty if there is nothing to say."""
        failure = self.failures.get(slot)
        return "" if failure is None else error_of(failure, f"{self._seat.path}/{self._shape.tasks[slot].name}")

    def cancel(self) -> None:
        """Stop what runs and give up what waits, but for exit tasks."""
        if self._canceled:
            return
        self._canceled = True
        for slot, child in list(self._children.items()):
            if not self._shape.tasks[slot].is_exit:
                child.cancel()
        self._give_up(CANCELED, lambda task: not task.is_exit)

    def ended(self, slot: int, outcome: Outcome) -> None:
        """Take note of the end of a task, and look at those that waited for it."""
        state = self.states[slot] = outcome.state
        self._children.pop(slot, None)
        self._left -= 1
        task = self._shape.tasks[slot]
        if state is State.SUCCEEDED:
            if task.readers and outcome.outputs is not None:
                self.outputs[slot] = outcome.outputs
                self._readers[slot] = task.readers
        elif state is not State.SKIPPED:
            self.failures[slot] = outcome
            if state is State.FAILED and self._run.options.fail_fast and not self._stopped:
                self._stopped = True
                self._give_up(SKIPPED, lambda waiting: not waiting.task.runs_after_failure)
        self._have_read(task)
        for dependent in task.dependents:
            self._waits[dependent] -= 1
            if not self._waits[dependent]:
                self._run.work.append((self._look, dependent, SKIPPED))
        if not self._left:
            self._finish()

    def _give_up(self, outcome: Outcome, is_meant: Callable[[TaskShape], bool]) -> None:
        """Settle the tasks that wait. Those with a stored row had begun before the run was restored, so they stay."""
        rows, base = self._run.rows, self._seat.path
        for slot, state in enumerate(self.states):
            task = self._shape.tasks[slot]
            if state is None and is_meant(task) and not (rows and f"{base}/{task.name}" in rows):
                self._settle(slot, outcome)

    def _settle(self, slot: int, outcome: Outcome) -> None:
        """End a task that was never started."""
        self.states[slot] = outcome.state
        task = self._shape.tasks[slot]
        path = f"{self._seat.path}/{task.name}"
        self._run.decisions.append(Note(path, task.kind, outcome.state, task.name, error=outcome.error))
        if outcome.error:
            outcome = outcome._replace(origin=path)
        self._run.work.append((self.ended, slot, outcome))

    def _look(self, slot: int, _: Outcome) -> None:
        """Decide on a task: all that it waits for has ended."""
        if self.states[slot] is not None:
            return
        task = self._shape.tasks[slot]
        row = self._run.stored(f"{self._seat.path}/{task.name}")
        if row is not None and row.state.is_final:
            self.states[slot] = row.state
            self._run.work.append((self.ended, slot, outcome_of(row)))
            return
        if row is None and self._canceled and not task.is_exit:
            self._settle(slot, CANCELED)
            return
        if not task.task.runs_after_failure and any(
            self.states[upstream] is not State.SUCCEEDED for upstream in task.upstream
        ):
            self._settle(slot, SKIPPED)
            return
        try:
            bound = bind(self, task)
            if not is_wanted(task, bound.inputs):
                self._settle(slot, SKIPPED)
                return
        except Unbound as error:
            self._settle(slot, Outcome(State.FAILED, error=str(error)))
            return
        self._begin(slot, task, bound, again=row is not None)

    def _begin(self, slot: int, task: TaskShape, bound: Bound, *, again: bool) -> None:
        self.states[slot] = State.RUNNING
        seat = self._seat
        self._children[slot] = self._run.begin_task(
            self._run,
            Seat(
                self, slot, f"{seat.path}/{task.name}", task.kind, task.name, task.task.retry_policy or seat.retry,
                seat.window, self._canceled and not task.is_exit, again,
            ),
            task,
            bound,
        )  # fmt: skip

    def _have_read(self, task: TaskShape) -> None:
        """Drop outputs that nothing will read any more."""
        for slot in task.reads:
            if slot in self._readers:
                self._readers[slot] -= 1
                if not self._readers[slot]:
                    del self.outputs[slot], self._readers[slot]

    def _finish(self) -> None:
        outcome = self._outcome()
        self._run.finish(self._seat, outcome)

    def _outcome(self) -> Outcome:
        """Say how the DAG ended. Of several failures the first in the specification counts, whenever it happened."""
        for state in (State.CANCELED, State.FAILED):
            found = [slot for slot, failure in self.failures.items() if failure.state is state]
            if found:
                return self.failures[min(found)]._replace(outputs=None)
        return Outcome(State.SUCCEEDED, dag_outputs(self._shape, self.outputs))
