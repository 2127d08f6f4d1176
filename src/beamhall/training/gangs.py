"""Group admission: a job's Pods start together or not at all, by the PodGroup of one of two schedulers.

Knows what each scheduler wants to find on PodGroup and Pods; when to make them is decided in ``planner``.

Source: reference "Training jobs", section 1.2 (schedulingPolicy); scheduler-plugins ``apis/scheduling/v1alpha1``;
Volcano ``scheduling/v1beta1``.
"""

from typing import Any, Literal

from beamhall.kernel.kinds import POD_GROUP, Kind
from beamhall.kernel.objects import Object, ReadOnlyObject, labels_of, owner_reference
from beamhall.training.job import TrainingJob

Gang = Literal["scheduler-plugins", "volcano", ""]
"""Which scheduler admits groups: none, ``scheduler-plugins`` (ours speaks its PodGroup), or Volcano."""

POD_GROUP_LABEL = "scheduling.x-k8s.io/pod-group"
VOLCANO_POD_GROUP = Kind("scheduling.volcano.sh", "v1beta1", "PodGroup", "podgroups")

_VOLCANO_GROUP = "scheduling.k8s.io/group-name"
_VOLCANO_TASK = "volcano.sh/task-spec"


def pod_group_kind(gang: Gang) -> Kind | None:
    """Give the kind of PodGroup that a scheduler uses."""
    return {"scheduler-plugins": POD_GROUP, "volcano": VOLCANO_POD_GROUP}.get(gang)


def build_pod_group(job: TrainingJob, gang: Gang) -> Object:
    """Make the job's PodGroup: all replicas together, unless its ``schedulingPolicy.minAvailable`` says fewer."""
    kind = VOLCANO_POD_GROUP if gang == "volcano" else POD_GROUP
    policy = job.run_policy.scheduling
    minimum = policy.get("minAvailable")
    spec: dict[str, Any] = {"minMember": job.framework.gang_size(job) if minimum is None else minimum}
    if policy.get("minResources"):
        spec["minResources"] = dict(policy["minResources"])
    if gang == "volcano":
        spec["queue"] = policy.get("queue") or "default"
        if policy.get("priorityClass"):
            spec["priorityClassName"] = policy["priorityClass"]
    elif policy.get("scheduleTimeoutSeconds") is not None:
        spec["scheduleTimeoutSeconds"] = policy["scheduleTimeoutSeconds"]
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {
            "name": job.name,
            "namespace": job.namespace,
            "ownerReferences": [owner_reference(job.framework.kind, job.object)],
        },
        "spec": spec,
    }


def is_alone(job: TrainingJob, gang: Gang) -> bool:
    """Tell whether a job needs no PodGroup: its one Pod starts whole by itself, and nothing else is asked for.

    Volcano takes a group for what stands in its queue, so there each job has one.
    """
    return gang == "scheduler-plugins" and job.framework.gang_size(job) < 2 and not job.run_policy.scheduling


def is_member(pod: ReadOnlyObject, job: TrainingJob) -> bool:
    """Tell whether a Pod is marked as a member of its job's group of scheduler-plugins."""
    return labels_of(pod).get(POD_GROUP_LABEL) == job.name


def join_group(pod: Object, job: TrainingJob, gang: Gang, type_: str) -> None:
    """Mark a Pod, in place, as a member of its job's group."""
    if gang == "scheduler-plugins":
        pod["metadata"]["labels"][POD_GROUP_LABEL] = job.name
    elif gang == "volcano":
        annotations = pod["metadata"].setdefault("annotations", {})
        annotations[_VOLCANO_GROUP] = job.name
        annotations[_VOLCANO_TASK] = type_.lower()


def holds_pods_back(group: ReadOnlyObject | None, gang: Gang) -> bool:
    """Tell whether Pods must not be made yet: Volcano wants its PodGroup admitted to the queue first."""
    if gang != "volcano":
        return False
    return group is None or (group.get("status") or {}).get("phase") in (None, "", "Pending")
