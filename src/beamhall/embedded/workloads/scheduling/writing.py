"""What the scheduler writes: bindings, why a Pod waits, which node was promised to it, and who had to go for it.

A Pod's message changes only when its words do, not its figures: otherwise every start and end of a Pod would rewrite
all those that wait.
"""

from collections.abc import Sequence
from datetime import datetime

from beamhall.embedded.workloads.disruption import announce, stop
from beamhall.embedded.workloads.scheduling.cluster import Node, Resident
from beamhall.embedded.workloads.scheduling.units import SCHEDULER_NAME
from beamhall.embedded.workloads.scheduling.words import without_figures
from beamhall.kernel.clock import parse_time
from beamhall.kernel.conditions import conditions_of, find_condition, make_condition, with_condition
from beamhall.kernel.kinds import POD
from beamhall.kernel.objects import ReadOnlyObject, key_of, name_of, namespace_of, uid_of
from beamhall.kernel.plan import Action, Bind, Emit, Patch

_GATED = "Scheduling is blocked due to non-empty scheduling gates"


def bind(pod: ReadOnlyObject, node: Node) -> Sequence[Action]:
    """Give a Pod its node."""
    said = f"Successfully assigned {namespace_of(pod)}/{name_of(pod)} to {node.name}"
    return (Bind(key_of(POD, pod), node.name, uid_of(pod)), Emit(POD, pod, "Scheduled", said, is_fleeting=True))


def is_told(pod: ReadOnlyObject, message: str, nominated: str = "") -> bool:
    """Tell whether a Pod has been told this, but for figures, and has been promised this node (empty: none)."""
    before = find_condition(conditions_of(pod), "PodScheduled")
    if before is None or before.get("reason") != "Unschedulable" or before.get("status") != "False":
        return False
    if ((pod.get("status") or {}).get("nominatedNodeName") or "") != nominated:
        return False
    return without_figures(str(before.get("message"))) == without_figures(message)


def is_told_anything(pod: ReadOnlyObject) -> bool:
    """Tell whether a Pod has been told some reason why it waits."""
    return find_condition(conditions_of(pod), "PodScheduled") is not None


def refuse(pod: ReadOnlyObject, message: str, now: datetime, nominated: str = "") -> Sequence[Action]:
    """Tell a Pod why it waits, and which node is being made free for it.

    Args:
        pod: The Pod.
        message: Why.
        now: The time.
        nominated: The node; empty: none.
    """
    condition = make_condition("PodScheduled", "False", "Unschedulable", message, now)
    condition["lastProbeTime"] = condition["lastTransitionTime"]
    status: dict[str, object] = {"conditions": with_condition(conditions_of(pod), condition)}
    if ((pod.get("status") or {}).get("nominatedNodeName") or "") != nominated:
        status["nominatedNodeName"] = nominated or None
    return (
        Patch(key_of(POD, pod), {"status": status}, subresource="status", uid=uid_of(pod)),
        Emit(POD, pod, "FailedScheduling", message, "Warning"),
    )


def rest_s(pod: ReadOnlyObject, now: datetime, every_s: float) -> float:
    """Give for how many seconds a Pod need not be told another reason, having been told one; at most ``every_s``."""
    told = (find_condition(conditions_of(pod), "PodScheduled") or {}).get("lastProbeTime")
    if not told or (pod.get("status") or {}).get("nominatedNodeName"):
        return 0.0
    return min(every_s, every_s - (now - parse_time(str(told))).total_seconds())


def gate(pod: ReadOnlyObject, now: datetime) -> Sequence[Action]:
    """Say of a Pod that its gates hold it back, as kubectl shows it (``SchedulingGated``); nothing if that is said."""
    before = find_condition(conditions_of(pod), "PodScheduled") or {}
    if before.get("reason") == "SchedulingGated":
        return ()
    conditions = with_condition(
        conditions_of(pod), make_condition("PodScheduled", "False", "SchedulingGated", _GATED, now)
    )
    return (Patch(key_of(POD, pod), {"status": {"conditions": conditions}}, subresource="status", uid=uid_of(pod)),)


def preempt(victims: Sequence[Resident], who: str, now: datetime) -> Sequence[Action]:
    """Stop Pods for a more urgent one, within their grace periods, saying first why."""
    pods = [victim.pod for victim in victims]
    message = f"{SCHEDULER_NAME}: preempting to accommodate a higher priority pod"
    told = [announce(pod, "PreemptionByScheduler", message, now) for pod in pods]
    said = [Emit(POD, one.pod, "Preempted", f"Preempted by {who} on node {one.node.name}") for one in victims]
    return [*told, *said, *stop(pods)]
