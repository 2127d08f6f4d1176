"""Making room for the urgent: few victims, the least important, nobody in vain; and nobody passed over for ever."""

from typing import Any

import pytest

from beamhall.embedded.workloads.scheduling.planner import PATIENCE_S
from beamhall.kernel.kinds import POD
from beamhall.kernel.objects import is_being_deleted
from beamhall.kernel.plan import Patch
from tests.planning import World, deleted, said
from tests.unit.embedded.workloads.cluster import node, pod, pod_group
from tests.unit.embedded.workloads.test_scheduling import bindings, reason, schedule


def nominated(world: World, name: str = "p") -> str:
    obj = world.get(POD, name, "ns")
    assert obj is not None
    return str(obj["status"].get("nominatedNodeName") or "")


def test_the_least_important_goes_and_is_told_why() -> None:
    world = World(node(cpu="2"), pod("low", cpu="1", on="n", priority=1), pod("mid", cpu="1", on="n", priority=5))
    world.put(*pod(cpu="1", priority=10))
    plan = schedule(world)
    assert deleted(plan, POD) == ["low"]
    assert ("Preempted", "Preempted by Pod ns/p (priority 10) on node n") in said(plan.actions)
    first = plan.actions[0]
    assert isinstance(first, Patch)
    condition = first.patch["status"]["conditions"][-1]
    assert (condition["type"], condition["status"], condition["reason"]) == (
        "DisruptionTarget", "True", "PreemptionByScheduler",
    )  # fmt: skip
    assert first.revision, "a status that its agent has written since is not overwritten"
    assert nominated(world) == "n"
    assert reason(world) == "waits until Pods have ended that make room for it on node n"
    assert schedule(world).actions == [], "nobody else is stopped while that one ends"
    world.finish_deletions()
    schedule(world)
    assert bindings(world) == {"mid": "n", "p": "n"}


def test_room_that_was_made_is_kept_for_whom_it_was_made() -> None:
    world = World(node(cpu="2"), pod("low", cpu="2", on="n"), pod(cpu="2", priority=10))
    schedule(world)
    world.put(*pod("jumper", cpu="1", priority=5))
    schedule(world)
    world.finish_deletions()
    schedule(world)
    assert bindings(world) == {"p": "n"}


