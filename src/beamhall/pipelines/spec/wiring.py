"""Whether what stands between the tasks of a DAG fits: inputs, producers, loops, conditions, outputs.

Read ``checking`` first.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from beamhall.pipelines.spec.expressions import condition_problem, selector_problem
from beamhall.pipelines.spec.fields import Findings
from beamhall.pipelines.spec.ir import Component, Dag, ParameterIterator, ParameterSpec, ParameterType, Pipeline, Task
from beamhall.pipelines.spec.placeholders import has_placeholders, references
from beamhall.pipelines.spec.sources import RuntimeValue, TaskArtifact, TaskParameter, within
from beamhall.pipelines.spec.types import TypeMismatch, conform, items_of, literal_problem, normal

MAX_EXPRESSION = 10_000
"""How many characters a condition or selector may have."""

_NOT_FOUND, _REQUIRED = "FieldValueNotFound", "FieldValueRequired"
_NAMED = re.compile(r"inputs\.parameter_values\['([^'\\]*)'\]")
_NUMBERS = (ParameterType.NUMBER_DOUBLE, ParameterType.NUMBER_INTEGER)
_OPEN = (ParameterType.UNSPECIFIED, ParameterType.TASK_FINAL_STATUS, ParameterType.TASK_CONFIG)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The DAG that is checked.

    Attributes:
        where: Its path.
        component: Whose DAG it is.
    """

    where: str
    component: Component
    dag: Dag
    pipeline: Pipeline
    findings: Findings

    def component_of(self, task_name: str) -> Component | None:
        """Give the component of a task, None if there is no such task or component."""
        task = self.dag.tasks.get(task_name)
        return None if task is None else self.pipeline.spec.components.get(task.component_ref.name)

    def knows(self, where: str, task_name: str) -> bool:
        """Tell whether there is such a task; note it if not."""
        if task_name in self.dag.tasks:
            return True
        reason = _NOT_FOUND if task_name else _REQUIRED
        message = f"there is no task {task_name!r} in this DAG" if task_name else "must name a task"
        self.findings.wrong(where, message, reason)
        return False


def check_task(where: str, name: str, task: Task, around: Surroundings) -> None:
    """Check one task."""
    component = around.pipeline.spec.components.get(task.component_ref.name)
    if component is None:
        message = f"there is no component {task.component_ref.name!r}" if task.component_ref.name else "must be given"
        around.findings.wrong(f"{where}.componentRef.name", message, _NOT_FOUND)
        component = Component()
    else:
        _check_given(where, task, component, around.findings)
    for number, upstream in enumerate(task.dependent_tasks):
        if upstream == name:
            around.findings.wrong(f"{where}.dependentTasks[{number}]", "a task cannot wait for itself")
        else:
            around.knows(f"{where}.dependentTasks[{number}]", upstream)
    declared = component.input_definitions
    for key, source in task.inputs.parameters.items():
        here = f"{where}.inputs.parameters[{key!r}]"
        _check_parameter(here, key, source, declared.parameters.get(key), around)
        _check_placeholders(here, source, task, around.findings)
    for key, artifact in task.inputs.artifacts.items():
        _check_artifact(f"{where}.inputs.artifacts[{key!r}]", artifact, around)
    _check_platform(where, component, around)
    _check_loop(where, task, around.findings)
    _check_policies(where, task, around.findings)


def _check_platform(where: str, component: Component, around: Surroundings) -> None:
    """Check where the values of a task's platform configuration come from."""
    inputs = around.component.input_definitions.parameters
    for place, source in around.pipeline.platform_sources(component).items():
        here = f"platforms['kubernetes'].deploymentSpec.executors[{component.executor_label!r}].{place}"
        told = Findings()
        inner = Surroundings(around.where, around.component, around.dag, around.pipeline, told)
        _check_parameter(here, place, within(source, around.dag.tasks, inputs), None, inner)
        for problem in told.problems:
            message = f"{problem.message} (of {where})"
            around.findings.wrong(problem.field, message, problem.reason)


def _check_given(where: str, task: Task, component: Component, findings: Findings) -> None:
    """Check that every required input of the component is given."""
    iterators = (task.parameter_iterator, task.artifact_iterator)
    items = {iterator.item_input for iterator in iterators if iterator is not None}
    given = task.inputs.parameters.keys() | task.inputs.artifacts.keys() | items
    for key, spec in component.input_definitions.parameters.items():
        if spec.is_required and key not in given:
            message = f"must be given: component {task.component_ref.name!r} requires it"
            findings.wrong(f"{where}.inputs.parameters[{key!r}]", message, _REQUIRED)
    for key, artifact in component.input_definitions.artifacts.items():
        if not artifact.is_optional and key not in given:
            message = f"must be given: component {task.component_ref.name!r} requires it"
            findings.wrong(f"{where}.inputs.artifacts[{key!r}]", message, _REQUIRED)


