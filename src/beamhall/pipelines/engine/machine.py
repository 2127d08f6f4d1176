"""The way in: one run, as a machine that is told what happened and answers what to do.

Deterministic; no input or output, no clock. What it decides must be written down before it is done, so that a machine
restored from the rows decides the rest again, and nothing that has finished is started again. Read on in ``scope``.
"""

from collections.abc import Iterable, Mapping, Sequence

from beamhall.pipelines.engine.binding import Bound, Unbound, root_inputs
from beamhall.pipelines.engine.decisions import Decision, End, Kind, Note, State
from beamhall.pipelines.engine.events import CancelAsked, Event, Finished, Options, Row
from beamhall.pipelines.engine.instance import Instance, Leaf, Outcome, Run, Seat, error_of
from beamhall.pipelines.engine.loop import Loop
from beamhall.pipelines.engine.rows import surviving
from beamhall.pipelines.engine.scope import Scope
from beamhall.pipelines.engine.shape import Shapes, TaskShape
from beamhall.pipelines.spec.ir import Pipeline
from beamhall.pipelines.spec.sources import Json

_OPTIONS = Options()


class RunMachine:
    """The state machine of one run.

    Each event costs what it touches, never the size of the run. Between events it holds the tasks that have begun and
    not ended, what waits in their DAGs, and outputs that something has yet to read.

    Args:
        pipeline: What is run; checked (``spec.checking`` finds nothing).
        parameters: What the user gave.
        options: How.
    """

    def __init__(self, pipeline: Pipeline, parameters: Mapping[str, Json], options: Options = _OPTIONS) -> None:
        self._parameters = parameters
        self._run = Run(Shapes(pipeline), options, begin_task, begin_component)
        self._root: Instance | None = None
        self._canceled = False
        self._end: End | None = None

    @classmethod
    def restored(
        cls,
        pipeline: Pipeline,
        parameters: Mapping[str, Json],
        options: Options,
        rows: Iterable[Row],
        *,
        canceling: bool = False,
    ) -> tuple["RunMachine", Sequence[Decision]]:
        """Make the machine of a run that was begun before, from its rows, in any order.

        Args:
            pipeline: As it was.
            parameters: As they were.
            options: As they were; ``fail_fast`` and ``loop_window`` may differ.
            rows: All of the run that is stored. For a retry, without those that ``retrying.stale`` names.
            canceling: Whether cancel was asked for.

        Returns:
            The machine, and what is to be done: decisions that were lost, and a ``Start`` (``Stop``, if canceling) of
            each task whose row is not final, which may be running already.
        """
        machine = cls(pipeline, parameters, options)
        machine._run.rows = surviving(rows)
        machine._canceled = canceling
        return machine, machine.begin()

    @property
    def has_ended(self) -> bool:
        """Whether the run has ended: no event will make it decide anything."""
        return self._end is not None

    @property
    def running(self) -> Iterable[str]:
        """Paths of the tasks that were started and have not ended."""
        return self._run.running.keys()

    def begin(self) -> Sequence[Decision]:
        """Decide what comes first. Once, before any event; ``restored`` has done it."""
        run, component = self._run, self._run.shapes.pipeline.root
        row = run.stored("")
        seat = Seat(self, 0, "", Kind.ROOT, "", None, run.options.loop_window, self._canceled, row is not None)
        if row is not None and row.state.is_final:
            self._end = End(row.state, row.error)
            return (self._end,)
        try:
            inputs = root_inputs(component, self._parameters)
        except Unbound as error:
            run.decisions.append(Note("", Kind.ROOT, State.FAILED, error=str(error)))
            self.ended(0, Outcome(State.FAILED, error=str(error)))
            return self._settled()
        self._root = Scope(run, seat, run.shapes.of(component), inputs)
        return self._settled()

    def handle(self, event: Event) -> Sequence[Decision]:
        """Decide what follows from an event. Of tasks that it did not start, or that have ended, nothing follows."""
        if self._end is not None:
            return ()
        if isinstance(event, Finished):
            leaf = self._run.running.pop(event.path, None)
            if leaf is None:
                return ()
            leaf.finish(event)
        elif isinstance(event, CancelAsked) and not self._canceled and self._root is not None:
            self._canceled = True
            self._run.decisions.append(Note("", Kind.ROOT, State.CANCELING))
            self._root.cancel()
        return self._settled()

    def ended(self, _slot: int, outcome: Outcome) -> None:
        """Take note of the end of the root."""
        self._end = End(outcome.state, error_of(outcome, ""))
        self._root = None
        self._run.rows = {}
        self._run.decisions.append(self._end)

    def _settled(self) -> Sequence[Decision]:
        """Do all that follows, and give what was decided."""
        work = self._run.work
        while work:
            act, slot, outcome = work.popleft()
            act(slot, outcome)
        decisions, self._run.decisions = self._run.decisions, []
        return decisions


def begin_task(run: Run, seat: Seat, task: TaskShape, bound: Bound) -> Instance:
    """Make an instance of a task, whatever it is."""
    if bound.items is not None:
        return Loop(run, seat, task, bound.inputs, bound.items)
    return begin_component(run, seat, task, bound)


def begin_component(run: Run, seat: Seat, task: TaskShape, bound: Bound) -> Instance:
    """Make an instance of what a task does once, also for each iteration of a loop."""
    if task.executor is not None:
        return Leaf(run, seat, task, bound.inputs)
    return Scope(run, seat, run.shapes.of(task.component), bound.inputs)
