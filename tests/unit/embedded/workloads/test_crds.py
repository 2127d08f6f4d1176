"""The definition of PodGroup."""

from beamhall.embedded.workloads.crds import pod_group_definition
from beamhall.embedded.workloads.registry import workload_definitions, workload_planners


def test_pod_groups_are_found_as_upstream_calls_them() -> None:
    definition = pod_group_definition()
    assert definition["metadata"]["name"] == "podgroups.scheduling.x-k8s.io"
    assert definition["spec"]["names"]["shortNames"] == ["pg", "pgs"]
    properties = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    assert sorted(properties["spec"]["properties"]) == ["minMember", "minResources", "scheduleTimeoutSeconds"]


def test_planners_have_names_of_their_own_and_see_their_kinds() -> None:
    planners = workload_planners()
    assert len({planner.name for planner in planners}) == len(planners)
    assert all(planner.kind not in planner.watches for planner in planners)
    assert [d["spec"]["names"]["kind"] for d in workload_definitions()] == ["PodGroup"]