def _check_parameter(
    where: str, key: str, source: TaskParameter, spec: ParameterSpec | None, around: Surroundings
) -> None:
    findings = around.findings
    sources = (source.runtime_value, source.component_input_parameter or None, source.task_output_parameter,
               source.task_final_status)  # fmt: skip
    if sum(one is not None for one in sources) != 1:
        names = "runtimeValue, componentInputParameter, taskOutputParameter and taskFinalStatus"
        findings.wrong(where, f"must have exactly one of {names}")
        return
    selector = source.parameter_expression_selector
    if selector and (message := _expression_problem(selector, is_condition=False)):
        findings.wrong(f"{where}.parameterExpressionSelector", message)
    wanted = ParameterType.UNSPECIFIED if spec is None or selector else spec.parameter_type
    if source.runtime_value is not None:
        _check_constant(where, key, source.runtime_value, None if selector else spec, around)
    elif source.component_input_parameter:
        _check_input(f"{where}.componentInputParameter", source.component_input_parameter, around)
    elif source.task_final_status is not None:
        around.knows(f"{where}.taskFinalStatus.producerTask", source.task_final_status.producer_task)
    elif source.task_output_parameter is not None:
        output = source.task_output_parameter
        _check_output(f"{where}.taskOutputParameter", output.producer_task, output.output_parameter_key, wanted, around)


def _check_constant(
    where: str, key: str, value: RuntimeValue, spec: ParameterSpec | None, around: Surroundings
) -> None:
    here = f"{where}.runtimeValue"
    if value.runtime_parameter:
        _check_input(f"{here}.runtimeParameter", value.runtime_parameter, around)
    elif value.constant is msgspec.UNSET:
        around.findings.wrong(here, "must have a 'constant'", _REQUIRED)
    elif spec is not None and value.constant is not None and not has_placeholders(value.constant):
        try:
            message = literal_problem(key, spec, normal(conform(value.constant, spec.parameter_type)))
        except TypeMismatch as error:
            message = str(error)
        if message:
            around.findings.wrong(f"{here}.constant", message)


def _check_placeholders(where: str, source: TaskParameter, task: Task, findings: Findings) -> None:
    """Check that the placeholders of a constant name inputs of the task."""
    if source.runtime_value is None or not has_placeholders(source.runtime_value.constant):
        return
    for pieces in references(source.runtime_value.constant):
        if len(pieces) >= 3 and pieces[0] == "inputs":
            there: Mapping[str, object] = (
                task.inputs.parameters if pieces[1] == "parameters" else task.inputs.artifacts
            )  # fmt: skip
            if pieces[2] not in there:
                message = f"has a placeholder of {pieces[2]!r}, which is no input of the task"
                findings.wrong(f"{where}.runtimeValue.constant", message, _NOT_FOUND)


def _check_input(where: str, name: str, around: Surroundings, *, is_artifact: bool = False) -> None:
    """Check that the surrounding component has an input."""
    inputs = around.component.input_definitions
    there: Mapping[str, object] = inputs.artifacts if is_artifact else inputs.parameters
    if name not in there:
        kind = "artifact" if is_artifact else "parameter"
        place = around.where.removesuffix(".dag")
        around.findings.wrong(where, f"{place} has no input {kind} {name!r}", _NOT_FOUND)


def _check_output(where: str, producer: str, key: str, wanted: ParameterType, around: Surroundings) -> None:
    """Check that a task has an output parameter, of a type that can become the wanted one."""
    if not around.knows(f"{where}.producerTask", producer):
        return
    component = around.component_of(producer)
    if component is None:
        return  # said where the producer stands
    spec = component.output_definitions.parameters.get(key)
    if spec is None:
        known = ", ".join(component.output_definitions.parameters) or "it has none"
        message = f"task {producer!r} has no output parameter {key!r} (known: {known})"
        around.findings.wrong(f"{where}.outputParameterKey", message, _NOT_FOUND)
    elif component.dag is None and not around.dag.tasks[producer].is_loop:
        given = spec.parameter_type
        if given is not wanted and not (
            wanted is ParameterType.STRING or given in _OPEN or wanted in _OPEN
            or (given in _NUMBERS and wanted in _NUMBERS)
        ):  # fmt: skip
            message = f"output {key!r} of task {producer!r} is a {given}, but a {wanted} is needed"
            around.findings.wrong(where, message)


def _check_artifact(where: str, source: TaskArtifact, around: Surroundings) -> None:
    output = source.task_output_artifact
    if (output is None) == (not source.component_input_artifact):
        around.findings.wrong(where, "must have exactly one of taskOutputArtifact and componentInputArtifact")
    elif output is None:
        here = f"{where}.componentInputArtifact"
        _check_input(here, source.component_input_artifact, around, is_artifact=True)
    else:
        _check_output_artifact(f"{where}.taskOutputArtifact", output.producer_task, output.output_artifact_key, around)


