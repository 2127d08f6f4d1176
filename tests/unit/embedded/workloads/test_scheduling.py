"""Where Pods go, and what those are told that wait."""

from typing import Any

import pytest

from beamhall.embedded.workloads.scheduling import plan_scheduling
from beamhall.embedded.workloads.scheduling.planner import RETELL_EACH_S, RETELL_S, RETELLS
from beamhall.kernel.kinds import NODE, POD, Kind
from beamhall.kernel.objects import Object
from beamhall.kernel.plan import Bind, Emit, Patch, Plan
from tests.planning import World, said
from tests.unit.embedded.workloads.cluster import node, pod, pod_group


def schedule(world: World) -> Plan:
    plan = plan_scheduling({}, world)
    world.carry_out(plan)
    return plan


def bindings(world: World) -> dict[str, str]:
    """Give the node of each Pod that has one."""
    pods = {p["metadata"]["name"]: p["spec"].get("nodeName") for p in world.list(POD)}
    return {name: where for name, where in pods.items() if where}


def reason(world: World, name: str = "p") -> str:
    """Give what a waiting Pod is told."""
    obj = world.get(POD, name, "ns")
    assert obj is not None
    conditions = {c["type"]: c for c in obj["status"]["conditions"]}
    assert (conditions["PodScheduled"]["status"], conditions["PodScheduled"]["reason"]) == ("False", "Unschedulable")
    return str(conditions["PodScheduled"]["message"])


def test_a_pod_is_bound_in_one_write() -> None:
    world = World(node(), pod(cpu="1"))
    plan = schedule(world)
    obj = world.list(POD)[0]
    assert obj["spec"]["nodeName"] == "n"
    assert obj["status"]["conditions"] == [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z"}
    ]
    assert [type(action) for action in plan.actions] == [Bind, Emit]
    assert said(plan.actions) == [("Scheduled", "Successfully assigned ns/p to n")]
    assert schedule(world).actions == ()


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ([], "no node is there yet"),
        (
            [node(cpu="2"), pod("other", cpu="1500m", on="n")],
            "0/1 nodes are available: node n has 2 cpu of which 0.5 are free, this Pod asks for 1 cpu",
        ),
        (
            [node(cpu="500m")],
            "0/1 nodes are available: node n has 0.5 cpu in all, this Pod asks for 1 cpu, so it can never start here",
        ),
        ([node(unschedulable=True)], "0/1 nodes are available: node n takes no new Pods (it is cordoned)"),
        (
            [node(taints=[{"key": "gpu", "value": "yes", "effect": "NoSchedule"}])],
            "0/1 nodes are available: node n has the taint gpu=yes:NoSchedule, which the Pod does not tolerate",
        ),
        (
            [node("a", cpu="1"), node("b", cpu="1"), pod("x", cpu="1", on="a"), pod("y", cpu="250m", on="b")],
            "0/2 nodes are available: the nodes have 1 cpu of which 0.75 are free, this Pod asks for 1 cpu",
        ),
    ],
)
def test_why_a_pod_waits(objects: list[tuple[Kind, Object]], message: str) -> None:
    world = World(*objects, pod(cpu="1"))
    plan = schedule(world)
    assert "p" not in bindings(world)
    assert reason(world) == message
    assert said(plan.actions) == [("FailedScheduling", message)]
    assert schedule(world).actions == [], "it is told once"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"gpu": 1}, "node n has no nvidia.com/gpu in all, this Pod asks for 1 nvidia.com/gpu, so it can never start"),
        ({"nodeSelector": {"disk": "ssd"}}, "node n has no label disk=ssd, which the Pod's nodeSelector asks for"),
        ({"cpu": "2001m"}, "has 2 cpu in all, this Pod asks for 2.001 cpu"),
        ({"initContainers": [{"name": "i", "resources": {"requests": {"memory": "8Gi"}}}]}, "asks for 8Gi of memory"),
    ],
)
def test_what_a_pod_may_ask_for(asked: dict[str, Any], words: str) -> None:
    world = World(node(), pod(**asked))
    schedule(world)
    assert words in reason(world)


