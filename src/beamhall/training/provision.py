"""What a training job has beside its Pods: Services and whatever else its framework names, made and kept up to date.

Called by ``planner`` before it makes Pods: a Pod resolves its peers' names, and mounts its files, as soon as it starts.
How the objects look stands in ``children`` and in the framework.
"""

from collections.abc import Mapping
from typing import Any

from beamhall.kernel.kinds import POD, SERVICE
from beamhall.kernel.objects import controller_of, is_being_deleted, name_of, owner_reference
from beamhall.training.children import build_service
from beamhall.training.draft import Draft
from beamhall.training.job import Observed
from beamhall.training.survey import Survey

TAKEN_RETRY_S = 5.0
"""When to look again whether a name that another's object has is free."""


def make_services(draft: Draft, survey: Survey) -> None:
    """Make the missing Services of replicas."""
    if not draft.job.framework.has_services:
        return
    for slot in survey.slots:
        if slot.name in survey.services:
            continue
        if draft.view.get(SERVICE, slot.name, draft.job.namespace) is None:
            draft.create(SERVICE, build_service(draft.job, slot.type, slot.index))
        else:
            draft.again_after(TAKEN_RETRY_S)


def make_children(draft: Draft, observed: Observed) -> None:
    """Make what else the framework wants, and give what is there the content that it should have."""
    job = draft.job
    for kind, wanted in job.framework.children(job, observed):
        wanted["metadata"] |= {
            "namespace": job.namespace,
            "ownerReferences": [owner_reference(job.framework.kind, job.object)],
        }
        found = draft.view.get(kind, name_of(wanted), job.namespace)
        if found is None:
            draft.create(kind, {"apiVersion": kind.api_version, "kind": kind.kind, **wanted}, is_told=False)
        elif (controller_of(found) or {}).get("uid") != job.uid:
            draft.again_after(TAKEN_RETRY_S)
        else:
            content = {field: wanted[field] for field in wanted if field not in ("apiVersion", "kind", "metadata")}
            if patch := _lacking(content, found):
                draft.patch(kind, found, patch)


def remove_extra(draft: Draft, survey: Survey, observed: Observed) -> None:
    """Delete Pods and Services beyond the job's replicas, such as after it was scaled down."""
    for pod in survey.extra_pods:
        if not is_being_deleted(pod):
            draft.delete(POD, pod)
    job = draft.job
    wanted = {slot.name for slot in survey.slots} if job.framework.has_services else set()
    wanted |= {name_of(obj) for kind, obj in job.framework.children(job, observed) if kind == SERVICE}
    for name, service in survey.services.items():
        if name not in wanted:
            draft.delete(SERVICE, service)


def _lacking(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Give the part of what is wanted that is not there; what the server added does not matter."""
    patch: dict[str, Any] = {}
    for key, value in wanted.items():
        there = found.get(key)
        if isinstance(value, Mapping) and isinstance(there, Mapping):
            if inner := _lacking(value, there):
                patch[key] = inner
        elif value != there:
            patch[key] = value
    return patch