def _check_output_artifact(where: str, producer: str, key: str, around: Surroundings) -> None:
    if not around.knows(f"{where}.producerTask", producer):
        return
    component = around.component_of(producer)
    if component is not None and key not in component.output_definitions.artifacts:
        known = ", ".join(component.output_definitions.artifacts) or "it has none"
        message = f"task {producer!r} has no output artifact {key!r} (known: {known})"
        around.findings.wrong(f"{where}.outputArtifactKey", message, _NOT_FOUND)


def _check_loop(where: str, task: Task, findings: Findings) -> None:
    loop, over_artifacts = task.parameter_iterator, task.artifact_iterator
    if loop is not None and over_artifacts is not None:
        findings.wrong(where, "must have at most one of parameterIterator and artifactIterator")
    if task.iterator_policy.parallelism_limit < 0:
        findings.wrong(f"{where}.iteratorPolicy.parallelismLimit", "must not be negative; 0 is unlimited")
    if loop is not None:
        _check_items(f"{where}.parameterIterator", loop, task, findings)
    if over_artifacts is not None:
        here, name = f"{where}.artifactIterator", over_artifacts.items.input_artifact
        if name not in task.inputs.artifacts:
            findings.wrong(f"{here}.items.inputArtifact", f"the task has no input artifact {name!r}", _NOT_FOUND)
        if not over_artifacts.item_input:
            findings.wrong(f"{here}.itemInput", "must be given", _REQUIRED)


def _check_items(where: str, loop: ParameterIterator, task: Task, findings: Findings) -> None:
    name = loop.items.input_parameter
    if bool(loop.items.raw) == bool(name):
        findings.wrong(f"{where}.items", "must have exactly one of raw and inputParameter")
    elif name and name not in task.inputs.parameters:
        findings.wrong(f"{where}.items.inputParameter", f"the task has no input parameter {name!r}", _NOT_FOUND)
    elif loop.items.raw:
        try:
            items_of(loop.items.raw)
        except TypeMismatch as error:
            findings.wrong(f"{where}.items.raw", str(error))
    if not loop.item_input:
        findings.wrong(f"{where}.itemInput", "must be given", _REQUIRED)


def _check_policies(where: str, task: Task, findings: Findings) -> None:
    condition = task.trigger_policy.condition
    if condition:
        here = f"{where}.triggerPolicy.condition"
        if message := _expression_problem(condition, is_condition=True):
            findings.wrong(here, message)
        for name in dict.fromkeys(_NAMED.findall(condition)):
            if name not in task.inputs.parameters:
                findings.wrong(here, f"the task has no input parameter {name!r}", _NOT_FOUND)
    retry = task.retry_policy
    if retry is not None and min(retry.max_retry_count, retry.backoff_duration, retry.backoff_factor) < 0:
        findings.wrong(f"{where}.retryPolicy", "numbers must not be negative")


def _expression_problem(text: str, *, is_condition: bool) -> str:
    if len(text) > MAX_EXPRESSION:
        return f"has {len(text)} characters; {MAX_EXPRESSION} are allowed"
    return condition_problem(text) if is_condition else selector_problem(text)


def check_outputs(around: Surroundings) -> None:
    """Check where the outputs of a DAG come from."""
    outputs, declared = around.dag.outputs, around.component.output_definitions
    for key, output in outputs.parameters.items():
        here = f"{around.where}.outputs.parameters[{key!r}]"
        if not output.selectors or (output.value_from_parameter is not None and output.value_from_oneof is not None):
            around.findings.wrong(here, "must have exactly one of valueFromParameter and valueFromOneof")
        for selector in output.selectors:
            producer, name = selector.producer_subtask, selector.output_parameter_key
            _check_output(here, producer, name, ParameterType.UNSPECIFIED, around)
    for key, artifact in outputs.artifacts.items():
        here = f"{around.where}.outputs.artifacts[{key!r}]"
        if not artifact.artifact_selectors:
            around.findings.wrong(here, "must have an artifact selector", _REQUIRED)
        for one in artifact.artifact_selectors:
            _check_output_artifact(here, one.producer_subtask, one.output_artifact_key, around)
    for kind, names, sources in (
        ("parameters", declared.parameters, outputs.parameters), ("artifacts", declared.artifacts, outputs.artifacts),
    ):  # fmt: skip
        there: Mapping[str, object] = sources
        for key in names:
            if key not in there:
                message = "is declared as an output, but does not say where it comes from"
                around.findings.wrong(f"{around.where}.outputs.{kind}[{key!r}]", message, _REQUIRED)
