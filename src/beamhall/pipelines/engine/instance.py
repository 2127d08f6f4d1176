"""What instances of tasks have in common: where they sit, how they end, and what they share of the run.

Knows nothing of DAGs and loops, which are made of this. Read on in ``scope`` and ``loop``.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from beamhall.pipelines.engine.binding import Bound
from beamhall.pipelines.engine.decisions import Decision, Forget, Kind, Note, Start, State, Stop
from beamhall.pipelines.engine.events import Finished, Options, Row
from beamhall.pipelines.engine.shape import Shapes, TaskShape
from beamhall.pipelines.engine.values import Inputs, Outputs
from beamhall.pipelines.spec.ir import RetryPolicy


class Outcome(NamedTuple):
    """How an instance ended. ``origin`` is the path of the task whose error it is."""

    state: State
    outputs: Outputs | None = None
    error: str = ""
    origin: str = ""


SKIPPED = Outcome(State.SKIPPED)


class Owner(Protocol):
    """Whatever instances are made by: a DAG, a loop, or the machine for the root."""

    def ended(self, slot: int, outcome: Outcome) -> None:
        """Take note of the end of what sits at ``slot``. Called once for each, from the run's work only."""
        ...


class Instance(Protocol):
    """Something that has begun and not ended."""

    def cancel(self) -> None:
        """End as soon as what runs has ended. Asked twice, it counts once."""
        ...


class Seat(NamedTuple):
    """Where an instance sits.

    Attributes:
        owner: Who made it and is told of its end.
        slot: Which of the owner's it is.
        path: Its path.
        kind: What its row stands for.
        name: Name of the task; empty for the root.
        retry: The policy that its tasks without one of their own have.
        window: How many iterations of loops may be alive in it, at least 1.
        canceled: Whether it begins after the run was canceled: it was begun before, and is restored now.
        again: Whether its row was there when the run was restored.
        iteration: Its index, if it is an iteration.
    """

    owner: Owner
    slot: int
    path: str
    kind: Kind
    name: str
    retry: RetryPolicy | None
    window: int
    canceled: bool = False
    again: bool = False
    iteration: int | None = None


Begin = Callable[["Run", Seat, TaskShape, Bound], Instance]
"""Makes an instance. The machine gives it: DAGs and loops are made of each other, and do not import each other."""


def error_of(outcome: Outcome, path: str) -> str:
    """Say what went wrong, as seen from a path: errors from below begin with the path that they come from."""
    if outcome.error and outcome.origin not in ("", path):
        return f"{outcome.origin}: {outcome.error}"
    return outcome.error


def outcome_of(row: Row) -> Outcome:
    """Say how something ended, of its stored row."""
    return Outcome(row.state, row.outputs, row.error, row.path)


class Run:
    """What all instances of one run share.

    Attributes:
        shapes: The DAGs of its pipeline.
        options: How it is executed.
        begin_task: Makes an instance of a task, a whole loop if it is one.
        begin_component: Makes an instance of what a task does once.
        work: What is to be done next. A queue, so that long chains of consequences need no stack.
        decisions: What was decided since the last event.
        running: Started tasks that have not ended, by path.
        rows: What is stored of tasks that were not met again since the run was restored.
    """

    __slots__ = ("begin_component", "begin_task", "decisions", "options", "rows", "running", "shapes", "work")

    def __init__(self, shapes: Shapes, options: Options, begin_task: Begin, begin_component: Begin) -> None:
        self.shapes = shapes
        self.options = options
        self.begin_task = begin_task
        self.begin_component = begin_component
        self.work: deque[tuple[Callable[[int, Outcome], None], int, Outcome]] = deque()
        self.decisions: list[Decision] = []
        self.running: dict[str, Leaf] = {}
        self.rows: dict[str, Row] = {}

    def stored(self, path: str) -> Row | None:
        """Take what is stored of a path; the second time there is nothing."""
        return self.rows.pop(path, None) if self.rows else None

    def note_begin(self, seat: Seat, inputs: Inputs, iterations: int | None = None) -> None:
        """Note that an instance runs, unless its row says so."""
        if not seat.again:
            self.decisions.append(
                Note(
                    seat.path, seat.kind, State.RUNNING, seat.name, inputs, iterations=iterations,
                    iteration=seat.iteration,
                )
            )  # fmt: skip

    def finish(self, seat: Seat, outcome: Outcome) -> None:
        """End a DAG or a loop: note how, and have its owner told after what is being done now."""
        error = error_of(outcome, seat.path)
        self.decisions.append(
            Note(
                seat.path, seat.kind, outcome.state, seat.name, outputs=outcome.outputs, error=error,
                iteration=seat.iteration,
            )
        )  # fmt: skip
        if seat.path:
            self.decisions.append(Forget(seat.path))
        self.work.append((seat.owner.ended, seat.slot, outcome))


class Leaf:
    """A task with an executor that was started."""

    __slots__ = ("run", "seat", "stopped")

    def __init__(self, run: Run, seat: Seat, task: TaskShape, inputs: Inputs) -> None:
        self.run = run
        self.seat = seat
        self.stopped = False
        run.running[seat.path] = self
        if seat.canceled:
            self.cancel()
            return
        executor = task.executor
        assert executor is not None
        run.decisions.append(
            Start(seat.path, task.task, task.component, executor, inputs, seat.retry, seat.iteration, seat.again)
        )

    def finish(self, event: Finished) -> None:
        """Tell the owner, after what is being done now, how it ended."""
        outputs = event.outputs if event.state is State.SUCCEEDED else None
        outcome = Outcome(event.state, outputs, event.error, self.seat.path)
        self.run.work.append((self.seat.owner.ended, self.seat.slot, outcome))

    def cancel(self) -> None:
        """Have it stopped."""
        if not self.stopped:
            self.stopped = True
            self.run.decisions.append(Stop(self.seat.path))
