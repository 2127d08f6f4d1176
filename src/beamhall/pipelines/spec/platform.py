"""What a pipeline asks of Kubernetes beyond its containers: the second document of a package.

Values of the type ``TaskParameter`` are resolved when a task starts; an optional one may be absent then.

Source: ``kubeflow/pipelines/kubernetes_platform/proto/kubernetes_executor_config.proto``; reference "KFP", 2.10.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from beamhall.pipelines.spec.sources import Json, Part, TaskOutputParameter, TaskParameter, constant_parameter


class KeyToEnv(Part, frozen=True):
    """A key of a Secret or ConfigMap, and the environment variable that it goes to."""

    secret_key: str = ""
    config_map_key: str = ""
    env_var: str = ""

    @property
    def key(self) -> str:
        """The key."""
        return self.secret_key or self.config_map_key


class SecretUse(Part, frozen=True):
    """A Secret as a volume (``mount_path``), as environment (``key_to_env``), or to pull images with.

    Attributes:
        secret_name: The older form of the name; becomes ``secret_name_parameter``.
        secret_name_parameter: Its name.
        optional: Whether the Secret may be missing.
    """

    secret_name: str = ""
    secret_name_parameter: TaskParameter | None = None
    mount_path: str = ""
    key_to_env: Sequence[KeyToEnv] = ()
    optional: bool = False

    def __post_init__(self) -> None:
        if self.secret_name_parameter is None and self.secret_name:
            msgspec.structs.force_setattr(self, "secret_name_parameter", constant_parameter(self.secret_name))


class ConfigMapUse(Part, frozen=True):
    """A ConfigMap as a volume (``mount_path``) or as environment (``key_to_env``); see ``SecretUse``."""

    config_map_name: str = ""
    config_map_name_parameter: TaskParameter | None = None
    mount_path: str = ""
    key_to_env: Sequence[KeyToEnv] = ()
    optional: bool = False

    def __post_init__(self) -> None:
        if self.config_map_name_parameter is None and self.config_map_name:
            made = constant_parameter(self.config_map_name)
            msgspec.structs.force_setattr(self, "config_map_name_parameter", made)


class PvcMount(Part, frozen=True):
    """A PersistentVolumeClaim as a volume.

    Attributes:
        constant: With the next two the older form of the name; become ``pvc_name_parameter``.
        pvc_name_parameter: Its name.
        sub_path: Path within the volume; empty is its root.
    """

    constant: str = ""
    component_input_parameter: str = ""
    task_output_parameter: TaskOutputParameter | None = None
    pvc_name_parameter: TaskParameter | None = None
    mount_path: str = ""
    sub_path: str = ""

    def __post_init__(self) -> None:
        if self.pvc_name_parameter is None:
            made = constant_parameter(self.constant) if self.constant else TaskParameter(
                component_input_parameter=self.component_input_parameter,
                task_output_parameter=self.task_output_parameter,
            )  # fmt: skip
            msgspec.structs.force_setattr(self, "pvc_name_parameter", made)


class NodeSelector(Part, frozen=True):
    """Labels that a node must have; ``node_selector_json`` wins over ``labels``."""

    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    node_selector_json: TaskParameter | None = None


class Metadata(Part, frozen=True):
    """Labels and annotations."""

    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    annotations: Mapping[str, str] = msgspec.field(default_factory=dict)


class FieldPathAsEnv(Part, frozen=True):
    """A field of the Pod (``metadata.name``, …) as an environment variable."""

    name: str = ""
    field_path: str = ""


class Toleration(Part, frozen=True):
    """A toleration of the Pod; ``toleration_json`` (one or a list) wins over the other fields."""

    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None
    toleration_json: TaskParameter | None = None


class GenericEphemeralVolume(Part, frozen=True):
    """A volume that lives as long as the Pod, of a claim of its own."""

    volume_name: str = ""
    mount_path: str = ""
    access_modes: Sequence[str] = ()
    size: str = ""
    default_storage_class: bool = False
    storage_class_name: str = ""
    metadata: Metadata | None = None


class Requirement(Part, frozen=True):
    """One requirement on labels or fields."""

    key: str = ""
    operator: str = ""
    values: Sequence[str] = ()


class NodeAffinity(Part, frozen=True):
    """A wish (with ``weight``) or demand about the node; ``node_affinity_json`` wins over the other fields."""

    match_expressions: Sequence[Requirement] = ()
    match_fields: Sequence[Requirement] = ()
    weight: int | None = None
    node_affinity_json: TaskParameter | None = None


class PodAffinity(Part, frozen=True):
    """A wish (with ``weight``) or demand to be near to other Pods, or (``anti``) far from them."""

    match_pod_expressions: Sequence[Requirement] = ()
    match_pod_labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    topology_key: str = ""
    namespaces: Sequence[str] = ()
    match_namespace_expressions: Sequence[Requirement] = ()
    match_namespace_labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    weight: int | None = None
    anti: bool = False


class SharedMemory(Part, frozen=True):
    """A larger ``/dev/shm``."""

    volume_name: str = ""
    size: str = ""


class EmptyDirMount(Part, frozen=True):
    """An empty directory that lives as long as the Pod."""

    volume_name: str = ""
    mount_path: str = ""
    medium: str = ""
    size_limit: str = ""


class SecurityContext(Part, frozen=True):
    """Whom the container runs as."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None


