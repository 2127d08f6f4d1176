"""Which node Pods go to: labels, affinity, other Pods, ports, and what is best where several would do."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from beamhall.kernel.kinds import NAMESPACE, POD, Kind
from beamhall.kernel.objects import Object
from tests.planning import World
from tests.unit.embedded.workloads.cluster import node, pod
from tests.unit.embedded.workloads.test_scheduling import bindings, reason, schedule

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
WEB = {"app": "web"}


def node_affinity(*terms: Mapping[str, Any]) -> dict[str, Any]:
    return {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": list(terms)}}}}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


def term(labels: Mapping[str, str] = WEB, key: str = "kubernetes.io/hostname", **more: Any) -> dict[str, Any]:
    return {"labelSelector": {"matchLabels": dict(labels)}, "topologyKey": key, **more}


def near(*terms: Mapping[str, Any]) -> dict[str, Any]:
    return {"affinity": {"podAffinity": {REQUIRED: list(terms)}}}


def apart(*terms: Mapping[str, Any]) -> dict[str, Any]:
    return {"affinity": {"podAntiAffinity": {REQUIRED: list(terms)}}}


def spread(skew: int = 1, key: str = "zone", **more: Any) -> dict[str, Any]:
    constraint = {"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule"}
    return {"topologySpreadConstraints": [constraint | {"labelSelector": {"matchLabels": WEB}} | more]}


def zones(*names: str) -> list[tuple[Kind, Object]]:
    return [node(f"n{index}", labels={"zone": name}, cpu="8") for index, name in enumerate(names)]


NAMED_B = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]}
NODES = [node("a", labels={"gpu": "v100", "memory-gb": "16"}), node("b", labels={"gpu": "a100", "memory-gb": "40"})]


@pytest.mark.parametrize(
    ("terms", "where"),
    [
        ([expression("gpu", "In", "a100", "h100")], "b"),
        ([expression("gpu", "NotIn", "v100")], "b"),
        ([expression("nvlink", "DoesNotExist")], "a"),
        ([expression("gpu", "Exists")], "a"),
        ([expression("memory-gb", "Gt", "16")], "b"),
        ([expression("memory-gb", "Lt", "17")], "a"),
        ([expression("gpu", "In", "h100"), expression("gpu", "In", "a100")], "b"),
        ([NAMED_B], "b"),
        ([expression("memory-gb", "Gt", "many")], ""),
        ([expression("gpu", "Gt", "1")], ""),
        ([expression("gpu", "In", "v100") | NAMED_B], ""),
        ([{}], ""),
    ],
)  # fmt: skip
def test_required_node_affinity(terms: Sequence[Mapping[str, Any]], where: str) -> None:
    world = World(*NODES, pod(**node_affinity(*terms)))
    schedule(world)
    assert bindings(world) == ({"p": where} if where else {})


def test_what_forbids_it_is_named_and_what_there_is() -> None:
    world = World(*NODES, pod("s", nodeSelector={"gpu": "h100"}), pod("t", nodeSelector={"rack": "1"}))
    world.put(*pod("u", **node_affinity(expression("gpu", "In", "h100", "b200"), expression("memory-gb", "Gt", "80"))))
    schedule(world)
    assert reason(world, "s") == (
        "0/2 nodes are available: 2 nodes (a, b) have no label gpu=h100, which the Pod's nodeSelector asks for"
        " (nodeSelector gpu=h100: no node has this label; nodes have gpu=a100, gpu=v100)"
    )
    assert reason(world, "t").endswith("(nodeSelector rack=1: no node has this label; no node has a label rack at all)")
    assert reason(world, "u") == (
        "0/2 nodes are available: 2 nodes (a, b) are not one that the Pod's node affinity asks for"
        " (gpu In h100, b200 or memory-gb > 80)"
    )


def test_reasons_of_large_clusters_are_short() -> None:
    world = World(
        *(node(f"n{i}", unschedulable=i < 40, taints=[{"key": f"k{i}", "effect": "NoSchedule"}]) for i in range(60)),
        pod(),
    )
    schedule(world)
    text = reason(world)
    assert text.startswith("0/60 nodes are available: 40 nodes (such as n0) take no new Pods (it is cordoned); ")
    assert text.endswith("; 15 more nodes for other reasons")


def test_preferences_decide_where_nothing_forbids() -> None:
    preference = {"weight": 10, "preference": expression("gpu", "In", "a100")}
    world = World(*NODES, pod(affinity={"nodeAffinity": {PREFERRED: [preference]}}))
    world.put(*node("0", taints=[{"key": "old", "effect": "PreferNoSchedule"}], cpu="64"))
    schedule(world)
    assert bindings(world) == {"p": "b"}
    world.put(*pod("q"))
    schedule(world)
    assert bindings(world)["q"] == "a", "the tainted one is used last"


def test_pods_spread_over_nodes_and_gpus_are_packed() -> None:
    machines = [node(f"n{i}", gpu=4, cpu="16") for i in range(3)]
    world = World(*machines, *(pod(f"c{i}", cpu="1") for i in range(3)), *(pod(f"g{i}", gpu=1) for i in range(3)))
    world.put(*pod("whole", gpu=4))
    schedule(world)
    found = bindings(world)
    assert {found[f"c{i}"] for i in range(3)} == {"n0", "n1", "n2"}
    assert len({found[f"g{i}"] for i in range(3)}) == 1
    assert found["whole"] not in {found["g0"]}


def test_host_ports_are_used_once_a_node() -> None:
    def server(name: str, **port: Any) -> tuple[Kind, Object]:
        kind, obj = pod(name)
        obj["spec"]["containers"][0]["ports"] = [{"containerPort": 80, "hostPort": 8080, **port}]
        return kind, obj

    world = World(node(), server("a"), server("b"), server("c", protocol="UDP"))
    schedule(world)
    assert bindings(world) == {"a": "n", "c": "n"}
    assert "node n has a Pod that uses the host port 8080" in reason(world, "b")


def test_affinity_puts_pods_together() -> None:
    world = World(*zones("x", "y"), pod("web", labels=WEB, on="n1"), pod(**near(term(key="zone"))))
    world.put(*pod("lost", **near(term({"app": "db"}))))
    schedule(world)
    assert bindings(world) == {"web": "n1", "p": "n1"}
    assert "has no Pod near that the Pod's affinity asks for (app=db by kubernetes.io/hostname)" in reason(
        world, "lost"
    ).replace("have", "has")


def test_the_first_of_pods_that_want_each_other_goes_anywhere_with_a_place() -> None:
    world = World(node("0"), *zones("x", "y"), *(pod(f"p{i}", labels=WEB, **near(term(key="zone"))) for i in range(3)))
    schedule(world)
    found = bindings(world)
    assert len(set(found.values())) == 1
    assert "0" not in found.values()


def test_anti_affinity_keeps_away_whoever_comes_later() -> None:
    world = World(*zones("x", "y"), pod("first", labels=WEB, on="n0", **apart(term())), pod("plain", labels=WEB))
    world.put(*pod("other", labels={"app": "db"}))
    schedule(world)
    assert bindings(world)["plain"] == "n1", "the one that is there wants nobody like it beside it"
    world.put(*pod("third", labels=WEB))
    world.put(*pod("fourth", labels=WEB, **apart(term())))
    schedule(world)
    assert bindings(world)["third"] == "n1"
    assert "has a Pod that this Pod's anti-affinity keeps away from (app=web by" in reason(world, "fourth").replace(
        "have", "has"
    )


def test_replicas_that_keep_apart_take_a_node_each() -> None:
    world = World(*zones("x", "y"), *(pod(f"p{i}", labels=WEB, **apart(term())) for i in range(3)))
    schedule(world)
    assert sorted(bindings(world).values()) == ["n0", "n1"]


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({}, "n1"),
        ({"namespaces": ["ns"]}, "n1"),
        ({"namespaces": ["elsewhere"]}, ""),
        ({"namespaceSelector": {"matchLabels": {"team": "physics"}}}, "n1"),
        ({"namespaceSelector": {"matchLabels": {"team": "chemistry"}}}, ""),
        ({"namespaceSelector": {}}, "n1"),
    ],
)
def test_whose_pods_affinity_means(more: dict[str, Any], where: str) -> None:
    namespace = {"metadata": {"name": "ns", "labels": {"team": "physics"}}}
    world = World((NAMESPACE, namespace), *zones("x", "y"), pod("web", labels=WEB, on="n1"), pod(**near(term(**more))))
    schedule(world)
    assert bindings(world).get("p", "") == where


def test_preferred_affinity_and_anti_affinity() -> None:
    def liking(name: str) -> dict[str, Any]:
        return {"affinity": {name: {PREFERRED: [{"weight": 100, "podAffinityTerm": term()}]}}}

    world = World(*zones("x", "y"), pod("web", labels=WEB, cpu="4", on="n1"))
    world.put(*pod("near", cpu="1", **liking("podAffinity")))
    world.put(*pod("far", cpu="1", **liking("podAntiAffinity")))
    schedule(world)
    assert (bindings(world)["near"], bindings(world)["far"]) == ("n1", "n0")


def test_pods_are_spread_over_zones() -> None:
    world = World(*zones("x", "x", "y"), *(pod(f"p{i}", labels=WEB, **spread()) for i in range(4)))
    schedule(world)
    found = list(bindings(world).values())
    assert found.count("n2") == 2
    world.put(*pod("elsewhere", labels=WEB, nodeSelector={"zone": "x"}, **spread()))
    schedule(world)
    assert "elsewhere" in bindings(world), "zones that the Pod cannot go to do not count"
    world.put(*pod("late", labels=WEB, nodeSelector={"zone": "x"}, **spread(nodeAffinityPolicy="Ignore")))
    schedule(world)
    assert "has more such Pods than the Pod's topologySpreadConstraints allow (maxSkew 1 by zone)" in reason(
        world, "late"
    ).replace("have", "has")


def test_spreading_needs_the_label_and_so_many_domains() -> None:
    world = World(node("bare"), *zones("x"), pod("p0", labels=WEB, **spread(minDomains=2)))
    schedule(world)
    assert bindings(world) == {"p0": "n0"}
    world.put(*pod("p1", labels=WEB, **spread(minDomains=2)))
    schedule(world)
    assert "node bare has no label zone, by which the Pod's topologySpreadConstraints tell places apart" in reason(
        world, "p1"
    )


def test_spreading_where_it_can_be() -> None:
    lenient = spread(whenUnsatisfiable="ScheduleAnyway")
    world = World(*zones("x", "y"), pod("web", labels=WEB, on="n0"), pod("big", cpu="6", on="n1"))
    world.put(*pod("p0", labels=WEB, **lenient))
    schedule(world)
    assert bindings(world)["p0"] == "n1"
    world.put(*pod("p1", labels=WEB, cpu="3", **lenient))
    schedule(world)
    assert bindings(world)["p1"] == "n0", "only one node has room"


def test_pods_that_are_ending_do_not_count_for_spreading() -> None:
    world = World(
        *zones("x", "y"),
        pod("web", labels=WEB, on="n0"),
        pod("p0", labels=WEB, nodeSelector={"zone": "x"}, **spread(nodeAffinityPolicy="Ignore")),
    )
    schedule(world)
    assert "p0" not in bindings(world)
    world.list(POD)[1]["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    schedule(world)
    assert bindings(world)["p0"] == "n0"
