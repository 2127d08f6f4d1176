"""Aggregated ClusterRoles gather the rules of others."""

from typing import Any

from beamhall.embedded.workloads.aggregation import plan_aggregation
from beamhall.kernel.kinds import CLUSTER_ROLE
from beamhall.kernel.objects import Key
from tests.planning import World


def role(name: str, *resources: str, labels: dict[str, str] | None = None, gathers: str = "") -> Any:
    made: Any = {"metadata": {"name": name, "labels": labels or {}}, "rules": [rule(r) for r in resources]}
    if gathers:
        made["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {gathers: "true"}}]}
    return CLUSTER_ROLE, made


def rule(resource: str) -> Any:
    return {"verbs": ["get"], "apiGroups": [""], "resources": [resource]}


def rules_of(world: World, name: str) -> list[str]:
    world.settle(plan_aggregation, CLUSTER_ROLE, name, "")
    found = world.get(CLUSTER_ROLE, name)
    assert found is not None
    return [item["resources"][0] for item in found["rules"]]


def test_rules_are_gathered_once_and_by_way_of_others() -> None:
    world = World(
        role("all", "stale", gathers="to-all"),
        role("view", gathers="to-view", labels={"to-all": "true"}),
        role("pods", "pods", "pods", labels={"to-view": "true"}),
        role("jobs", "jobs", "pods", labels={"to-view": "true"}),
        role("aside", "secrets"),
    )
    assert rules_of(world, "view") == ["jobs", "pods"]
    assert rules_of(world, "all") == ["jobs", "pods"]
    del world.objects[Key(CLUSTER_ROLE, "", "jobs")]
    assert rules_of(world, "all") == ["pods"]
    assert rules_of(world, "aside") == ["secrets"]


def test_what_is_right_is_left_alone() -> None:
    world = World(role("view", "pods", gathers="to-view"), role("pods", "pods", labels={"to-view": "true"}))
    assert not plan_aggregation(world.list(CLUSTER_ROLE)[0], world).actions
