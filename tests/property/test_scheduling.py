"""Whatever waits: no node gives more than it has, groups start whole or not at all, only lower priorities are stopped,
and looking twice does nothing."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from beamhall.embedded.workloads.resources import allocatable_of, requests_of
from beamhall.embedded.workloads.scheduling import plan_scheduling
from beamhall.embedded.workloads.scheduling.planner import PATIENCE_S
from beamhall.kernel.kinds import NODE, POD
from beamhall.kernel.objects import is_being_deleted, labels_of, name_of
from beamhall.kernel.plan import Delete, Plan
from tests.planning import World
from tests.unit.embedded.workloads.cluster import node, pod, pod_group

GROUP = "scheduling.x-k8s.io/pod-group"
_SIZES = {"a": 2, "b": 3}
_TERMS = [{"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "kubernetes.io/hostname"}]
_APART = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": _TERMS}}
_PODS = st.fixed_dictionaries(
    {
        "cpu": st.sampled_from(["250m", "1", "3"]),
        "gpu": st.sampled_from([0, 0, 1]),
        "group": st.sampled_from(["", "", "a", "b", "none"]),
        "priority": st.sampled_from([0, 5, 10]),
    },
    optional={
        "preemptionPolicy": st.just("Never"),
        "restartPolicy": st.sampled_from(["Never", "Always"]),
        "labels": st.just({"app": "web"}),
        "affinity": st.just(_APART),
    },
)


def _check(world: World, bound_before: set[str]) -> None:
    pods = world.list(POD)
    for machine in world.list(NODE):
        there = [p for p in pods if p["spec"].get("nodeName") == name_of(machine) and p["status"]["phase"] == "Pending"]
        for name, has in allocatable_of(machine).items():
            assert sum(requests_of(p).get(name, 0) for p in there) <= has
        web = [p for p in there if labels_of(p).get("app") == "web"]
        alone = [p for p in there if "affinity" in p["spec"]]
        assert all(len([other for other in web if other is not p]) == 0 for p in alone)
    for group, size in _SIZES.items():
        members = [p for p in pods if labels_of(p).get(GROUP) == group]
        n_bound = sum("nodeName" in p["spec"] for p in members)
        assert n_bound == 0 or n_bound >= size or any(name_of(p) in bound_before for p in members)
    orphans = [p for p in pods if labels_of(p).get(GROUP) == "none"]
    assert all("nodeName" not in p["spec"] for p in orphans)


def _check_victims(world: World, plan: Plan) -> None:
    """Only what is less important than something that waits and may do so is stopped, and that something is told."""
    victims = [world.objects[action.key] for action in plan.actions if isinstance(action, Delete)]
    claimants = [
        p["spec"]["priority"] for p in world.list(POD)
        if "nodeName" not in p["spec"] and p["spec"].get("preemptionPolicy") != "Never"
    ]  # fmt: skip
    for victim in victims:
        assert victim["spec"]["priority"] < max(claimants)


def _settle(world: World) -> None:
    """Plan until nothing is left to do; what is stopped ends meanwhile."""
    for _ in range(12):
        world.advance(10)
        plan = plan_scheduling({}, world)
        if not plan.actions and not any(map(is_being_deleted, world.list(POD))):
            return
        bound = {name_of(p) for p in world.list(POD) if "nodeName" in p["spec"]}
        _check_victims(world, plan)
        world.carry_out(plan)
        _check(world, bound)
        world.finish_deletions()
    raise AssertionError("does not come to rest")


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(st.sampled_from(["1", "4"]), st.sampled_from([0, 2])), max_size=3),
    st.lists(st.tuples(st.lists(_PODS, max_size=6), st.sampled_from([10.0, PATIENCE_S])), min_size=1, max_size=3),
    st.lists(st.integers(0, 20), max_size=6),
)
def test_any_pods_on_any_nodes(
    machines: list[tuple[str, int]], waves: Sequence[tuple[list[dict[str, Any]], float]], finished: list[int]
) -> None:
    world = World(*(node(f"n{i}", cpu=cpu, gpu=gpu) for i, (cpu, gpu) in enumerate(machines)))
    for group, size in _SIZES.items():
        world.put(*pod_group(group, members=size))
    n = 0
    for wave, pause_s in waves:
        world.advance(pause_s)
        for asked in wave:
            world.put(*pod(f"p{n}", **asked))
            n += 1
        _settle(world)
        for p in world.list(POD):
            if "nodeName" in p["spec"] and int(name_of(p)[1:]) in finished:
                p["status"]["phase"] = "Succeeded"
