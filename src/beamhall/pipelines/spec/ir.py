"""A pipeline as it is specified: components, DAGs of tasks, what is executed. Typed views, made by ``reading``.

Names are those of the protocol buffers, in snake case; what older SDKs wrote otherwise has one form here. The document
itself is what is stored and given back to users. ``checking`` says what holds of a pipeline that was checked.

Source: ``kubeflow/pipelines/api/v2alpha1/pipeline_spec.proto``; reference "KFP", section 2.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Annotated

import msgspec

from beamhall.kernel.errors import Cause
from beamhall.pipelines.spec.executors import ArtifactType, Executor
from beamhall.pipelines.spec.platform import KubernetesConfig, PipelineConfig, sources_of
from beamhall.pipelines.spec.sources import Json, Part, RuntimeValue, TaskInputs, TaskParameter, metadata_of

Seconds = Annotated[float, "duration"]
"""A time that JSON writes as ``"1.5s"``, in seconds."""


class ParameterType(StrEnum):
    """The types of parameters."""

    UNSPECIFIED = "PARAMETER_TYPE_ENUM_UNSPECIFIED"
    NUMBER_DOUBLE = "NUMBER_DOUBLE"
    NUMBER_INTEGER = "NUMBER_INTEGER"
    STRING = "STRING"
    BOOLEAN = "BOOLEAN"
    LIST = "LIST"
    STRUCT = "STRUCT"
    TASK_FINAL_STATUS = "TASK_FINAL_STATUS"
    TASK_CONFIG = "TASK_CONFIG"


class PrimitiveType(StrEnum):
    """The types of parameters as older SDKs wrote them, in ``type``."""

    UNSPECIFIED = "PRIMITIVE_TYPE_UNSPECIFIED"
    INT = "INT"
    DOUBLE = "DOUBLE"
    STRING = "STRING"


_TYPES = {
    PrimitiveType.UNSPECIFIED: ParameterType.UNSPECIFIED,
    PrimitiveType.INT: ParameterType.NUMBER_INTEGER,
    PrimitiveType.DOUBLE: ParameterType.NUMBER_DOUBLE,
    PrimitiveType.STRING: ParameterType.STRING,
}


class Strategy(StrEnum):
    """When a task is ready."""

    UNSPECIFIED = "TRIGGER_STRATEGY_UNSPECIFIED"
    SUCCEEDED = "ALL_UPSTREAM_TASKS_SUCCEEDED"
    COMPLETED = "ALL_UPSTREAM_TASKS_COMPLETED"


class ParameterSpec(Part, frozen=True):
    """An input or output parameter of a component.

    Attributes:
        parameter_type: Its type; ``type``, the older form, is taken where there is none.
        default_value: ``msgspec.UNSET`` if there is none. Outputs have none.
        is_optional: Whether it may have no value at all.
        literals: The only values that it may have, if any are given.
    """

    parameter_type: ParameterType = ParameterType.UNSPECIFIED
    type: PrimitiveType = PrimitiveType.UNSPECIFIED
    default_value: Json | msgspec.UnsetType = msgspec.UNSET
    is_optional: bool = False
    description: str = ""
    literals: Sequence[Json] = ()

    def __post_init__(self) -> None:
        if self.parameter_type is ParameterType.UNSPECIFIED:
            msgspec.structs.force_setattr(self, "parameter_type", _TYPES[self.type])

    @property
    def is_required(self) -> bool:
        """Whether a value must be given."""
        return not self.is_optional and self.default_value is msgspec.UNSET


class ArtifactSpec(Part, frozen=True):
    """An input or output artifact of a component.

    Attributes:
        is_artifact_list: Whether it is a list of artifacts.
        metadata: What an output's metadata begins with; ``properties`` and ``custom_properties`` are its older form.
    """

    artifact_type: ArtifactType = ArtifactType()
    is_optional: bool = False
    is_artifact_list: bool = False
    description: str = ""
    metadata: Mapping[str, Json] = msgspec.field(default_factory=dict)
    properties: Mapping[str, RuntimeValue] = msgspec.field(default_factory=dict)
    custom_properties: Mapping[str, RuntimeValue] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.metadata and (self.properties or self.custom_properties):
            made = metadata_of(self.properties, self.custom_properties)
            msgspec.structs.force_setattr(self, "metadata", made)


class Definitions(Part, frozen=True):
    """The inputs, or the outputs, of a component."""

    parameters: Mapping[str, ParameterSpec] = msgspec.field(default_factory=dict)
    artifacts: Mapping[str, ArtifactSpec] = msgspec.field(default_factory=dict)


class ParameterSelector(Part, frozen=True):
    """An output parameter of a task of the DAG."""

    producer_subtask: str = ""
    output_parameter_key: str = ""


class ParameterSelectors(Part, frozen=True):
    """Output parameters of tasks of the DAG: the first whose task ran counts."""

    parameter_selectors: Sequence[ParameterSelector] = ()


class DagOutputParameter(Part, frozen=True):
    """Where an output parameter of a DAG comes from: exactly one is set."""

    value_from_parameter: ParameterSelector | None = None
    value_from_oneof: ParameterSelectors | None = None

    @property
    def selectors(self) -> Sequence[ParameterSelector]:
        """Where it comes from: the first whose task ran counts."""
        if self.value_from_oneof is not None:
            return self.value_from_oneof.parameter_selectors
        return () if self.value_from_parameter is None else (self.value_from_parameter,)


class ArtifactSelector(Part, frozen=True):
    """An output artifact of a task of the DAG."""

    producer_subtask: str = ""
    output_artifact_key: str = ""


class DagOutputArtifact(Part, frozen=True):
    """Where an output artifact of a DAG comes from: of several, the first whose task ran counts (OneOf)."""

    artifact_selectors: Sequence[ArtifactSelector] = ()


class DagOutputs(Part, frozen=True):
    """The outputs of a DAG, by name."""

    parameters: Mapping[str, DagOutputParameter] = msgspec.field(default_factory=dict)
    artifacts: Mapping[str, DagOutputArtifact] = msgspec.field(default_factory=dict)


class TaskInfo(Part, frozen=True):
    """What a task is called where people see it."""

    name: str = ""


class ComponentRef(Part, frozen=True):
    """Names a component."""

    name: str = ""


class CachingOptions(Part, frozen=True):
    """Whether results of an earlier run may stand for those of a task; ``cache_key`` replaces the computed key."""

    enable_cache: bool = False
    cache_key: str = ""


class TriggerPolicy(Part, frozen=True):
    """When a task runs: when ``strategy`` says that it is ready, and ``condition`` (if any) holds."""

    condition: str = ""
    strategy: Strategy = Strategy.UNSPECIFIED


class ParameterItems(Part, frozen=True):
    """The items of a loop: JSON text, or the name of an input of the task that holds a list (or its JSON text)."""

    raw: str = ""
    input_parameter: str = ""


class ParameterIterator(Part, frozen=True):
    """A loop over the items of a list; each is the input ``item_input`` of one iteration."""

    items: ParameterItems = ParameterItems()
    item_input: str = ""


class ArtifactItems(Part, frozen=True):
    """The name of an input of the task that holds a list of artifacts."""

    input_artifact: str = ""


class ArtifactIterator(Part, frozen=True):
    """A loop over a list of artifacts; each is the input ``item_input`` of one iteration."""

    items: ArtifactItems = ArtifactItems()
    item_input: str = ""


class IteratorPolicy(Part, frozen=True):
    """How many iterations run at once; 0 is unlimited."""

    parallelism_limit: int = 0


class RetryPolicy(Part, frozen=True):
    """How often a task is tried again, and after how many seconds: duration * factor ** n, up to the maximum.

    Attributes:
        max_retry_count: Retries beyond the first attempt.
        backoff_duration: Seconds before the first retry.
        backoff_factor: What each further wait is multiplied by.
        backoff_max_duration: The longest wait, in seconds.
    """

    max_retry_count: int = 0
    backoff_duration: Seconds = 0.0
    backoff_factor: float = 2.0
    backoff_max_duration: Seconds = 3600.0


class Task(Part, frozen=True):
    """One task of a DAG."""

    task_info: TaskInfo = TaskInfo()
    component_ref: ComponentRef = ComponentRef()
    inputs: TaskInputs = TaskInputs()
    dependent_tasks: Sequence[str] = ()
    caching_options: CachingOptions = CachingOptions()
    trigger_policy: TriggerPolicy = TriggerPolicy()
    parameter_iterator: ParameterIterator | None = None
    artifact_iterator: ArtifactIterator | None = None
    iterator_policy: IteratorPolicy = IteratorPolicy()
    retry_policy: RetryPolicy | None = None

    @property
    def upstream(self) -> Sequence[str]:
        """The tasks that must have finished before: those that it depends on and the producers of its inputs."""
        found = [*self.dependent_tasks]
        found += [source.producer for source in self.inputs.parameters.values()]
        found += [source.producer for source in self.inputs.artifacts.values()]
        return tuple(dict.fromkeys(name for name in found if name))

    @property
    def is_loop(self) -> bool:
        """Whether it runs once for each item of a list."""
        return self.parameter_iterator is not None or self.artifact_iterator is not None

    @property
    def runs_after_failure(self) -> bool:
        """Whether it runs however the tasks before it ended."""
        return self.trigger_policy.strategy is Strategy.COMPLETED


class Dag(Part, frozen=True):
    """Tasks, and which of their outputs are the outputs of the whole."""

    tasks: Mapping[str, Task] = msgspec.field(default_factory=dict)
    outputs: DagOutputs = DagOutputs()


class TaskConfigPassthrough(Part, frozen=True):
    """What of a task's platform configuration is handed to its TASK_CONFIG input.

    Attributes:
        field: ``RESOURCES``, ``ENV``, ``KUBERNETES_TOLERATIONS``, ``KUBERNETES_NODE_SELECTOR``,
            ``KUBERNETES_AFFINITY``, ``KUBERNETES_VOLUMES``, ….
        apply_to_task: Whether it applies to the task's own Pod too.
    """

    field: str = ""
    apply_to_task: bool = False


class Component(Part, frozen=True):
    """What a task does: a DAG, or something that is executed; exactly one of ``dag`` and ``executor_label`` is set."""

    input_definitions: Definitions = Definitions()
    output_definitions: Definitions = Definitions()
    executor_label: str = ""
    dag: Dag | None = None
    single_platform_specs: Sequence[Json] = ()
    task_config_passthroughs: Sequence[TaskConfigPassthrough] = ()


class PipelineInfo(Part, frozen=True):
    """What a pipeline is called."""

    name: str = ""
    display_name: str = ""
    description: str = ""


class Deployment(Part, frozen=True):
    """What is executed, by executor label."""

    executors: Mapping[str, Executor] = msgspec.field(default_factory=dict)


class PipelineSpec(Part, frozen=True):
    """The first document of a package."""

    pipeline_info: PipelineInfo = PipelineInfo()
    deployment_spec: Deployment = Deployment()
    sdk_version: str = ""
    schema_version: str = ""
    components: Mapping[str, Component] = msgspec.field(default_factory=dict)
    root: Component = Component()
    default_pipeline_root: str = ""


class Pipeline(msgspec.Struct, frozen=True, kw_only=True):
    """A pipeline with what it asks of the platform.

    Attributes:
        kubernetes: Configuration by executor label.
        config: What a run asks for as a whole.
        warnings: What is not served, or not known, and does not keep it from running.
    """

    spec: PipelineSpec
    kubernetes: Mapping[str, KubernetesConfig] = msgspec.field(default_factory=dict)
    config: PipelineConfig = PipelineConfig()
    warnings: Sequence[Cause] = ()

    @property
    def name(self) -> str:
        """The name that the specification gives it."""
        return self.spec.pipeline_info.name

    @property
    def root(self) -> Component:
        """The component that a run executes; it has a DAG."""
        return self.spec.root

    def component_of(self, task: Task) -> Component:
        """Give the component of a task. Raises ``KeyError``, never of a checked pipeline."""
        return self.spec.components[task.component_ref.name]

    def executor_of(self, component: Component) -> Executor:
        """Give what a component without a DAG executes. Raises ``KeyError``, never of a checked pipeline."""
        return self.spec.deployment_spec.executors[component.executor_label]

    def kubernetes_of(self, component: Component) -> KubernetesConfig:
        """Give what a component without a DAG asks of Kubernetes; an empty configuration if nothing."""
        return self.kubernetes.get(component.executor_label, _NOTHING)

    def upstream_of(self, task: Task, dag: Dag) -> Sequence[str]:
        """Give the tasks of a DAG that must have finished before a task of it.

        Besides those that the task names (``Task.upstream``), those whose outputs its platform configuration takes: in
        a package only that may say so.
        """
        component = self.spec.components.get(task.component_ref.name)
        sources = {} if component is None else self.platform_sources(component)
        found = [source.producer for source in sources.values() if source.producer in dag.tasks]
        return tuple(dict.fromkeys((*task.upstream, *found))) if found else task.upstream

    def platform_sources(self, component: Component) -> Mapping[str, TaskParameter]:
        """Give where the values of a component's platform configuration come from, by where they stand in it."""
        config = self.kubernetes.get(component.executor_label) if component.executor_label else None
        return {} if config is None else sources_of(config)

    def dags(self) -> Iterator[tuple[str, Component, Dag]]:
        """Give each DAG: where it stands (``root``, ``components['comp-a']``), its component, and itself."""
        if self.root.dag is not None:
            yield "root", self.root, self.root.dag
        for name, component in self.spec.components.items():
            if component.dag is not None:
                yield f"components[{name!r}]", component, component.dag


_NOTHING = KubernetesConfig()
