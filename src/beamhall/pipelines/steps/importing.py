"""An importer: an artifact of something that exists already. Read ``values.Import`` for what comes out.

Source: kubeflow/pipelines ``backend/src/v2/component/importer_launcher.go``; reference "KFP", 2.7.
"""

import msgspec

from beamhall.pipelines.engine.decisions import Start
from beamhall.pipelines.engine.values import ArtifactRef
from beamhall.pipelines.spec.executors import ArtifactType, Importer
from beamhall.pipelines.spec.fields import shown
from beamhall.pipelines.spec.placeholders import WORKSPACE_METADATA, Context, fill_text, fill_value, local_path
from beamhall.pipelines.spec.sources import Json
from beamhall.pipelines.spec.types import normal
from beamhall.pipelines.steps.facts import RunFacts
from beamhall.pipelines.steps.values import BadStep, Import

_MAX_NAME = 200


def import_of(start: Start, task: str, context: Context, facts: RunFacts) -> Import:
    """Give what an importer imports.

    Args:
        start: The importer's task.
        task: Its name, for messages.
        context: What placeholders mean.
        facts: What is known of the run.

    Raises:
        BadStep: The URI is missing or cannot be used, or there is no workspace to fetch it to.
    """
    importer = start.executor.importer
    assert importer is not None
    outputs = start.component.output_definitions.artifacts
    if len(outputs) != 1:
        raise BadStep(f"task {task!r}: an importer has exactly one output artifact; this one has {len(outputs)}")
    output, spec = next(iter(outputs.items()))
    uri = _uri(importer, task, context)
    kind = importer.type_schema if importer.type_schema != ArtifactType() else spec.artifact_type
    metadata: dict[str, Json] = normal(fill_value({**spec.metadata, **importer.metadata}, context))
    workspace_path = ""
    if uri.startswith("oci://") and kind.title != "system.Model":
        raise BadStep(f"task {task!r}: {uri!r} is an image, which can only be a system.Model, not a {kind.title}")
    if importer.download_to_workspace:
        if uri.startswith("oci://"):
            raise BadStep(f"task {task!r}: an image ({uri!r}) cannot be downloaded to the workspace")
        if not facts.workspace_claim:
            raise BadStep(f"task {task!r} downloads to the workspace, but the pipeline has none")
        metadata[WORKSPACE_METADATA] = True
        workspace_path = local_path({"uri": uri, "metadata": metadata})
    artifact = ArtifactRef(name=_name(uri) or output, type=kind, uri=uri, metadata=metadata)
    return Import(output, artifact, importer.reimport, workspace_path)


def _uri(importer: Importer, task: str, context: Context) -> str:
    source = importer.artifact_uri
    assert source is not None
    if source.runtime_parameter:
        found: Json = context.parameters().get(source.runtime_parameter)
        told = f"the URI comes from input {source.runtime_parameter!r}, which "
    else:
        constant = None if source.constant is msgspec.UNSET else source.constant
        found = fill_text(constant, context) if isinstance(constant, str) else constant
        told = "the URI "
    if not isinstance(found, str) or not found.strip():
        state = "has no value" if found is None or found == "" else f"is {shown(found)}"
        raise BadStep(f"task {task!r}: {told}{state}; a URI such as 's3://bucket/key' or '/data/file.csv' is needed")
    if "://" not in found and not found.startswith("/"):
        raise BadStep(f"task {task!r}: {told}is {found!r}; it needs a scheme (s3://bucket/key) or must be absolute")
    if "\0" in found or "/../" in f"{found}/":
        raise BadStep(f"task {task!r}: {told}is {found!r}; it may not hold '..'")
    return found


def _name(uri: str) -> str:
    """Name an artifact by the last part of its URI."""
    last = uri.split("://", 1)[-1].rstrip("/").rsplit("/", 1)[-1]
    return last[:_MAX_NAME]
