"""Playing runs of pipelines without a service: a driver that is told how tasks end, and a naive interpreter.

``Play`` drives the machine in any order and keeps rows as a database would. ``interpreted`` says how a run must end, by
plain recursion in the order of the specification; it shares with the machine what values mean, not when things happen.
"""

import random
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from beamhall.pipelines.engine.decisions import Decision, End, Note, Start, State, Stop
from beamhall.pipelines.engine.events import CancelAsked, Finished, Options, Row
from beamhall.pipelines.engine.machine import RunMachine
from beamhall.pipelines.engine.rows import parent_of
from beamhall.pipelines.engine.values import ArtifactRef, Inputs, Outputs
from beamhall.pipelines.spec.expressions import BadExpression, holds, select
from beamhall.pipelines.spec.ir import Component, Pipeline, Task
from beamhall.pipelines.spec.placeholders import fill_constant
from beamhall.pipelines.spec.types import MissingInput, TypeMismatch, component_inputs, conform, items_of

Behaviour = Callable[[str, Inputs], Finished]


def chaotic(seed: int, failing: int = 7) -> Behaviour:
    """Give tasks outputs that follow from their path and inputs; one in ``failing`` fails, few are canceled."""

    def behave(path: str, inputs: Inputs) -> Finished:
        parameters = {key: value for key, value in inputs.parameters.items() if key != "status"}
        seen = msgspec.json.encode((parameters, inputs.artifacts), order="sorted")
        found = zlib.crc32(f"{seed}{path}{seen!r}".encode())
        if failing and found % failing == 0:
            return Finished(path, State.FAILED, error=f"broke {found}")
        if failing and found % 61 == 0:
            return Finished(path, State.CANCELED, error="somebody deleted it")
        number = found // 1000 % 4
        artifacts = {"art": [ArtifactRef(id=path, uri=path)]}
        return Finished(path, State.SUCCEEDED, Outputs({"out": number, "xs": list(range(number))}, artifacts))

    return behave


def well(path: str, _: Inputs) -> Finished:
    """Have a task succeed without outputs."""
    return Finished(path, State.SUCCEEDED, Outputs())


@dataclass
class Play:
    """A run that is driven by hand.

    Attributes:
        rows: What a database would hold.
        pending: Started tasks that have not ended.
        started: Every path that was started, in order; again after a restore, if it was running.
        stopped: Paths that were to be stopped.
        end: How it ended.
    """

    pipeline: Pipeline
    behave: Behaviour = well
    parameters: Mapping[str, Any] = field(default_factory=dict)
    options: Options = field(default_factory=lambda: Options(fail_fast=False))
    rows: dict[str, Row] = field(default_factory=dict)
    inputs: dict[str, Inputs] = field(default_factory=dict)
    pending: dict[str, Start | None] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    starts: dict[str, Start] = field(default_factory=dict)
    end: End | None = None
    canceling: bool = False

    def __post_init__(self) -> None:
        self.machine = RunMachine(self.pipeline, self.parameters, self.options)

    def begin(self) -> "Play":
        self.take(self.machine.begin())
        return self

    def take(self, decisions: Sequence[Decision], *, lost: int = 0) -> None:
        """Write decisions down and carry them out, but for the last ones, which a crash loses."""
        for decision in decisions[: len(decisions) - lost]:
            assert self.end is None, "something was decided after the end"
            if isinstance(decision, Start):
                self._start(decision)
            elif isinstance(decision, Note):
                self._note(decision)
            elif isinstance(decision, Stop):
                assert decision.path in self.rows
                self.stopped.append(decision.path)
                self.pending.setdefault(decision.path, None)
            elif isinstance(decision, End):
                assert not self.pending
                self.end = decision

    def _start(self, start: Start) -> None:
        row = self.rows.get(start.path)
        assert (row is not None) == start.again
        assert row is None or not row.state.is_final
        parent = parent_of(start.path)
        assert parent is not None
        assert self.rows[parent].state in (State.RUNNING, State.CANCELING)
        assert start.path not in self.pending
        self.rows[start.path] = Row(start.path, State.RUNNING)
        self.pending[start.path] = start
        self.inputs[start.path] = start.inputs
        self.starts[start.path] = start
        self.started.append(start.path)

    def _note(self, note: Note) -> None:
        row = self.rows.get(note.path)
        assert row is None or not row.state.is_final, f"{note.path} was over"
        if note.state.is_final:
            assert not [path for path in self.pending if path.startswith((f"{note.path}/", f"{note.path}["))]
        self.rows[note.path] = Row(note.path, note.state, note.outputs, note.error)
        self.notes.append(note)

    def finish(self, path: str, event: Finished | None = None, *, lost: int = 0) -> None:
        """End a started task: as its behaviour says, or by this event."""
        self.pending.pop(path)
        event = event or self.behave(path, self.inputs[path])
        self.rows[path] = Row(path, event.state, event.outputs, event.error)
        self.take(self.machine.handle(event), lost=lost)

    def fail(self, path: str) -> None:
        self.finish(path, Finished(path, State.FAILED, error="boom"))

    def cancel(self) -> None:
        self.canceling = True
        self.take(self.machine.handle(CancelAsked()))

    def stop_stopped(self) -> None:
        for path in self.stopped:
            if path in self.pending:
                self.finish(path, Finished(path, State.CANCELED, error="stopped"))

    def to_end(self, rng: random.Random | None = None) -> "Play":
        """End all that runs, in order or at random, until the run has ended."""
        while self.pending:
            path = rng.choice(sorted(self.pending)) if rng else next(iter(self.pending))
            if path in self.stopped:
                self.finish(path, Finished(path, State.CANCELED, error="stopped"))
            else:
                self.finish(path)
        assert self.end is not None, f"nothing runs, and yet it has not ended: {self.states()}"
        assert self.machine.has_ended
        return self

    def crash(self) -> None:
        """Lose the machine, and make it anew of the rows."""
        self.pending, self.end = {}, None
        self.machine, decisions = RunMachine.restored(
            self.pipeline, self.parameters, self.options, list(self.rows.values()), canceling=self.canceling
        )
        self.take(decisions)

    def states(self) -> dict[str, str]:
        return {path: str(row.state) for path, row in self.rows.items()}

    def outputs(self) -> dict[str, Outputs | None]:
        return {path: row.outputs for path, row in self.rows.items() if row.state is State.SUCCEEDED}


