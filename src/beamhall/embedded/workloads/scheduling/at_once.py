"""Which Pods need no scheduler: where there is one node, and a Pod asks for nothing, there is nothing to choose.

Such a Pod may have its node when it is made, which saves a write and a pass over the cluster. Pure. Next: ``planner``
is for all others.
"""

from beamhall.embedded.workloads.scheduling.eligibility import obstacle
from beamhall.embedded.workloads.scheduling.shapes import shape_of
from beamhall.embedded.workloads.scheduling.units import group_of, is_gated, is_ours
from beamhall.kernel.objects import ReadOnlyObject

_A_PLACE = "pods"


def may_go_at_once(pod: ReadOnlyObject, node: ReadOnlyObject, others: int) -> bool:
    """Tell whether a Pod may have the only node of a cluster without a look at any other Pod.

    Other Pods that want nobody beside them are not asked: this is for Pods that are soon gone.

    Args:
        pod: As it will be stored: with what defaults and limits of its namespace have it ask for.
        node: The only node.
        others: How many Pods there are, those that have ended too.
    """
    if not is_ours(pod) or is_gated(pod) or group_of(pod) is not None:
        return False
    shape = shape_of(pod)
    if shape.is_social or shape.ports or any(name != _A_PLACE for name, _ in shape.needs):
        return False
    room = ((node.get("status") or {}).get("allocatable") or {}).get(_A_PLACE, "0")
    return others < int(room) and not obstacle(node, shape)
