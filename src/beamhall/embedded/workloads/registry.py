"""The planners and definitions of the embedded cluster itself, for ``beamhall.app``."""

from collections.abc import Sequence

from beamhall.embedded.workloads.crds import pod_group_definition
from beamhall.embedded.workloads.scheduling import plan_scheduling
from beamhall.kernel.kinds import NODE, POD, POD_GROUP
from beamhall.kernel.objects import Object
from beamhall.kernel.planner import Planner


def workload_planners() -> Sequence[Planner]:
    """Give the planners that make Pods, nodes and Services into a cluster."""
    return (Planner("scheduler", POD, plan_scheduling, watches=(NODE, POD_GROUP), singleton=True),)


def workload_definitions() -> Sequence[Object]:
    """Give the definitions of the kinds that these planners work on and that are not built in."""
    return (pod_group_definition(),)
