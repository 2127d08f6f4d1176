"""Runtime patches: what users, queues and webhooks change of a runtime's template for one TrainJob.

Each patch is merged into the template as a strategic merge patch; later ones win.

Source: reference "Trainer v2"; kubeflow/trainer v2.3, ``pkg/runtime/core/trainingruntime.go``; merge keys: Kubernetes
API reference, Pod v1 core.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from beamhall.kernel.objects import Object
from beamhall.kernel.strategic import merge_strategically

Patch = Mapping[str, Any]


def _merged_by(key: str, **properties: Any) -> dict[str, Any]:
    return {
        "x-kubernetes-patch-strategy": "merge",
        "x-kubernetes-patch-merge-key": key,
        "items": {"properties": properties},
    }


_CONTAINERS = _merged_by("name", env=_merged_by("name"), volumeMounts=_merged_by("mountPath"))
_POD = {
    "containers": _CONTAINERS,
    "initContainers": _CONTAINERS,
    "volumes": _merged_by("name"),
    "imagePullSecrets": _merged_by("name"),
    "schedulingGates": _merged_by("name"),
}
_JOB = {"properties": {"spec": {"properties": {"template": {"properties": {"spec": {"properties": _POD}}}}}}}


def patches_of(train_job: Mapping[str, Any]) -> Iterator[tuple[Patch, Sequence[Patch]]]:
    """Give the template's metadata and the replicated Jobs that each patch of a TrainJob names."""
    for patch in (train_job.get("spec") or {}).get("runtimePatches") or ():
        template = (patch.get("trainingRuntimeSpec") or {}).get("template") or {}
        yield template.get("metadata") or {}, (template.get("spec") or {}).get("replicatedJobs") or ()


def patched(train_job: Mapping[str, Any], replicated: Sequence[Patch]) -> list[Object]:
    """Give a copy of the replicated Jobs of a template with a TrainJob's patches merged in.

    Raises:
        BadRequest: A patch has a malformed directive.
    """
    jobs: list[Object] = [copy.deepcopy(dict(job)) for job in replicated]
    for _, changes in patches_of(train_job):
        for change in changes:
            for job in jobs:
                if job.get("name") == change.get("name") and change.get("template"):
                    job["template"] = merge_strategically(job.get("template") or {}, change["template"], _JOB)
    return jobs
