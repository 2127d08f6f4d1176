"""The ExecutorInput: what a step is told of its inputs, and where it is to leave its outputs. Read on in ``pods``.

Source: ``kubeflow/pipelines/api/v2alpha1/pipeline_spec.proto``, ``ExecutorInput``; reference "KFP", 2.8.
"""

from collections.abc import Mapping, Sequence

from beamhall.pipelines.engine.values import ArtifactRef
from beamhall.pipelines.spec.executors import ArtifactType
from beamhall.pipelines.spec.ir import Definitions
from beamhall.pipelines.spec.placeholders import has_placeholders, local_path
from beamhall.pipelines.spec.sources import Json
from beamhall.pipelines.steps.layout import OUTPUT_FILE, PARAMETERS, artifact_part, part_of


def inputs_of(parameters: Mapping[str, Json], artifacts: Mapping[str, Sequence[ArtifactRef]]) -> dict[str, Json]:
    """Give the inputs of a step; those without a value are absent."""
    found: dict[str, Json] = {"parameterValues": parameters}
    if artifacts:
        found["artifacts"] = {
            name: {"artifacts": [artifact_json(ref) for ref in refs]} for name, refs in artifacts.items() if refs
        }
    return found


def artifact_json(ref: ArtifactRef) -> dict[str, Json]:
    """Give an artifact as a step sees it. The SDK takes for a path what is no URI of a store, so ``file://`` goes."""
    return {
        "name": ref.name or ref.id,
        "type": type_json(ref.type),
        "uri": ref.uri.removeprefix("file://"),
        "metadata": ref.metadata,
    }


def type_json(kind: ArtifactType) -> dict[str, str]:
    """Give the type of an artifact in JSON; what it does not say is absent."""
    made = {
        "schemaTitle": kind.schema_title,
        "schemaVersion": kind.schema_version,
        "schemaUri": kind.schema_uri,
        "instanceSchema": kind.instance_schema,
    }
    return {key: value for key, value in made.items() if value}


class OutputShape:
    """Where a component leaves its outputs, whatever the execution.

    Args:
        definitions: The outputs of the component.

    Attributes:
        parameters: Part of the path of each parameter's file, by name.
        has_placeholders: Whether metadata of artifacts may hold some, as older SDKs wrote it.
    """

    __slots__ = ("_artifacts", "has_placeholders", "parameters")

    def __init__(self, definitions: Definitions) -> None:
        self.parameters: Mapping[str, str] = {name: f"/{PARAMETERS}/{part_of(name)}" for name in definitions.parameters}
        self._artifacts: Sequence[tuple[str, str, Json, Json]] = [
            (name, f"/{artifact_part(name)}", type_json(spec.artifact_type), spec.metadata)
            for name, spec in definitions.artifacts.items()
        ]
        self.has_placeholders = any(has_placeholders(spec.metadata) for spec in definitions.artifacts.values())

    def json(self, root: str) -> dict[str, Json]:
        """Give the outputs of a step whose directory has this URI."""
        directory = local_path({"uri": root})
        found: dict[str, Json] = {}
        if self.parameters:
            found["parameters"] = {name: {"outputFile": directory + part} for name, part in self.parameters.items()}
        if self._artifacts:
            found["artifacts"] = {
                name: {"artifacts": [{"name": name, "type": kind, "uri": root + part, "metadata": metadata}]}
                for name, part, kind, metadata in self._artifacts
            }
        found["outputFile"] = f"{directory}/{OUTPUT_FILE}"
        return found

    def files(self, root: str) -> Sequence[str]:
        """Give the URIs of what a step says in files: the ExecutorOutput first, then the parameters, in their order."""
        return (f"{root}/{OUTPUT_FILE}", *(root + part for part in self.parameters.values()))
