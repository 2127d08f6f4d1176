"""Where the inputs of a task come from: a constant, an input of the surrounding component, an output of a sibling task.

Names are those of the protocol buffers, in snake case. Read on in ``ir``.

Source: ``kubeflow/pipelines/api/v2alpha1/pipeline_spec.proto``, ``TaskInputsSpec``; reference "KFP", section 2.2.
"""

from collections.abc import Container, Mapping
from typing import Any

import msgspec

Json = Any
"""A JSON value: null is None, an object is a mapping with text keys. Shared: never change it."""


class Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A part of a specification. Its fields are camelCase in JSON; absent and null mean the default."""


class ConstantValue(Part, frozen=True):
    """A constant as older SDKs wrote it; exactly one is set."""

    int_value: int | None = None
    double_value: float | None = None
    string_value: str | None = None


class RuntimeValue(Part, frozen=True):
    """A constant (may hold placeholders), or a reference to an input of the surrounding component.

    Attributes:
        constant: The value; ``msgspec.UNSET`` if there is none, None is the constant null.
        constant_value: The older form of it; becomes ``constant``.
        runtime_parameter: Name of an input parameter, or empty.
    """

    constant: Json | msgspec.UnsetType = msgspec.UNSET
    constant_value: ConstantValue | None = None
    runtime_parameter: str = ""

    def __post_init__(self) -> None:
        old = self.constant_value
        if old is not None and self.constant is msgspec.UNSET:
            found = [value for value in (old.int_value, old.double_value, old.string_value) if value is not None]
            msgspec.structs.force_setattr(self, "constant", found[0] if found else msgspec.UNSET)


class TaskOutputParameter(Part, frozen=True):
    """An output parameter of a task of the same DAG."""

    producer_task: str = ""
    output_parameter_key: str = ""


class TaskFinalStatus(Part, frozen=True):
    """How a task of the same DAG ended, as JSON text."""

    producer_task: str = ""


class TaskParameter(Part, frozen=True):
    """Where one input parameter comes from: exactly one of the first four is set.

    Attributes:
        component_input_parameter: Name of an input of the surrounding component, or empty.
        parameter_expression_selector: A CEL expression over ``string_value`` that is applied to what was found; or
            empty.
    """

    runtime_value: RuntimeValue | None = None
    component_input_parameter: str = ""
    task_output_parameter: TaskOutputParameter | None = None
    task_final_status: TaskFinalStatus | None = None
    parameter_expression_selector: str = ""

    @property
    def producer(self) -> str:
        """The task that it waits for, or empty."""
        if self.task_output_parameter is not None:
            return self.task_output_parameter.producer_task
        return self.task_final_status.producer_task if self.task_final_status is not None else ""


class TaskOutputArtifact(Part, frozen=True):
    """An output artifact of a task of the same DAG."""

    producer_task: str = ""
    output_artifact_key: str = ""


class TaskArtifact(Part, frozen=True):
    """Where one input artifact comes from: exactly one is set."""

    task_output_artifact: TaskOutputArtifact | None = None
    component_input_artifact: str = ""

    @property
    def producer(self) -> str:
        """The task that it waits for, or empty."""
        return self.task_output_artifact.producer_task if self.task_output_artifact is not None else ""


def constant_parameter(value: Json) -> TaskParameter:
    """Give the source of a parameter that is always the same."""
    return TaskParameter(runtime_value=RuntimeValue(constant=value))


def metadata_of(*properties: Mapping[str, RuntimeValue]) -> Mapping[str, Json]:
    """Give the metadata that older SDKs wrote as properties; those taken from an input become placeholders."""
    return {
        name: value.constant if value.constant is not msgspec.UNSET
        else f"{{{{$.inputs.parameters['{value.runtime_parameter}']}}}}"
        for some in properties for name, value in some.items()
    }  # fmt: skip


class TaskInputs(Part, frozen=True):
    """The inputs of a task, by the name that its component gives them."""

    parameters: Mapping[str, TaskParameter] = msgspec.field(default_factory=dict)
    artifacts: Mapping[str, TaskArtifact] = msgspec.field(default_factory=dict)


def within(source: TaskParameter, tasks: Container[str], inputs: Container[str]) -> TaskParameter:
    """Give a source of a platform configuration as the DAG of its task means it.

    SDKs before 2.17 wrote there what a task's own inputs never say: a task of the DAG around, or an input by its name
    outside. Both come in as inputs called ``pipelinechannel--…``.

    Args:
        source: As it is written.
        tasks: Names of the tasks of the DAG.
        inputs: Names of its inputs.

    Source: kfp 2.17, ``compiler/pipeline_spec_builder.py``, ``_rewrite_platform_config_input_references``.
    """
    output, name = source.task_output_parameter, source.component_input_parameter
    if output is not None and output.producer_task not in tasks:
        name = f"{output.producer_task}-{output.output_parameter_key}"
    elif not name or name in inputs:
        return source
    inner = f"pipelinechannel--{name}"
    if inner not in inputs:
        return source
    return TaskParameter(
        component_input_parameter=inner, parameter_expression_selector=source.parameter_expression_selector
    )
