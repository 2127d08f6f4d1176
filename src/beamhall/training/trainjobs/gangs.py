"""The Pods of a TrainJob that train together start together or not at all: a PodGroup, and the Pods' mark.

A runtime's ``podGroupPolicy`` asks for it, or the service does so for all. Steps that come first (initializers) and
those that wait for others to be ready (a launcher) are not of the group: it would wait for itself.

Source: kubeflow/trainer v2.3, ``pkg/runtime/framework/plugins/{coscheduling,volcano}``.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from beamhall.kernel.amounts import add, pod_total
from beamhall.kernel.kinds import POD_GROUP, TRAIN_JOB, Kind
from beamhall.kernel.objects import Object, ReadOnlyObject, annotations_of, name_of, namespace_of, owner_reference
from beamhall.kernel.quantities import format_binary, format_decimal, parse_quantity
from beamhall.training.gangs import POD_GROUP_LABEL, VOLCANO_POD_GROUP, Gang
from beamhall.training.trainjobs.containers import job_of, pod_of
from beamhall.training.trainjobs.runtime import Runtime

_VOLCANO_GROUP = "scheduling.k8s.io/group-name"
_VOLCANO_QUEUE = "scheduling.volcano.sh/queue-name"
_TIMEOUT_S = 60


def group_kind(runtime: Runtime, gang: Gang) -> Kind | None:
    """Give the kind of PodGroup that a TrainJob gets: that of the service's scheduler, or as the runtime asks."""
    asked: Mapping[str, Any] = runtime.pod_group_policy
    if gang:
        return VOLCANO_POD_GROUP if gang == "volcano" else POD_GROUP
    if asked.get("volcano") is not None:
        return VOLCANO_POD_GROUP
    return POD_GROUP if asked.get("coscheduling") is not None else None


def members(job_set: ReadOnlyObject) -> list[Object]:
    """Give the replicated Jobs whose Pods start together."""
    replicated = job_set["spec"].get("replicatedJobs") or ()
    first = {
        dependency.get("name")
        for job in replicated
        for dependency in job.get("dependsOn") or ()
        if dependency.get("status") == "Complete"
    }
    return [
        job
        for job in replicated
        if job.get("name") not in first and not any(d.get("status") == "Ready" for d in job.get("dependsOn") or ())
    ]


def build_pod_group(
    train_job: ReadOnlyObject, runtime: Runtime, job_set: ReadOnlyObject, gang: Gang
) -> tuple[Kind, Object] | None:
    """Make the PodGroup of a TrainJob, and say of which kind it is; None if its Pods need not start together."""
    kind = group_kind(runtime, gang)
    minimum = _n_pods(job_set)
    if kind is None or (minimum < 2 and not runtime.pod_group_policy):
        return None
    spec: dict[str, Any] = {"minMember": minimum}
    if resources := _resources(job_set):
        spec["minResources"] = resources
    if kind is POD_GROUP:
        policy = runtime.pod_group_policy.get("coscheduling") or {}
        timeout_s = policy.get("scheduleTimeoutSeconds")
        spec["scheduleTimeoutSeconds"] = _TIMEOUT_S if timeout_s is None else timeout_s
    else:
        spec["queue"] = annotations_of(job_set).get(_VOLCANO_QUEUE) or "default"
        if topology := (runtime.pod_group_policy.get("volcano") or {}).get("networkTopology"):
            spec["networkTopology"] = dict(topology)
    metadata = {
        "name": name_of(train_job),
        "namespace": namespace_of(train_job),
        "ownerReferences": [owner_reference(TRAIN_JOB, train_job)],
    }
    return kind, {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec}


def join_gang(job_set: Object, train_job: ReadOnlyObject, runtime: Runtime, gang: Gang) -> None:
    """Mark, in place, the Pods that start together."""
    group = build_pod_group(train_job, runtime, job_set, gang)
    if group is None:
        return
    for replicated in members(job_set):
        template = job_of(replicated).setdefault("template", {})
        metadata = template["metadata"] = dict(template.get("metadata") or {})
        field, mark = ("labels", POD_GROUP_LABEL) if group[0] is POD_GROUP else ("annotations", _VOLCANO_GROUP)
        metadata[field] = {**(metadata.get(field) or {}), mark: name_of(train_job)}


def _resources(job_set: ReadOnlyObject) -> dict[str, str]:
    """Add up what the members ask for."""
    each = [
        {name: amount * _count(job) for name, amount in pod_total({"spec": pod_of(job)}, _asked).items()}
        for job in members(job_set)
    ]
    written = {"memory", "ephemeral-storage"}
    return {
        name: format_binary(int(amount)) if name in written else format_decimal(amount)
        for name, amount in add(each).items()
    }


def _asked(container: Mapping[str, Any]) -> dict[str, Decimal]:
    """Give what a container asks for; a limit is a request too, where there is no other."""
    resources: Mapping[str, Any] = container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: parse_quantity(amount) for name, amount in asked.items()}


def _n_pods(job_set: ReadOnlyObject) -> int:
    return sum(_count(job) for job in members(job_set))


def _count(replicated: Object) -> int:
    count = job_of(replicated).get("parallelism")
    return 1 if count is None else int(count)
