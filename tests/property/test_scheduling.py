"""Whatever waits: no node gives more than it has, groups start whole or not at all, and looking twice does nothing."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from beamhall.embedded.workloads.resources import allocatable_of, requests_of
from beamhall.embedded.workloads.scheduling import plan_scheduling
from beamhall.kernel.kinds import NODE, POD
from beamhall.kernel.objects import labels_of, name_of
from tests.planning import World
from tests.unit.embedded.workloads.cluster import node, pod, pod_group

_SIZES = {"a": 2, "b": 3}
_PODS = st.tuples(
    st.sampled_from(["250m", "1", "3"]),
    st.sampled_from([0, 0, 1]),
    st.sampled_from(["", "", "a", "b", "none"]),
    st.sampled_from([0, 10]),
)


def _check(world: World, bound_before: set[str]) -> None:
    pods = world.list(POD)
    for machine in world.list(NODE):
        there = [p for p in pods if p["spec"].get("nodeName") == name_of(machine)]
        running = [requests_of(p) for p in there if p["status"]["phase"] == "Pending"]
        for name, has in allocatable_of(machine).items():
            assert sum(asked.get(name, 0) for asked in running) <= has
    for group, size in _SIZES.items():
        members = [p for p in pods if labels_of(p).get("scheduling.x-k8s.io/pod-group") == group]
        n_bound = sum("nodeName" in p["spec"] for p in members)
        assert n_bound == 0 or n_bound >= size or any(name_of(p) in bound_before for p in members)
    orphans = [p for p in pods if labels_of(p).get("scheduling.x-k8s.io/pod-group") == "none"]
    assert all("nodeName" not in p["spec"] for p in orphans)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(["1", "4"]), st.sampled_from([0, 2])), max_size=3),
    st.lists(st.lists(_PODS, max_size=6), min_size=1, max_size=3),
    st.lists(st.integers(0, 20), max_size=6),
)
def test_any_pods_on_any_nodes(
    machines: list[tuple[str, int]], waves: list[list[tuple[Any, ...]]], finished: list[int]
) -> None:
    world = World(*(node(f"n{i}", cpu=cpu, gpu=gpu) for i, (cpu, gpu) in enumerate(machines)))
    for group, size in _SIZES.items():
        world.put(*pod_group(group, members=size))
    n = 0
    for wave in waves:
        world.advance(10)
        for cpu, gpu, group, priority in wave:
            world.put(*pod(f"p{n}", cpu=cpu, gpu=gpu, group=group, priority=priority))
            n += 1
        bound = {name_of(p) for p in world.list(POD) if "nodeName" in p["spec"]}
        world.carry_out(plan_scheduling({}, world))
        _check(world, bound)
        world.advance(10)
        world.carry_out(plan_scheduling({}, world))  # what was too young to be told
        assert not plan_scheduling({}, world).actions
        for p in world.list(POD):
            if "nodeName" in p["spec"] and int(name_of(p)[1:]) in finished:
                p["status"]["phase"] = "Succeeded"
