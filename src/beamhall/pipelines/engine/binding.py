"""The inputs of a task: where each comes from, what it becomes on the way, what is missing. Knows nothing of when.

In order: the sources are looked up, selectors take parts of values, placeholders in constants are filled in from the
others, then the component's defaults and types apply. Null is no value. What does not fit fails the task, not the
machine. Read on in ``scope``.

Source: kubeflow/pipelines ``backend/src/v2/driver/resolve.go``, ``driver.go``; reference "KFP", 2.2 to 2.6.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from beamhall.pipelines.engine.decisions import State
from beamhall.pipelines.engine.events import Options
from beamhall.pipelines.engine.shape import Shape, TaskShape
from beamhall.pipelines.engine.values import ArtifactRef, Inputs, Outputs
from beamhall.pipelines.spec.expressions import BadExpression, holds, select
from beamhall.pipelines.spec.ir import Component, Definitions
from beamhall.pipelines.spec.placeholders import fill_constant
from beamhall.pipelines.spec.sources import Json, TaskFinalStatus, TaskParameter, within
from beamhall.pipelines.spec.types import MissingInput, TypeMismatch, component_inputs, items_of, normal, output

_CANCELED_CODE, _UNKNOWN_CODE = 1, 2
"""Codes of gRPC, which is what final statuses hold."""


class Unbound(ValueError):
    """A task cannot have its inputs: one is missing or of the wrong type. The message is for people."""


class Surroundings(Protocol):
    """What a task may read: the DAG that it is in."""

    @property
    def inputs(self) -> Inputs:
        """What the DAG was given."""
        ...

    @property
    def outputs(self) -> Mapping[int, Outputs]:
        """Outputs of tasks that succeeded, by index."""
        ...

    @property
    def states(self) -> Sequence[State | None]:
        """States of tasks, by index."""
        ...

    @property
    def shape(self) -> Shape:
        """The DAG itself."""
        ...

    @property
    def options(self) -> Options:
        """How the run is executed."""
        ...

    def error_of(self, slot: int) -> str:
        """Say why a task did not succeed; empty if there is nothing to say."""
        ...


class Bound(NamedTuple):
    """What a task is given. ``items`` is what a loop goes over, None for all else."""

    inputs: Inputs
    items: Sequence[Json] | None = None


def bind(around: Surroundings, task: TaskShape) -> Bound:
    """Find the inputs of a task whose upstream has ended.

    Raises:
        Unbound: They cannot be had.
    """
    try:
        parameters = _parameters(around, task)
        artifacts = _artifacts(around, task)
        if not task.task.is_loop:
            given = component_inputs(task.component.input_definitions, parameters)
            return Bound(Inputs(given, artifacts, _platform(around, task)))
        return _bind_loop(task, parameters, artifacts, _platform(around, task))
    except (MissingInput, TypeMismatch, BadExpression) as error:
        raise Unbound(str(error)) from error


def is_wanted(task: TaskShape, inputs: Inputs) -> bool:
    """Tell whether the condition of a task, if it has one, holds.

    Raises:
        Unbound: The condition cannot be worked out.
    """
    condition = task.task.trigger_policy.condition
    try:
        return not condition or holds(condition, inputs.parameters)
    except BadExpression as error:
        raise Unbound(str(error)) from error


def typed(component: Component, name: str, value: Json) -> Json:
    """Give a value as an input of a component has it. Raises ``Unbound`` if it does not fit."""
    declared = component.input_definitions.parameters.get(name)
    try:
        return value if declared is None else output(value, declared.parameter_type)
    except TypeMismatch as error:
        raise Unbound(f"input parameter {name!r} {error}") from error


def root_inputs(component: Component, given: Mapping[str, Json]) -> Inputs:
    """Give the inputs of a run. Raises ``Unbound`` where a parameter is missing or does not fit."""
    try:
        return Inputs(component_inputs(component.input_definitions, given))
    except (MissingInput, TypeMismatch) as error:
        raise Unbound(str(error)) from error


def _bind_loop(
    task: TaskShape,
    parameters: dict[str, Json],
    artifacts: dict[str, Sequence[ArtifactRef]],
    platform: Mapping[str, Json],
) -> Bound:
    """Bind what all iterations share; they may read the list of the items too (an inner loop), whatever its type."""
    definitions = task.component.input_definitions
    if (over := task.task.parameter_iterator) is not None:
        source = over.items.input_parameter
        given = parameters.get(source) if source else over.items.raw
        if given is None:
            raise Unbound(f"the items of the loop, {source!r}, have no value")
        items: Sequence[Json] = items_of(given)
        apart = {over.item_input, source}
    else:
        over_artifacts = task.task.artifact_iterator
        assert over_artifacts is not None
        items = artifacts.pop(over_artifacts.items.input_artifact, ())
        apart = {over_artifacts.item_input}
    declared = {name: spec for name, spec in definitions.parameters.items() if name not in apart}
    given = component_inputs(Definitions(parameters=declared), parameters)
    return Bound(Inputs(given, artifacts, platform), items)


def _parameters(around: Surroundings, task: TaskShape) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for name, source in task.task.inputs.parameters.items():
        value = _sourced(around, source)
        if value is not None and source.parameter_expression_selector:
            value = select(source.parameter_expression_selector, value)
        if value is not None:
            found[name] = value
    if task.templates:
        job = {**around.options.job, "pipeline_task_name": task.name}
        found |= {name: fill_constant(found[name], found, job) for name in task.templates}
    return found


def _platform(around: Surroundings, task: TaskShape) -> Mapping[str, Json]:
    """Give what the sources in the platform configuration of a task came to; those without a value are absent."""
    found = {}
    for where, source in task.platform.items():
        value = _sourced(around, within(source, around.shape.index, around.inputs.parameters))
        if value is not None and source.parameter_expression_selector:
            value = select(source.parameter_expression_selector, value)
        if value is not None:
            found[where] = normal(value)
    return found


def _sourced(around: Surroundings, source: TaskParameter) -> Json:
    """Give the value that an input comes from; None if there is none."""
    if source.component_input_parameter:
        return around.inputs.parameters.get(source.component_input_parameter)
    if (output := source.task_output_parameter) is not None:
        given = around.outputs.get(around.shape.index[output.producer_task])
        return None if given is None else given.parameters.get(output.output_parameter_key)
    if source.task_final_status is not None:
        return _final_status(around, source.task_final_status)
    if (runtime := source.runtime_value) is None:
        return None
    if runtime.runtime_parameter:
        return around.inputs.parameters.get(runtime.runtime_parameter)
    return None if runtime.constant is msgspec.UNSET else runtime.constant


def _artifacts(around: Surroundings, task: TaskShape) -> dict[str, Sequence[ArtifactRef]]:
    found = {}
    for name, source in task.task.inputs.artifacts.items():
        if (made := source.task_output_artifact) is not None:
            given = around.outputs.get(around.shape.index[made.producer_task])
            refs = None if given is None else given.artifacts.get(made.output_artifact_key)
        else:
            refs = around.inputs.artifacts.get(source.component_input_artifact)
        if refs is not None:
            found[name] = refs
    for name, spec in task.component.input_definitions.artifacts.items():
        over = task.task.artifact_iterator
        if name not in found and not spec.is_optional and not (over and over.item_input == name):
            raise Unbound(f"input artifact {name!r} is required and has no value")
    return found


def _final_status(around: Surroundings, source: TaskFinalStatus) -> Json:
    """Say how a task ended, in the form of ``PipelineTaskFinalStatus``. Source: kfp/dsl/task_final_status.py."""
    slot = around.shape.index[source.producer_task]
    state = around.states[slot]
    spelt = {State.SUCCEEDED: around.options.final_status_state, State.CANCELED: "CANCELLED"}
    error: Json = {}
    if state in (State.FAILED, State.CANCELED):
        code = _CANCELED_CODE if state is State.CANCELED else _UNKNOWN_CODE
        error = {"code": code, "message": around.error_of(slot)}
    return {
        "state": spelt.get(state, str(state)) if state is not None else "",
        "pipelineJobResourceName": around.options.job.get("pipeline_job_resource_name", ""),
        "pipelineTaskName": source.producer_task,
        "error": error,
    }