@pytest.mark.parametrize(
    "spec",
    [
        {"nodeSelector": {"kubernetes.io/hostname": "n"}},
        {"tolerations": [{"operator": "Exists"}]},
        {"tolerations": [{"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}]},
    ],
)
def test_selectors_and_tolerations(spec: dict[str, Any]) -> None:
    taints = [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}] if "tolerations" in spec else []
    world = World(node(taints=taints), pod(**spec))
    schedule(world)
    assert bindings(world) == {"p": "n"}


@pytest.mark.parametrize(
    "spec",
    [{"schedulerName": "volcano"}, {"phase": "Failed"}],
)
def test_pods_that_are_not_ours_to_place(spec: dict[str, Any]) -> None:
    assert plan_scheduling({}, World(node(), pod(**spec))).actions == ()


def test_a_gated_pod_waits_for_its_gates_and_says_so() -> None:
    world = World(node(), pod(schedulingGates=[{"name": "g"}]))
    schedule(world)
    condition = world.list(POD)[0]["status"]["conditions"][0]
    assert (condition["type"], condition["status"], condition["reason"]) == ("PodScheduled", "False", "SchedulingGated")
    assert schedule(world).actions == []
    world.list(POD)[0]["spec"]["schedulingGates"] = []
    schedule(world)
    assert bindings(world) == {"p": "n"}


def test_figures_alone_do_not_rewrite_a_message() -> None:
    world = World(node(cpu="2"), pod("a", cpu="500m", on="n"), pod("b", cpu="500m", on="n"), pod(cpu="2"))
    schedule(world)
    told = reason(world)
    world.objects = {key: obj for key, obj in world.objects.items() if key.name != "b"}
    assert schedule(world).actions == []
    assert reason(world) == told
    world.list(NODE)[0]["status"]["allocatable"]["cpu"] = "1"
    assert schedule(world).again_after_s == RETELL_S, "other words come at most every so often"
    assert reason(world) == told
    world.advance(RETELL_S)
    schedule(world)
    assert "can never start here" in reason(world)


def test_not_all_of_many_that_wait_are_told_another_reason_at_once() -> None:
    n_pods = RETELLS + 10
    world = World(node(cpu="2"), *(pod(f"p{number}", cpu="4") for number in range(n_pods)))
    assert len([action for action in schedule(world).actions if isinstance(action, Patch)]) == n_pods
    world.list(NODE)[0]["spec"]["unschedulable"] = True
    world.advance(n_pods * RETELL_EACH_S)
    plan = schedule(world)
    assert len([action for action in plan.actions if isinstance(action, Patch)]) == RETELLS
    assert plan.again_after_s == RETELL_S
    assert len([action for action in schedule(world).actions if isinstance(action, Patch)]) == 10


def test_priority_then_age() -> None:
    world = World(node(cpu="1"), pod("old", cpu="1"))
    world.advance(5)
    for _, obj in (pod("young", cpu="1"), pod("urgent", cpu="1", priority=100)):
        world.put(POD, obj)
    schedule(world)
    assert bindings(world) == {"urgent": "n"}
    world.objects = {key: obj for key, obj in world.objects.items() if key.name != "urgent"}
    schedule(world)
    assert bindings(world) == {"old": "n"}


def test_finished_pods_take_nothing() -> None:
    world = World(node(cpu="1"), pod("done", cpu="1", on="n", phase="Succeeded"), pod(cpu="1"))
    schedule(world)
    assert bindings(world)["p"] == "n"


def test_gpus_are_given_out_by_number() -> None:
    world = World(node(gpu=2), *(pod(f"p{i}", gpu=1) for i in range(3)))
    schedule(world)
    assert sorted(bindings(world)) == ["p0", "p1"]
    assert "has 2 nvidia.com/gpu of which 0 are free, this Pod asks for 1" in reason(world, "p2")


def test_a_group_starts_whole_or_holds_nothing() -> None:
    members = [pod(f"p{i}", cpu="1", group="g") for i in range(3)]
    world = World(node(cpu="2"), pod_group(members=3), *members, pod("small", cpu="2"))
    plan = schedule(world)
    assert bindings(world) == {"small": "n"}, "the group could place two of three, and keeps none of that"
    assert reason(world, "p0") == (
        "waits for its group g, which needs 3 Pods at once: 0/1 nodes are available: node n has 2 cpu in all, the group"
        " asks for 3 cpu, so it can never start here"
    )
    assert [r for r, _ in said(plan.actions)].count("FailedScheduling") == 3
    world.put(*node("m", cpu="3"))
    schedule(world)
    assert bindings(world) == {"small": "n", "p0": "m", "p1": "m", "p2": "m"}
    assert schedule(world).actions == ()


def test_what_a_group_gives_back_is_there_for_the_next() -> None:
    members = [pod(f"p{i}", cpu="1", group="g") for i in range(3)]
    world = World(node(cpu="2"), pod_group(members=3), *members)
    world.advance(1)
    world.put(*pod("single", cpu="1"))
    schedule(world)
    assert bindings(world) == {"single": "n"}


def test_two_groups_never_hold_half_each() -> None:
    members = [pod(f"{g}{i}", cpu="1", group=g) for g in "ab" for i in range(2)]
    world = World(node(cpu="3"), pod_group("a", members=2), pod_group("b", members=2), *members)
    schedule(world)
    assert sorted(bindings(world)) == ["a0", "a1"]
    assert "of which 1 are free, the group asks for 2 cpu" in reason(world, "b0")


def test_a_member_that_comes_back_joins_those_that_run() -> None:
    world = World(
        node(cpu="2"),
        pod_group(members=3),
        pod("p0", group="g", on="n", phase="Running"),
        pod("p1", group="g", on="n", phase="Succeeded"),
        pod("p2", group="g"),
    )
    schedule(world)
    assert bindings(world)["p2"] == "n"


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ([], "waits for its group: there is no PodGroup g in its namespace"),
        ([pod_group(members=2)], "waits for its group g: it needs 2 Pods at once, 1 are there"),
        (
            [pod_group(members=1)],
            "waits for its group g, which needs 1 Pods at once: 0/1 nodes are available: node n has 2 cpu in all,"
            " its Pod p asks for 4 cpu, so it can never start here",
        ),
    ],
)
def test_why_a_group_waits(objects: list[tuple[Kind, Object]], message: str) -> None:
    world = World(node(), pod(cpu="4", group="g"), *objects)
    world.advance(5)
    schedule(world)
    assert reason(world) == message


