"""What a component runs: a container, or the import of an artifact. Texts may hold placeholders (``placeholders``).

Source: ``kubeflow/pipelines/api/v2alpha1/pipeline_spec.proto``, ``PipelineDeploymentConfig``; reference "KFP", 2.7.
"""

from collections.abc import Mapping, Sequence

import msgspec

from beamhall.pipelines.spec.sources import Json, Part, RuntimeValue, metadata_of


class ArtifactType(Part, frozen=True):
    """The type of an artifact: a title such as ``system.Model``, or (older forms) a schema of its metadata."""

    schema_title: str = ""
    schema_version: str = ""
    schema_uri: str = ""
    instance_schema: str = ""

    @property
    def title(self) -> str:
        """The title that the type goes by; ``system.Artifact`` where only a schema is given."""
        return self.schema_title or "system.Artifact"


class EnvVar(Part, frozen=True):
    """One environment variable."""

    name: str = ""
    value: str = ""


class Accelerator(Part, frozen=True):
    """Devices that a container asks for. ``type`` and ``count`` are the older, static form."""

    type: str = ""
    count: int = 0
    resource_type: str = ""
    resource_count: str = ""


class Resources(Part, frozen=True):
    """What a container asks for. The numbers are the older form: cores, and memory in GB (10**9 bytes)."""

    cpu_limit: float = 0
    memory_limit: float = 0
    cpu_request: float = 0
    memory_request: float = 0
    resource_cpu_limit: str = ""
    resource_memory_limit: str = ""
    resource_cpu_request: str = ""
    resource_memory_request: str = ""
    accelerator: Accelerator | None = None

    @property
    def limits(self) -> Mapping[str, str]:
        """Limits as Kubernetes' quantities by resource name; may hold placeholders. Accelerators are not in it."""
        return _quantities(self.resource_cpu_limit, self.cpu_limit, self.resource_memory_limit, self.memory_limit)

    @property
    def requests(self) -> Mapping[str, str]:
        """Requests as Kubernetes' quantities by resource name; may hold placeholders."""
        memory, memory_gb = self.resource_memory_request, self.memory_request
        return _quantities(self.resource_cpu_request, self.cpu_request, memory, memory_gb)

    @property
    def accelerators(self) -> tuple[str, str]:
        """Type and number of the accelerators; both may hold placeholders, both are empty where none are asked for."""
        found = self.accelerator
        if found is None:
            return "", ""
        kind = found.resource_type or found.type
        count = found.resource_count or (str(found.count) if found.count else "")
        return (kind, count) if kind and count else ("", "")


def _quantities(cpu: str, cpu_number: float, memory: str, memory_gb: float) -> Mapping[str, str]:
    found = {
        "cpu": cpu or (f"{cpu_number:g}" if cpu_number else ""),
        "memory": memory or (f"{memory_gb:g}G" if memory_gb else ""),
    }
    return {name: text for name, text in found.items() if text}


class Container(Part, frozen=True):
    """A container. No shell is implied; an empty command means the image's own.

    Attributes:
        lifecycle: Hooks of Vertex AI; kept, never run (as KFP's own backend).
    """

    image: str = ""
    command: Sequence[str] = ()
    args: Sequence[str] = ()
    env: Sequence[EnvVar] = ()
    resources: Resources | None = None
    lifecycle: Json = None


class Importer(Part, frozen=True):
    """Makes an artifact of something that exists.

    Attributes:
        artifact_uri: Where it is; a runtime parameter names an input of the component.
        properties: With ``custom_properties`` the older form of ``metadata``.
        metadata: Its metadata; keys and values may hold placeholders.
        reimport: Whether a new artifact is made though one of the same URI, type and metadata is known.
        download_to_workspace: Whether its bytes are fetched to the run's workspace first.
    """

    artifact_uri: RuntimeValue | None = None
    type_schema: ArtifactType = ArtifactType()
    properties: Mapping[str, RuntimeValue] = msgspec.field(default_factory=dict)
    custom_properties: Mapping[str, RuntimeValue] = msgspec.field(default_factory=dict)
    metadata: Mapping[str, Json] = msgspec.field(default_factory=dict)
    reimport: bool = False
    download_to_workspace: bool = False

    def __post_init__(self) -> None:
        if not self.metadata and (self.properties or self.custom_properties):
            made = metadata_of(self.properties, self.custom_properties)
            msgspec.structs.force_setattr(self, "metadata", made)


class Executor(Part, frozen=True):
    """How a component is executed: exactly one of ``container`` and ``importer`` is set; reading refuses the others."""

    container: Container | None = None
    importer: Importer | None = None
    resolver: Json = None
    custom_job: Json = None
