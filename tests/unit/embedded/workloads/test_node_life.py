"""What becomes of Pods whose node is tainted, silent or gone."""

from datetime import timedelta
from typing import Any

import pytest

from beamhall.embedded.workloads.evictions import TROUBLE_STAY_S, plan_evictions
from beamhall.embedded.workloads.lost_nodes import plan_lost_nodes
from beamhall.embedded.workloads.orphans import QUARANTINE_S, plan_orphans
from beamhall.kernel.clock import format_micro_time
from beamhall.kernel.kinds import LEASE, NODE, POD
from beamhall.kernel.objects import Object, is_being_deleted
from beamhall.kernel.plan import Plan
from tests.planning import World, deleted, said
from tests.unit.embedded.workloads.cluster import node, pod

BROKEN = {"key": "broken", "value": "fan", "effect": "NoExecute"}
EXISTS = {"key": "broken", "operator": "Exists"}


def evict(world: World) -> Plan:
    plan = plan_evictions({}, world)
    world.carry_out(plan)
    return plan


def condition(obj: Object, kind: str) -> tuple[str, str]:
    return next((c["status"], c["reason"]) for c in obj["status"]["conditions"] if c["type"] == kind)


@pytest.mark.parametrize(
    ("tolerations", "stays_s"),
    [
        ([], 0),
        ([EXISTS], None),
        ([EXISTS | {"tolerationSeconds": 30, "effect": "NoExecute"}], 30),
        ([EXISTS | {"tolerationSeconds": 30, "effect": "NoExecute"}, EXISTS | {"tolerationSeconds": 10}], 10),
        ([EXISTS | {"effect": "NoSchedule"}], 0),
        ([{"key": "broken", "value": "disk", "effect": "NoExecute"}], 0),
    ],
)
def test_how_long_a_pod_may_stay(tolerations: list[dict[str, Any]], stays_s: float | None) -> None:
    world = World(node(taints=[BROKEN]), pod(on="n", tolerations=tolerations), pod("elsewhere", on="m"))
    plan = evict(world)
    if stays_s == 0:
        assert deleted(plan, POD) == ["p"]
        return
    assert (deleted(plan, POD), plan.again_after_s) == ([], stays_s)
    world.advance((stays_s or 1e6) - 1)
    assert deleted(evict(world), POD) == []
    world.advance(1)
    assert deleted(evict(world), POD) == ([] if stays_s is None else ["p"])


def test_an_evicted_pod_is_told_why_once() -> None:
    world = World(node(taints=[BROKEN]), pod(on="n"), pod("done", on="n", phase="Succeeded"))
    plan = evict(world)
    assert said(plan.actions) == [("TaintManagerEviction", "Marking for deletion Pod ns/p")]
    (evicted,) = [p for p in world.list(POD) if is_being_deleted(p)]
    assert condition(evicted, "DisruptionTarget") == ("True", "DeletionByTaintManager")
    assert evict(world).actions == []


@pytest.mark.parametrize("stamp", [{}, {"timeAdded": "yesterday"}])
def test_since_when_a_taint_is_there_is_written_down(stamp: dict[str, str]) -> None:
    world = World(node(taints=[{"key": "other", "effect": "NoSchedule"}, BROKEN | stamp]))
    evict(world)
    assert world.list(NODE)[0]["spec"]["taints"] == [
        {"key": "other", "effect": "NoSchedule"},
        BROKEN | {"timeAdded": "2026-01-02T03:04:05Z"},
    ]
    assert evict(world).actions == []


def test_a_node_in_trouble_gives_its_pods_time() -> None:
    taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": "2026-01-02T03:04:05Z"}
    brief = [{"key": taint["key"], "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}]
    world = World(node(taints=[taint]), pod(on="n"), pod("brief", on="n", tolerations=brief))
    world.advance(5)
    assert deleted(evict(world), POD) == ["brief"]
    world.advance(TROUBLE_STAY_S - 5)
    assert deleted(evict(world), POD) == ["p"]


def lease(world: World, name: str, age_s: float = 0) -> None:
    spec = {"leaseDurationSeconds": 40, "renewTime": format_micro_time(world.now - timedelta(seconds=age_s))}
    world.put(LEASE, {"metadata": {"name": name, "namespace": "kube-node-lease"}, "spec": spec})


def test_a_silent_node_is_marked_until_it_is_heard_again() -> None:
    world = World(node("own"), node("other", taints=[BROKEN]), node("made-by-hand"))
    for name in ("own", "other"):
        lease(world, name)
    plan = plan_lost_nodes(world, "own")
    assert (plan.actions, plan.again_after_s) == ([], 40)
    world.advance(40)
    plan = plan_lost_nodes(world, "own")
    world.carry_out(plan)
    assert said(plan.actions) == [("NodeNotReady", "Node other status is now: NodeNotReady")]
    assert {n["metadata"]["name"]: condition_of_ready(n) for n in world.list(NODE)} == {
        "own": "True", "other": "Unknown", "made-by-hand": "True",
    }  # fmt: skip
    other = world.get(NODE, "other")
    assert other is not None
    assert [(t["key"], t["effect"]) for t in other["spec"]["taints"]] == [
        ("broken", "NoExecute"),
        ("node.kubernetes.io/unreachable", "NoSchedule"),
        ("node.kubernetes.io/unreachable", "NoExecute"),
    ]
    assert plan_lost_nodes(world, "own").actions == []
    lease(world, "other")
    world.carry_out(plan_lost_nodes(world, "own"))
    other = world.get(NODE, "other")
    assert other is not None
    assert (condition_of_ready(other), other["spec"]["taints"]) == ("True", [BROKEN])
    assert plan_lost_nodes(world, "own").actions == []


def condition_of_ready(obj: Object) -> str:
    return str(next(c["status"] for c in obj["status"]["conditions"] if c["type"] == "Ready"))


def test_pods_on_nodes_that_are_gone_go_too() -> None:
    world = World(
        node(), pod("here", on="n"), pod("lost", on="gone"), pod("done", on="gone", phase="Failed"), pod("free")
    )
    plan = plan_orphans({}, world)
    assert (plan.actions, plan.again_after_s) == ([], QUARANTINE_S)
    world.advance(QUARANTINE_S)
    plan = plan_orphans({}, world)
    assert sorted(deleted(plan, POD)) == ["done", "lost"]
    world.carry_out(plan)
    lost = world.get(POD, "lost", "ns")
    assert lost is not None
    assert condition(lost, "DisruptionTarget") == ("True", "DeletionByPodGC")