def test_a_group_may_arrive_one_by_one() -> None:
    world = World(node(), pod("a", group="g"))
    plan = schedule(world)
    assert (plan.actions, plan.again_after_s) == ([], 3)
    world.put(*pod_group(members=2))
    world.advance(1)
    assert (schedule(world).actions, plan.again_after_s) == ([], 3)
    world.put(*pod("b", group="g"))
    schedule(world)
    assert sorted(bindings(world)) == ["a", "b"]


def test_a_group_that_waits_too_long_is_reported() -> None:
    world = World(node(), pod(group="g"), pod_group(members=2, timeout_s=30))
    world.advance(5)
    assert schedule(world).again_after_s == 25
    world.advance(25)
    plan = schedule(world)
    assert [r for r, _ in said(plan.actions)] == ["FailedScheduling"]
    assert reason(world).endswith("; it waits longer than its scheduleTimeoutSeconds of 30")
    assert schedule(world).actions == []


def test_many_waiting_pods_are_looked_at_by_shape() -> None:
    """Ten thousand Pods that cannot start ask each node once for each shape, not once for each Pod."""
    world = World(*(node(f"n{i}", cpu="1") for i in range(4)), *(pod(f"p{i}", cpu="2") for i in range(50)))
    plan = schedule(world)
    assert len(plan.actions) == 100
    assert len({message for _, message in said(plan.actions)}) == 1