class PodResourceClaim(Part, frozen=True):
    """A claim of devices (dynamic resource allocation)."""

    resource_claim_template_name: str = ""
    resource_claim_name: str = ""
    resource_claim_json: TaskParameter | None = None


class NamedValue(Part, frozen=True):
    """An environment variable of an init container."""

    name: str = ""
    value: str = ""


class VolumeMount(Part, frozen=True):
    """Where an init container sees a volume of the Pod."""

    volume_name: str = ""
    mount_path: str = ""


class ContainerResources(Part, frozen=True):
    """Quantities by resource name."""

    requests: Mapping[str, str] = msgspec.field(default_factory=dict)
    limits: Mapping[str, str] = msgspec.field(default_factory=dict)


class InitContainer(Part, frozen=True):
    """A container that runs before the step, or (``restart_policy`` is ``Always``) beside it."""

    name: str = ""
    image: str = ""
    command: Sequence[str] = ()
    args: Sequence[str] = ()
    env: Sequence[NamedValue] = ()
    volume_mounts: Sequence[VolumeMount] = ()
    restart_policy: str = ""
    resources: ContainerResources | None = None


class KubernetesConfig(Part, frozen=True):
    """What one executor asks for. ``active_deadline_seconds`` is 0 where it is not limited."""

    secret_as_volume: Sequence[SecretUse] = ()
    secret_as_env: Sequence[SecretUse] = ()
    pvc_mount: Sequence[PvcMount] = ()
    node_selector: NodeSelector | None = None
    pod_metadata: Metadata | None = None
    image_pull_secret: Sequence[SecretUse] = ()
    image_pull_policy: str = ""
    config_map_as_volume: Sequence[ConfigMapUse] = ()
    config_map_as_env: Sequence[ConfigMapUse] = ()
    active_deadline_seconds: int = 0
    field_path_as_env: Sequence[FieldPathAsEnv] = ()
    tolerations: Sequence[Toleration] = ()
    generic_ephemeral_volume: Sequence[GenericEphemeralVolume] = ()
    node_affinity: Sequence[NodeAffinity] = ()
    pod_affinity: Sequence[PodAffinity] = ()
    enabled_shared_memory: SharedMemory | None = None
    empty_dir_mounts: Sequence[EmptyDirMount] = ()
    security_context: SecurityContext | None = None
    init_containers: Sequence[InitContainer] = ()
    pod_resource_claims: Sequence[PodResourceClaim] = ()


class WorkspaceKubernetes(Part, frozen=True):
    """How the claim of the workspace is made: a patch of its specification."""

    pvc_spec_patch: Mapping[str, Json] = msgspec.field(default_factory=dict)


class Workspace(Part, frozen=True):
    """A directory that the tasks of a run share."""

    size: str = ""
    kubernetes: WorkspaceKubernetes | None = None


class PipelineConfig(Part, frozen=True):
    """What a run asks for as a whole. Times are seconds, 0 is unlimited.

    Attributes:
        resource_ttl_on_completion: How long the run's Pods are kept after it ended, unless one of the next two applies.
        resource_ttl: Older name of the same.
        semaphore_key: Names a key of a ConfigMap that limits how many runs go on at once; or empty.
        mutex_name: Only one run with the same name goes on at once; or empty.
    """

    resource_ttl_on_completion: int = 0
    resource_ttl_on_success: int = 0
    resource_ttl_on_failure: int = 0
    resource_ttl: int = 0
    active_deadline_seconds: int = 0
    workspace: Workspace | None = None
    semaphore_key: str = ""
    mutex_name: str = ""

    @property
    def failed_pods_ttl_s(self) -> int:
        """How long the Pods of failed steps are kept; 0: as long as those of others."""
        return self.resource_ttl_on_failure or self.resource_ttl_on_completion or self.resource_ttl


class PlatformDeployment(Part, frozen=True):
    """The configuration of executors, by executor label."""

    executors: Mapping[str, Json] = msgspec.field(default_factory=dict)


class SinglePlatform(Part, frozen=True):
    """What a pipeline asks of one platform."""

    deployment_spec: PlatformDeployment = PlatformDeployment()
    pipeline_config: PipelineConfig = PipelineConfig()
    platform: str = ""
    version: str = ""
    config: Json = None


class PlatformSpec(Part, frozen=True):
    """The second document of a package."""

    platforms: Mapping[str, SinglePlatform] = msgspec.field(default_factory=dict)


def sources_of(config: KubernetesConfig) -> Mapping[str, TaskParameter]:
    """Give where the values of a configuration come from, by where they stand: ``pvcMount[0].pvcNameParameter``."""
    return dict(_sources(config, ""))


def _sources(value: Json, where: str) -> Iterator[tuple[str, TaskParameter]]:
    if isinstance(value, TaskParameter):
        yield where, value
    elif isinstance(value, Part):
        for one in msgspec.structs.fields(type(value)):
            here = f"{where}.{one.encode_name}" if where else one.encode_name
            yield from _sources(getattr(value, one.name), here)
    elif isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from _sources(item, f"{where}[{number}]")
