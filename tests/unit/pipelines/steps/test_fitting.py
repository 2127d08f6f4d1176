"""Pods of steps that no node could run as they are."""

from copy import deepcopy
from typing import Any

import pytest

from beamhall.pipelines.steps.fitting import FITTED_ANNOTATION, fitted

NODES = [
    {
        "metadata": {"name": "a", "labels": {"disk": "ssd"}},
        "status": {"allocatable": {"cpu": "2", "memory": "8Gi"}},
    },
    {"metadata": {"name": "b"}, "status": {"allocatable": {"cpu": "1500m", "memory": "16Gi"}}},
]


def pod(limits: dict[str, str], **spec: Any) -> dict[str, Any]:
    resources = {"limits": limits, "requests": limits}
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "main", "resources": resources}], **spec}}


@pytest.mark.parametrize(
    "fits",
    [
        pod({"cpu": "2", "memory": "16Gi"}),
        pod({}, nodeSelector={"disk": "ssd"}),
        {"metadata": {}, "spec": {"containers": [{"name": "main"}]}},
    ],
)
def test_what_fits_stays(fits: dict[str, Any]) -> None:
    assert fitted(fits, NODES) == (fits, ())


def test_what_no_node_has_is_not_asked_for() -> None:
    asked = pod({"cpu": "4", "memory": "15G", "nvidia.com/gpu": "1"}, nodeSelector={"cloud": "p4"})
    before = deepcopy(asked)
    made, said = fitted(asked, NODES)
    assert asked == before
    resources = made["spec"]["containers"][0]["resources"]
    assert resources == {"limits": {"cpu": "2", "memory": "15G"}, "requests": {"cpu": "2", "memory": "15G"}}
    assert "nodeSelector" not in made["spec"]
    assert said == [
        "it asks for 1 nvidia.com/gpu, which no node has",
        "it asks for 4 cpu, and gets the 2 that the largest node has",
        "no node has the labels cloud=p4",
    ]
    assert made["metadata"]["annotations"] == {FITTED_ANNOTATION: "; ".join(said)}


def test_init_containers_are_fitted_too() -> None:
    asked = pod({"cpu": "1"}, initContainers=[{"name": "i", "resources": {"requests": {"cpu": "3"}}}])
    made, _ = fitted(asked, NODES)
    assert made["spec"]["initContainers"][0]["resources"] == {"requests": {"cpu": "2"}}


def test_of_a_cluster_without_nodes_nothing_is_known() -> None:
    asked = pod({"cpu": "64"})
    assert fitted(asked, ()) == (asked, ())
