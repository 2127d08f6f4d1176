"""The status of a PodGroup, from its Pods."""

import pytest

from beamhall.embedded.workloads.pod_groups import plan_pod_groups
from beamhall.kernel.kinds import POD_GROUP
from tests.planning import World
from tests.unit.embedded.workloads.cluster import pod, pod_group


@pytest.mark.parametrize(
    ("phases", "phase", "running"),
    [
        (["waits", "waits"], "Pending", 0),
        (["Pending", "waits"], "Scheduling", 0),
        (["Pending", "Pending"], "Scheduled", 0),
        (["Running", "Pending"], "Scheduled", 1),
        (["Running", "Running"], "Running", 2),
        (["Running", "Succeeded"], "Running", 1),
        (["Succeeded", "Succeeded"], "Finished", 0),
        (["Succeeded", "Failed"], "Failed", 0),
        (["Running", "Failed"], "Running", 1),
    ],
)
def test_phases(phases: list[str], phase: str, running: int) -> None:
    world = World(pod_group(members=2), pod("other", group="h", on="n", phase="Running"))
    for number, one in enumerate(phases):
        world.put(
            *pod(f"p{number}", group="g", on="" if one == "waits" else "n", phase=one.replace("waits", "Pending"))
        )
    world.carry_out(plan_pod_groups({}, world))
    (group,) = world.list(POD_GROUP)
    assert (group["status"]["phase"], group["status"]["running"]) == (phase, running)
    assert plan_pod_groups({}, world).actions == []
