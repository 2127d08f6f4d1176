"""PersistentVolumeClaims of a run: those that its tasks make and delete, and its workspace.

``kfp.kubernetes.CreatePVC`` and ``DeletePVC`` are components with images that nobody runs; they are done by whoever
starts steps. Names are the same whenever a claim is made again, so that it is made once.

Source: kubeflow/pipelines ``backend/src/v2/driver/k8s.go``, ``createPVC``; ``kfp/kubernetes/volume.py``; reference
"KFP", 2.10.
"""

from collections.abc import Mapping

from beamhall.kernel.names import subdomain_problem
from beamhall.kernel.objects import Object
from beamhall.kernel.patches import apply_merge_patch
from beamhall.kernel.quantities import parse_quantity
from beamhall.pipelines.spec.fields import shown
from beamhall.pipelines.spec.sources import Json
from beamhall.pipelines.spec.types import text_of
from beamhall.pipelines.steps.facts import RunFacts
from beamhall.pipelines.steps.naming import digest_of, label, readable
from beamhall.pipelines.steps.pods import PATH_ANNOTATION, labels_of
from beamhall.pipelines.steps.values import BadStep

CREATE_IMAGE = "argostub/createpvc"
DELETE_IMAGE = "argostub/deletepvc"
NAME_OUTPUT = "name"
"""Name of the output parameter that is a new claim's name."""

WORKSPACE_LABEL = "pipelines.beamhall.io/workspace"

_MODES = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")
_NO_CLASS = ""


def claim_of(task: str, path: str, parameters: Mapping[str, Json], facts: RunFacts) -> Object:
    """Give the claim that a task makes.

    Its labels say which task of which run made it: one of the same name without them is somebody else's.

    Args:
        task: Name of the task, for messages.
        path: Its path.
        parameters: Its inputs.
        facts: What is known of the run.

    Raises:
        BadStep: No claim can be made of them.
    """
    name = _claim_name(task, path, parameters, facts)
    modes, size = parameters.get("access_modes"), parameters.get("size")
    if not isinstance(modes, list) or not modes or any(mode not in _MODES for mode in modes):
        raise _bad(task, f"access_modes must be a list of some of {', '.join(_MODES)}; is {shown(modes)}")
    spec: Object = {"accessModes": list(modes), "resources": {"requests": {"storage": _size(task, size)}}}
    volume = text_of(parameters.get("volume_name"))
    if volume:
        spec["volumeName"] = volume
    storage_class = parameters.get("storage_class_name")
    if storage_class or (volume and storage_class is not None):
        spec["storageClassName"] = text_of(storage_class)
    if source := _mapping(task, "data_source", parameters):
        spec["dataSource"] = {key: text_of(value) for key, value in source.items()}
    annotations = {key: text_of(value) for key, value in _mapping(task, "annotations", parameters).items()}
    return _claim(facts, name, labels_of(facts.run_id, path), {**annotations, PATH_ANNOTATION: path}, spec)


def deleted_claim_of(task: str, parameters: Mapping[str, Json]) -> str:
    """Give the name of the claim that a task deletes. Raises ``BadStep`` if it is not given."""
    name = text_of(parameters.get("pvc_name"))
    _check_name(task, "pvc_name", name)
    return name


def workspace_of(facts: RunFacts) -> Object | None:
    """Give the claim that is the workspace of a run; None if it has none.

    Raises:
        BadStep: Its size is no quantity.
    """
    workspace = facts.pipeline.config.workspace
    if workspace is None:
        return None
    spec: Json = {"accessModes": ["ReadWriteOnce"]}
    if workspace.size:
        spec["resources"] = {"requests": {"storage": _size("workspace", workspace.size)}}
    if workspace.kubernetes is not None:
        spec = apply_merge_patch(spec, workspace.kubernetes.pvc_spec_patch)
    labels = {**labels_of(facts.run_id, ""), WORKSPACE_LABEL: "true"}
    return _claim(facts, facts.workspace_claim, labels, {}, spec)


def _claim(facts: RunFacts, name: str, labels: Mapping[str, str], annotations: Mapping[str, str], spec: Json) -> Object:
    metadata = {"name": name, "namespace": facts.namespace, "labels": dict(labels), "annotations": dict(annotations)}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {key: value for key, value in metadata.items() if value},
        "spec": spec,
    }


def _claim_name(task: str, path: str, parameters: Mapping[str, Json], facts: RunFacts) -> str:
    name, suffix = text_of(parameters.get("pvc_name")), text_of(parameters.get("pvc_name_suffix"))
    if name and suffix:
        raise _bad(task, "at most one of pvc_name and pvc_name_suffix can be given")
    if name:
        _check_name(task, "pvc_name", name)
        return name
    own = f"{readable(facts.pipeline.name, 20)}-{digest_of(facts.run_id, path)}"
    return label(f"{own}-{readable(suffix, 26)}")


def _check_name(task: str, parameter: str, name: str) -> None:
    if problem := subdomain_problem(name):
        raise _bad(task, f"{parameter} {problem}")


def _size(task: str, size: Json) -> str:
    try:
        if parse_quantity(text_of(size)) > 0:
            return text_of(size)
    except ValueError:
        pass
    raise _bad(task, f"the size must be a quantity such as '5Gi', is {shown(size)}")


def _mapping(task: str, name: str, parameters: Mapping[str, Json]) -> Mapping[str, Json]:
    value = parameters.get(name) or {}
    if not isinstance(value, Mapping):
        raise _bad(task, f"{name} must be an object, is {shown(value)}")
    return value


def _bad(task: str, what: str) -> BadStep:
    return BadStep(f"task {task!r}: {what}")