class _Wrong(Exception):
    pass


@dataclass
class Interpreter:
    """How a run ends if nothing is canceled and nothing fails fast."""

    pipeline: Pipeline
    behave: Behaviour
    rows: dict[str, Row] = field(default_factory=dict)
    inputs: dict[str, Inputs] = field(default_factory=dict)

    def run(self, parameters: Mapping[str, Any]) -> None:
        root = self.pipeline.root
        self._dag("", root, Inputs(component_inputs(root.input_definitions, parameters)))

    def _record(self, path: str, state: State, outputs: Outputs | None = None) -> Row:
        self.rows[path] = row = Row(path, state, outputs)
        return row

    def _dag(self, path: str, component: Component, inputs: Inputs) -> Row:
        dag = component.dag
        assert dag is not None
        done: dict[str, Row] = {}
        while len(done) < len(dag.tasks):
            for name, task in dag.tasks.items():
                if name not in done and all(one in done for one in task.upstream):
                    done[name] = self._task(f"{path}/{name}", task, inputs, done)
        states = [row.state for row in done.values()]
        for state in (State.CANCELED, State.FAILED):
            if state in states:
                return self._record(path, state)
        parameters, artifacts = {}, {}
        for key, output in dag.outputs.parameters.items():
            for one in reversed(output.selectors):
                given = done[one.producer_subtask].outputs
                if given and one.output_parameter_key in given.parameters:
                    parameters[key] = given.parameters[one.output_parameter_key]
        for key, made in dag.outputs.artifacts.items():
            for two in reversed(made.artifact_selectors):
                given = done[two.producer_subtask].outputs
                if given and two.output_artifact_key in given.artifacts:
                    artifacts[key] = given.artifacts[two.output_artifact_key]
        return self._record(path, State.SUCCEEDED, Outputs(parameters, artifacts))

    def _task(self, path: str, task: Task, around: Inputs, done: Mapping[str, Row]) -> Row:
        if not task.runs_after_failure and any(done[name].state is not State.SUCCEEDED for name in task.upstream):
            return self._record(path, State.SKIPPED)
        try:
            parameters, artifacts = self._given(task, around, done)
            if task.is_loop:
                return self._loop(path, task, parameters, artifacts)
            component = self.pipeline.component_of(task)
            bound = Inputs(component_inputs(component.input_definitions, parameters), artifacts)
            if task.trigger_policy.condition and not holds(task.trigger_policy.condition, bound.parameters):
                return self._record(path, State.SKIPPED)
        except (_Wrong, MissingInput, TypeMismatch, BadExpression):
            return self._record(path, State.FAILED)
        return self._once(path, component, bound)

    def _once(self, path: str, component: Component, inputs: Inputs) -> Row:
        if component.dag is not None:
            return self._dag(path, component, inputs)
        self.inputs[path] = inputs
        event = self.behave(path, inputs)
        return self._record(path, event.state, event.outputs)

    def _given(
        self, task: Task, around: Inputs, done: Mapping[str, Row]
    ) -> tuple[dict[str, Any], dict[str, Sequence[ArtifactRef]]]:
        parameters: dict[str, Any] = {}
        for key, source in task.inputs.parameters.items():
            value = None
            if source.component_input_parameter:
                value = around.parameters.get(source.component_input_parameter)
            elif source.task_output_parameter is not None:
                given = done[source.task_output_parameter.producer_task].outputs
                value = given.parameters.get(source.task_output_parameter.output_parameter_key) if given else None
            elif source.task_final_status is not None:
                state = done[source.task_final_status.producer_task].state
                value = {"state": "CANCELLED" if state is State.CANCELED else str(state)}
            elif source.runtime_value is not None:
                value = source.runtime_value.constant
            if value is not None:
                parameters[key] = select(source.parameter_expression_selector, value)
        templates = {key for key, source in task.inputs.parameters.items() if source.runtime_value is not None}
        parameters = {
            key: fill_constant(value, parameters) if key in templates else value for key, value in parameters.items()
        }
        artifacts: dict[str, Sequence[ArtifactRef]] = {}
        for key, origin in task.inputs.artifacts.items():
            if origin.task_output_artifact is not None:
                given = done[origin.task_output_artifact.producer_task].outputs
                refs = given.artifacts.get(origin.task_output_artifact.output_artifact_key) if given else None
            else:
                refs = around.artifacts.get(origin.component_input_artifact)
            if refs is not None:
                artifacts[key] = refs
        for key, spec in self.pipeline.component_of(task).input_definitions.artifacts.items():
            iterated = task.artifact_iterator is not None and task.artifact_iterator.item_input == key
            if key not in artifacts and not spec.is_optional and not iterated:
                raise _Wrong(key)
        return parameters, artifacts

    def _loop(
        self, path: str, task: Task, parameters: dict[str, Any], artifacts: dict[str, Sequence[ArtifactRef]]
    ) -> Row:
        component = self.pipeline.component_of(task)
        rows = []
        for number, inputs in enumerate(_iterations(task, component, parameters, artifacts)):
            rows.append(self._once(f"{path}[{number}]", component, inputs))
        for state in (State.CANCELED, State.FAILED):
            if any(row.state is state for row in rows):
                return self._record(path, state)
        gathered: dict[str, list[Any]] = {}
        collected: dict[str, list[ArtifactRef]] = {}
        for row in rows:
            assert row.outputs is not None
            for key, value in row.outputs.parameters.items():
                gathered.setdefault(key, []).append(value)
            for key, refs in row.outputs.artifacts.items():
                collected.setdefault(key, []).extend(refs)
        for key in component.output_definitions.parameters:
            gathered.setdefault(key, [])
        for key in component.output_definitions.artifacts:
            collected.setdefault(key, [])
        return self._record(path, State.SUCCEEDED, Outputs(gathered, collected))


def _iterations(
    task: Task, component: Component, parameters: dict[str, Any], artifacts: dict[str, Sequence[ArtifactRef]]
) -> Iterator[Inputs]:
    declared = component.input_definitions
    if (over := task.parameter_iterator) is not None:
        source = over.items.input_parameter
        if source and source not in parameters:
            raise _Wrong(source)
        items = items_of(parameters[source] if source else over.items.raw)
        shared = {key: value for key, value in declared.parameters.items() if key not in (over.item_input, source)}
        parameters.pop(over.item_input, None)
        bound = component_inputs(msgspec.structs.replace(declared, parameters=shared), parameters)
        for item in items:
            kind = declared.parameters[over.item_input].parameter_type
            yield Inputs({**bound, over.item_input: conform(item, kind)}, artifacts)
    elif (each := task.artifact_iterator) is not None:
        refs = artifacts.pop(each.items.input_artifact, ())
        bound = component_inputs(declared, parameters)
        for ref in refs:
            yield Inputs(bound, {**artifacts, each.item_input: (ref,)})
