"""What the scheduler writes: bindings, why a Pod waits, which node was promised to it, and who had to go for it.

A Pod's message changes only when its words do, not its figures: otherwise every start and end of a Pod would rewrite
all those that wait.
"""

from collections.abc import Sequence
from datetime import datetime

from beamhall.embedded.workloads.scheduling.cluster import Node, Resident
from beamhall.embedded.workloads.scheduling.units import SCHEDULER_NAME
from beamhall.embedded.workloads.scheduling.words import without_figures
from beamhall.kernel.conditions import conditions_of, find_condition, make_condition, with_condition
from beamhall.kernel.kinds import POD
from beamhall.kernel.objects import ReadOnlyObject, key_of, metadata_of, name_of, namespace_of, uid_of
from beamhall.kernel.plan import Action, Bind, Delete, Emit, Patch

_GATED = "Scheduling is blocked due to non-empty scheduling gates"


def bind(pod: ReadOnlyObject, node: Node) -> Sequence[Action]:
    """Give a Pod its node."""
    said = f"Successfully assigned {namespace_of(pod)}/{name_of(pod)} to {node.name}"
    return (Bind(key_of(POD, pod), node.name, uid_of(pod)), Emit(POD, pod, "Scheduled", said))


def refuse(pod: ReadOnlyObject, message: str, now: datetime, nominated: str = "") -> Sequence[Action]:
    """Tell a Pod why it waits, and which node is being made free for it; nothing if it knows.

    Args:
        pod: The Pod.
        message: Why.
        now: The time.
        nominated: The node; empty: none.
    """
    before = find_condition(conditions_of(pod), "PodScheduled") or {}
    was_nominated = (pod.get("status") or {}).get("nominatedNodeName") or ""
    is_told = (
        before.get("status") == "False"
        and before.get("reason") == "Unschedulable"
        and without_figures(str(before.get("message"))) == without_figures(message)
    )
    if is_told and nominated == was_nominated:
        return ()
    status: dict[str, object] = {}
    if nominated != was_nominated:
        status["nominatedNodeName"] = nominated or None
    if is_told:
        return (Patch(key_of(POD, pod), {"status": status}, subresource="status", uid=uid_of(pod)),)
    condition = make_condition("PodScheduled", "False", "Unschedulable", message, now)
    status["conditions"] = with_condition(conditions_of(pod), condition)
    return (
        Patch(key_of(POD, pod), {"status": status}, subresource="status", uid=uid_of(pod)),
        Emit(POD, pod, "FailedScheduling", message, "Warning"),
    )


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
    actions: list[Action] = []
    for victim in victims:
        pod = victim.pod
        message = f"{SCHEDULER_NAME}: preempting to accommodate a higher priority pod"
        condition = make_condition("DisruptionTarget", "True", "PreemptionByScheduler", message, now)
        # Its status is its node's agent's; on anything newer than what was looked at, this is planned again.
        patch = {"status": {"conditions": with_condition(conditions_of(pod), condition)}}
        revision = str(metadata_of(pod).get("resourceVersion") or "")
        actions.append(Patch(key_of(POD, pod), patch, subresource="status", uid=uid_of(pod), revision=revision))
    for victim in victims:
        pod = victim.pod
        actions.append(Emit(POD, pod, "Preempted", f"Preempted by {who} on node {victim.node.name}"))
        actions.append(Delete(key_of(POD, pod), uid=uid_of(pod)))
    return actions
