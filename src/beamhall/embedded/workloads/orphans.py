"""Pods whose node is gone are deleted: nobody is left who could run or end them.

Source: Kubernetes' pod garbage collector (``podgc``).
"""

from beamhall.embedded.workloads.disruption import announce, stop
from beamhall.kernel.clock import parse_time
from beamhall.kernel.kinds import NODE, POD
from beamhall.kernel.objects import ReadOnlyObject, metadata_of
from beamhall.kernel.plan import Plan, View

QUARANTINE_S = 40.0
"""So old a Pod must be: its node may be on its way."""

REST_S = 20.0
"""Pods are looked through at most this often, not at each change of one: nobody waits for the end of an orphan."""


def plan_orphans(_: ReadOnlyObject, view: View) -> Plan:
    """Delete the Pods on nodes that do not exist."""
    orphans: list[ReadOnlyObject] = []
    again_s: list[float] = []
    nodes = {str(metadata_of(node).get("name")) for node in view.list(NODE)}
    for pod in view.list(POD):
        node = (pod.get("spec") or {}).get("nodeName")
        if not node or node in nodes:
            continue
        created = metadata_of(pod).get("creationTimestamp")
        left_s = QUARANTINE_S - (view.now - parse_time(created)).total_seconds() if created else 0.0
        if left_s > 0:
            again_s.append(left_s)
        else:
            orphans.append(pod)
    running = [pod for pod in orphans if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")]
    told = [announce(pod, "DeletionByPodGC", "PodGC: node no longer exists", view.now) for pod in running]
    actions = [*told, *stop(orphans, grace_period_s=0)]
    return Plan(actions, min(again_s, default=None), f"{len(orphans)} Pods are on nodes that are gone")