def test_room_that_comes_free_anyway_costs_nobody() -> None:
    world = World(
        node("a", cpu="1"), node("b", cpu="1"), pod("low", cpu="1", on="a"), pod("ends", cpu="1", on="b", priority=9)
    )
    (ending,) = [p for p in world.list(POD) if p["metadata"]["name"] == "ends"]
    ending["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    world.put(*pod(cpu="1", priority=10))
    assert deleted(schedule(world), POD) == []
    assert nominated(world) == "b"


@pytest.mark.parametrize(
    ("residents", "asked"),
    [
        ([pod("same", cpu="2", on="n", priority=10)], {"cpu": "1", "priority": 10}),
        ([pod("low", cpu="2", on="n")], {"cpu": "1", "priority": 10, "preemptionPolicy": "Never"}),
        ([pod("low", cpu="1", on="n"), pod("high", cpu="1", on="n", priority=20)], {"cpu": "2", "priority": 10}),
        ([pod("low", cpu="2", on="n")], {"cpu": "1", "priority": 10, "nodeSelector": {"disk": "ssd"}}),
        ([pod("low", cpu="2", on="n")], {"cpu": "3", "priority": 10}),
    ],
)
def test_nobody_is_stopped_in_vain(residents: list[Any], asked: dict[str, Any]) -> None:
    world = World(node(cpu="2"), *residents, pod(**asked))
    assert deleted(schedule(world), POD) == []
    assert nominated(world) == ""


def test_a_member_for_which_nobody_may_be_stopped_makes_its_group_no_more_urgent() -> None:
    world = World(node(cpu="2"), pod("same", cpu="1", on="n"), pod_group(members=2))
    world.put(*pod("g0", cpu="1", group="g", priority=5, preemptionPolicy="Never"))
    world.put(*pod("g1", cpu="1", group="g"))
    assert deleted(schedule(world), POD) == []
    world.put(*pod("g1", cpu="1", group="g", priority=1))
    assert deleted(schedule(world), POD) == ["same"]


def test_few_and_unimportant_victims_are_chosen_over_nodes() -> None:
    world = World(
        node("a", cpu="2"), node("b", cpu="2"), node("c", cpu="2"),
        pod("a0", cpu="1", on="a", priority=1), pod("a1", cpu="1", on="a", priority=1),
        pod("b0", cpu="2", on="b", priority=1),
        pod("c0", cpu="2", on="c", priority=2),
        pod(cpu="2", priority=10),
    )  # fmt: skip
    assert deleted(schedule(world), POD) == ["b0"]


def test_those_that_need_not_go_stay() -> None:
    world = World(node(cpu="4"), pod("small", cpu="1", on="n"), pod("large", cpu="3", on="n", priority=1))
    world.put(*pod(cpu="3", priority=10))
    assert deleted(schedule(world), POD) == ["large"], "stopping the less important small one too would not help"


def test_anti_affinity_of_a_victim_is_no_reason_to_wait() -> None:
    terms = [{"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}]
    alone: dict[str, Any] = {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}
    world = World(node(), pod("low", on="n", labels={"app": "web"}), pod(priority=10, **alone))
    assert deleted(schedule(world), POD) == ["low"]
    world.finish_deletions()
    schedule(world)
    assert bindings(world) == {"p": "n"}


def test_a_group_makes_room_whole_or_not_at_all() -> None:
    members = [pod(f"g{i}", cpu="2", group="g", priority=10) for i in range(3)]
    world = World(node("a", cpu="2"), node("b", cpu="2"), pod_group(members=3), *members)
    world.put(*pod("low", cpu="2", on="a"))
    assert deleted(schedule(world), POD) == [], "for two of three nobody has to go"
    assert all(nominated(world, f"g{i}") == "" for i in range(3))
    world.put(*node("c", cpu="2"))
    assert deleted(schedule(world), POD) == ["low"]
    assert sorted(bindings(world)) == ["low"], "it starts when all of it can"
    world.put(*pod("jumper", cpu="1"))
    schedule(world)
    world.finish_deletions()
    schedule(world)
    assert sorted(bindings(world)) == ["g0", "g1", "g2"]


def test_many_urgent_pods_take_turns_in_being_searched_room_for() -> None:
    world = World(*(node(f"n{i}", cpu="1") for i in range(40)), *(pod(f"l{i}", cpu="1", on=f"n{i}") for i in range(40)))
    for i in range(40):
        world.put(*pod(f"u{i}", cpu="1", priority=1))
    rounds = 0
    while schedule(world).again_after_s == 0:
        rounds += 1
        assert rounds < 10
    assert rounds > 1
    assert all(is_being_deleted(p) for p in world.list(POD) if p["metadata"]["name"].startswith("l"))


def test_a_group_that_has_begun_comes_first() -> None:
    world = World(
        node(cpu="2"), pod_group(members=2), pod("g0", cpu="1", group="g", on="n"), pod("g1", cpu="1", group="g")
    )
    world.put(*pod("urgent", cpu="1", priority=100, preemptionPolicy="Never"))
    schedule(world)
    assert "g1" in bindings(world)


def waiting_for_a_large_group(**residents: Any) -> World:
    """Give two nodes of which one is in use, and a group that needs both."""
    world = World(node("a", gpu=3), node("b", gpu=3), pod("long", gpu=3, on="a", restartPolicy="Never", **residents))
    world.put(*pod_group(members=2))
    for i in range(2):
        world.put(*pod(f"g{i}", gpu=3, group="g"))
    return world


def test_small_ones_go_first_until_the_first_in_the_queue_has_waited_for_long() -> None:
    world = waiting_for_a_large_group()
    world.advance(PATIENCE_S - 1)
    world.put(*pod("early", gpu=1, restartPolicy="Never"))
    schedule(world)
    assert bindings(world)["early"] == "b"
    world.advance(1)
    urgent = pod("urgent", gpu=1, priority=1, restartPolicy="Never")
    for one in (pod("late", gpu=1), pod("other", cpu="1"), urgent):
        world.put(*one)
    schedule(world)
    found = bindings(world)
    assert "late" not in found
    assert reason(world, "late") == (
        "waits its turn: group ns/g has waited longer, and the nvidia.com/gpu that comes free is kept for it"
    )
    assert {"other", "urgent"} <= set(found), "what it does not lack, and what is more urgent, is not held back"
    for name in ("long", "early", "urgent"):
        obj = world.get(POD, name, "ns")
        assert obj is not None
        obj["status"]["phase"] = "Succeeded"
    schedule(world)
    assert {"g0", "g1"} <= set(bindings(world))


def test_nothing_is_kept_where_waiting_cannot_help() -> None:
    world = waiting_for_a_large_group()
    (resident,) = [p for p in world.list(POD) if p["metadata"]["name"] == "long"]
    resident["spec"]["restartPolicy"] = "Always"
    world.advance(PATIENCE_S)
    world.put(*pod("late", gpu=1))
    schedule(world)
    assert bindings(world)["late"] == "b", "a server that never ends holds what the group lacks"


@pytest.mark.parametrize(
    ("cpus", "why"),
    [("2", "and there are 2 cpu in all, so it can never start here"), ("9", "7 cpu are free")],
)
def test_minimal_resources_of_a_group_are_asked_first(cpus: str, why: str) -> None:
    group = pod_group(members=1, minResources={"cpu": "8"})
    world = World(node(cpu=cpus), pod("long", cpu="2", node="a"), group, pod(cpu="1", group="g"))
    schedule(world)
    assert reason(world).endswith(f"its minResources ask for 8 cpu, {why}")
