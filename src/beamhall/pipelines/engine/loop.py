"""One instance of a loop: an iteration for each item, a window of them alive at once, and what Collected gathers.

Memory is that of the iterations that are alive, and of the outputs that something reads. Knows nothing of what an
iteration does. Read on in ``machine``.

The rules (reference "KFP", section 2.5): a loop over nothing succeeds. A failed iteration fails the loop, and the
others go on. What the loop gives is, for each output of its DAG, the list over the iterations that gave it, in the
order of the items: lists of lists for parameters of nested loops, one flat list for artifacts.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from beamhall.pipelines.engine.binding import Bound, Unbound, typed
from beamhall.pipelines.engine.decisions import Forget, Kind, Note, State
from beamhall.pipelines.engine.instance import Instance, Outcome, Run, Seat, outcome_of
from beamhall.pipelines.engine.shape import TaskShape
from beamhall.pipelines.engine.values import ArtifactRef, Inputs, Outputs
from beamhall.pipelines.spec.ir import ParameterIterator
from beamhall.pipelines.spec.sources import Json

CANCELED = Outcome(State.CANCELED, error="the run was canceled before all of its iterations started")


class Loop:
    """An instance of a loop that has begun and not ended.

    Args:
        run: What it shares with the others.
        seat: Where it sits.
        task: The task that loops.
        inputs: What all iterations are given.
        items: What each is given: parameters, or artifacts.
    """

    __slots__ = (
        "_alive", "_artifacts", "_failure", "_inputs", "_items", "_next", "_parameters", "_run", "_seat", "_task",
        "_width", "canceled",
    )  # fmt: skip

    def __init__(self, run: Run, seat: Seat, task: TaskShape, inputs: Inputs, items: Sequence[Json]) -> None:
        self._run = run
        self._seat = seat
        self._task = task
        self._inputs = inputs
        self._items = items
        self._next = 0
        self._alive: dict[int, Instance | None] = {}
        self._width = _width(task.task.iterator_policy.parallelism_limit, seat.window, len(items))
        self._parameters: dict[str, list[tuple[int, Json]]] = {name: [] for name in task.read_parameters}
        self._artifacts: dict[str, list[tuple[int, Sequence[ArtifactRef]]]] = {name: [] for name in task.read_artifacts}
        self._failure: dict[State, tuple[int, Outcome]] = {}
        self.canceled = seat.canceled
        run.note_begin(seat, inputs, len(items))
        self._fill()

    def cancel(self) -> None:
        """Stop what runs, and begin no more iterations."""
        if self.canceled:
            return
        self.canceled = True
        for child in list(self._alive.values()):
            if child is not None:
                child.cancel()
        self._fill()

    def ended(self, slot: int, outcome: Outcome) -> None:
        """Take note of the end of an iteration, keep what is read of it, and begin the next."""
        del self._alive[slot]
        if outcome.state is State.SUCCEEDED:
            if outcome.outputs is not None:
                self._collect(slot, outcome.outputs)
        else:
            first = self._failure.get(outcome.state)
            if first is None or slot < first[0]:
                self._failure[outcome.state] = slot, outcome
        self._fill()

    def _collect(self, slot: int, outputs: Outputs) -> None:
        for name, values in self._parameters.items():
            if name in outputs.parameters:
                values.append((slot, outputs.parameters[name]))
        for name, lists in self._artifacts.items():
            if name in outputs.artifacts:
                lists.append((slot, outputs.artifacts[name]))

    def _fill(self) -> None:
        """Begin iterations while there is room, or end."""
        while self._next < len(self._items) and len(self._alive) < self._width:
            slot = self._next
            self._next += 1
            self._begin(slot)
        if not self._alive and self._next == len(self._items):
            self._run.finish(self._seat, self._outcome())

    def _begin(self, slot: int) -> None:
        path = f"{self._seat.path}[{slot}]"
        row = self._run.stored(path)
        if row is not None and row.state.is_final:
            self._alive[slot] = None
            self._run.work.append((self.ended, slot, outcome_of(row)))
            return
        if row is None and self.canceled:
            self._failure.setdefault(State.CANCELED, (slot, CANCELED._replace(origin=self._seat.path)))
            if not self._run.rows:
                self._next = len(self._items)
            return
        kind = Kind.RUNTIME if self._task.executor else Kind.ITERATION
        seat = self._seat
        self._alive[slot] = None
        try:
            inputs = self._inputs_of(slot)
        except Unbound as error:
            outcome = Outcome(State.FAILED, error=str(error), origin=path)
            note = Note(path, kind, State.FAILED, seat.name, error=outcome.error, iteration=slot)
            self._run.decisions += (note, Forget(path))
            self._run.work.append((self.ended, slot, outcome))
            return
        self._alive[slot] = self._run.begin_component(
            self._run,
            Seat(
                self, slot, path, kind, seat.name, seat.retry, max(1, seat.window // self._width), self.canceled,
                row is not None, slot,
            ),
            self._task,
            Bound(inputs),
        )  # fmt: skip

    def _inputs_of(self, slot: int) -> Inputs:
        item = self._items[slot]
        if (over := self._task.task.parameter_iterator) is not None:
            value = self._typed(over, item)
            return Inputs(
                {**self._inputs.parameters, over.item_input: value}, self._inputs.artifacts, self._inputs.platform
            )
        over_artifacts = self._task.task.artifact_iterator
        assert over_artifacts is not None
        artifacts = {**self._inputs.artifacts, over_artifacts.item_input: (item,)}
        return Inputs(self._inputs.parameters, artifacts, self._inputs.platform)

    def _typed(self, over: ParameterIterator, item: Json) -> Json:
        try:
            return typed(self._task.component, over.item_input, item)
        except Unbound:
            if over.items.input_parameter:
                raise
            return item  # of a list in the pipeline itself, for which the SDK declares the type of its first item

    def _outcome(self) -> Outcome:
        for state in (State.CANCELED, State.FAILED):
            if state in self._failure:
                return self._failure[state][1]._replace(outputs=None)
        return Outcome(State.SUCCEEDED, self._gathered())

    def _gathered(self) -> Outputs:
        parameters = {name: [value for _, value in _in_order(found)] for name, found in self._parameters.items()}
        artifacts: Mapping[str, Sequence[ArtifactRef]] = {
            name: [artifact for _, refs in _in_order(found) for artifact in refs]
            for name, found in self._artifacts.items()
        }
        return Outputs(parameters, artifacts)


def _in_order(found: list[tuple[int, Any]]) -> list[tuple[int, Any]]:
    return sorted(found, key=lambda pair: pair[0])


def _width(limit: int, window: int, count: int) -> int:
    """Say how many iterations may be alive: what the pipeline allows, what memory allows, no more than there are."""
    return max(1, min(limit or window, window, count))
