"""What runs and schedules are made from: a specification, given whole or as a version of a pipeline, and parameters.

Source: Kubeflow Pipelines, backend/api/v2beta1/run.proto (``pipeline_source``, ``runtime_config``) and
apiserver/resource/resource_manager.go; reference "KFP", section 1.6.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request

from beamhall.history.records import JsonObject, Pipeline, PipelineVersion
from beamhall.kernel.errors import BadRequest
from beamhall.pipelines.api.access import Access
from beamhall.pipelines.api.messages import Shape, anything, json_object, message, raw, text, without_zeros
from beamhall.pipelines.roots import check_root
from beamhall.pipelines.runs import check_parameters, version_meant
from beamhall.pipelines.specifications import Checked, Specifications

_REFERENCE = {"pipeline_id": text, "pipeline_version_id": text}
_CONFIGURATION = {"parameters": json_object, "pipeline_root": text}
_SOURCES = ("pipeline_spec", "pipeline_version_reference", "pipeline_version_id")

SHAPE: Shape = {
    "pipeline_spec": anything,
    "pipeline_version_reference": message(_REFERENCE),
    "pipeline_version_id": text,
    "runtime_config": message(_CONFIGURATION),
    "service_account": text,
    "plugins_input": json_object,
}
"""The fields that messages of runs and schedules have in common."""


class Runnable(msgspec.Struct, frozen=True):
    """What is to be run; everything fits together.

    Attributes:
        checked: The specification.
        parameters: What the user gave.
        pipeline_root: Where artifacts go; empty: where the specification or the service says.
        service_account: Whose rights the steps have; empty: the usual one's.
        plugins: What is asked of plugins.
        version: The version that the specification is of; None: it was given whole.
        is_newest: No version was named: a schedule takes the newest each time.
    """

    checked: Checked
    parameters: JsonObject
    pipeline_root: str
    service_account: str
    plugins: JsonObject
    version: PipelineVersion | None = None
    is_newest: bool = False


async def read_runnable(
    access: Access, specifications: Specifications, request: Request, asked: Mapping[str, Any]
) -> Runnable:
    """Give what a request asks to be run, from a message with the fields of ``SHAPE``.

    Raises:
        BadRequest: The specification, the parameters or their combination are wrong.
        NotFound: There is no such pipeline, or no such version of it.
        Forbidden: The caller may not read the pipeline.
    """
    given = [name for name in _SOURCES if asked.get(name)]
    if len(given) != 1:
        one = "one of pipeline_spec and pipeline_version_reference is needed"
        raise BadRequest(f"{one}, not {' and '.join(given)}" if given else one)
    version = None
    reference = asked.get("pipeline_version_reference", asked)
    if given == ["pipeline_spec"]:
        checked = await specifications.checked(asked["pipeline_spec"])
    else:
        version = await _version(access, request, reference)
        checked = await specifications.stored(access.history, version.spec_digest)
    configuration = asked.get("runtime_config", {})
    parameters = configuration.get("parameters", {})
    check_parameters(checked.pipeline, parameters)
    return Runnable(
        checked, parameters, configuration.get("pipeline_root", ""), asked.get("service_account", ""),
        asked.get("plugins_input", {}), version, version is not None and not reference.get("pipeline_version_id"),
    )  # fmt: skip


async def check_place(access: Access, namespace: str, what: Runnable) -> None:
    """Refuse to run something in a namespace if its files may not go where it says.

    Raises:
        BadRequest: The pipeline root is a directory that is not for runs, or nothing that can be a root.
    """
    root = what.pipeline_root or what.checked.pipeline.spec.default_pipeline_root
    if root:
        await check_root(root, await access.storage_of(namespace))


async def _version(access: Access, request: Request, reference: Mapping[str, str]) -> PipelineVersion:
    """Give the version that a reference names; the newest of its pipeline where it names none."""
    pipeline_id, key = reference.get("pipeline_id", ""), reference.get("pipeline_version_id", "")
    if not pipeline_id and not key:
        raise BadRequest("pipeline_version_reference: pipeline_id is needed")

    if pipeline_id:
        await access.allowed(request, "get", Pipeline, pipeline_id)
    found = await access.history.read(lambda tx: version_meant(tx, pipeline_id, key))
    await access.authorize(request, "get", "pipelines", found.namespace)
    return found


def source_fields(pipeline_id: str, version_id: str, body: str) -> Mapping[str, Any]:
    """Write what something is made from: the version, where it is made from one, else the specification.

    Args:
        pipeline_id: Empty: it was given whole.
        version_id: Empty: the newest at any time.
        body: The text of the specification; empty: it is not shown.
    """
    if pipeline_id:
        reference = {"pipeline_id": pipeline_id, "pipeline_version_id": version_id}
        return {"pipeline_version_reference": without_zeros(reference)}
    return {"pipeline_spec": raw(body)} if body else {}
