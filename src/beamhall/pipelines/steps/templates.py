"""What the steps of one task have in common, however often it is started. Worked out once a run, by ``step``."""

from collections.abc import Mapping

from beamhall.pipelines.engine.decisions import Start
from beamhall.pipelines.engine.values import ArtifactRef, Inputs
from beamhall.pipelines.spec.executors import Container
from beamhall.pipelines.spec.ir import Component, ParameterType, Task
from beamhall.pipelines.spec.placeholders import WORKSPACE_METADATA, WORKSPACE_PATH, has_placeholders, references
from beamhall.pipelines.spec.platform import KubernetesConfig, sources_of
from beamhall.pipelines.spec.sources import Json
from beamhall.pipelines.steps.executor_input import OutputShape
from beamhall.pipelines.steps.facts import RunFacts

_WORKSPACE = "{{$.workspace_path}}"


class Template:
    """What does not depend on inputs.

    Attributes:
        task: The task; with ``component`` and ``executor`` as a ``Start`` has them.
        name: Of the task, in its DAG.
        config: What is asked of Kubernetes; None for nothing.
        constants: Values of the configuration that need no inputs, by where they stand.
        passes: What of the configuration is handed to the component, each with whether it applies to the Pod too.
        task_configs: Names of the inputs that it is handed by.
        declared: Names of the inputs that the component knows.
        templated: Constants of the task with placeholders that only the step can fill in: of itself, of artifacts.
        outputs: Where outputs are left.
        names_workspace: Whether the container says that it uses the workspace.
        demands_workspace: Whether it says so by a placeholder, which means nothing without one.
        mentions_custom_path: Whether the component may leave an artifact somewhere else.
    """

    __slots__ = (
        "component", "config", "constants", "container", "declared", "demands_workspace", "mentions_custom_path",
        "name", "names_workspace", "outputs", "passes", "task", "task_configs", "templated",
    )  # fmt: skip

    def __init__(self, start: Start, facts: RunFacts) -> None:
        self.task: Task = start.task
        self.component: Component = start.component
        self.container: Container | None = start.executor.container
        self.name = task_name(start.path)
        label = self.component.executor_label
        self.config: KubernetesConfig | None = facts.pipeline.kubernetes.get(label)
        self.constants: Mapping[str, Json] = {
            where: source.runtime_value.constant
            for where, source in (sources_of(self.config) if self.config is not None else {}).items()
            if source.runtime_value is not None and not source.runtime_value.runtime_parameter
        }
        self.passes = {one.field: one.apply_to_task for one in self.component.task_config_passthroughs}
        inputs = self.component.input_definitions.parameters
        self.task_configs = [name for name, spec in inputs.items() if spec.parameter_type is ParameterType.TASK_CONFIG]
        self.declared = frozenset(inputs)
        self.templated: Mapping[str, Json] = {
            name: source.runtime_value.constant
            for name, source in self.task.inputs.parameters.items()
            if source.runtime_value is not None and _is_for_the_step(source.runtime_value.constant, facts.job)
        }
        self.outputs = OutputShape(self.component.output_definitions)
        texts = _texts(self.container) if self.container is not None else []
        self.names_workspace = any(_WORKSPACE in text or WORKSPACE_PATH in text for text in texts)
        self.demands_workspace = any(_WORKSPACE in text for text in texts)
        self.mentions_custom_path = any("custom_path" in text or ".set_path(" in text for text in texts)

    def uses_workspace(self, inputs: Inputs) -> bool:
        """Tell whether a step uses the workspace of its run: its container, a value or an artifact says so."""
        return (
            self.names_workspace
            or any(_names_workspace(value) for value in inputs.parameters.values())
            or any(_is_in_workspace(ref) for refs in inputs.artifacts.values() for ref in refs)
        )


def task_name(path: str) -> str:
    """Give the name of the task at a path: of ``/loop[3]/train`` it is ``train``, of ``/loop[3]`` it is ``loop``."""
    return path.rsplit("/", 1)[-1].partition("[")[0]


def _names_workspace(value: Json) -> bool:
    if isinstance(value, str):
        return WORKSPACE_PATH in value or _WORKSPACE in value
    if isinstance(value, Mapping):
        return any(_names_workspace(member) for member in value.values())
    return isinstance(value, list | tuple) and any(_names_workspace(item) for item in value)


def _is_in_workspace(ref: ArtifactRef) -> bool:
    return ref.metadata.get(WORKSPACE_METADATA) is True or ref.uri.startswith(WORKSPACE_PATH)


def _is_for_the_step(constant: Json, job: Mapping[str, str]) -> bool:
    """Tell whether a constant names more than parameters and what is known of the job."""
    return has_placeholders(constant) and any(
        pieces[:2] != ("inputs", "parameters") and not (len(pieces) == 1 and pieces[0] in {*job, "pipeline_task_name"})
        for pieces in references(constant)
    )


def _texts(container: Container) -> list[str]:
    return [*container.command, *container.args, *(one.value for one in container.env)]
