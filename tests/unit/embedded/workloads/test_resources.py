"""What Pods ask for."""

from typing import Any

import pytest

from beamhall.embedded.workloads.resources import requests_of, say


def _container(cpu: str, **more: Any) -> dict[str, Any]:
    return {"resources": {"requests": {"cpu": cpu}}, **more}


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        ({"containers": [_container("1"), _container("500m")]}, 1500),
        ({"containers": [_container("1")], "initContainers": [_container("3"), _container("2")]}, 3000),
        ({"containers": [_container("1")], "initContainers": [_container("1", restartPolicy="Always")]}, 2000),
        (
            {
                "containers": [_container("1")],
                "initContainers": [_container("1", restartPolicy="Always"), _container("3")],
            },
            4000,
        ),
        ({"containers": [_container("1")], "overhead": {"cpu": "0.25"}}, 1250),
        ({"containers": [{"resources": {"limits": {"cpu": 2}}}]}, 2000),
        ({"containers": [{"resources": {"limits": {"cpu": 2}, "requests": {"cpu": 1}}}]}, 1000),
    ],
)
def test_requests(spec: dict[str, Any], cpu: int) -> None:
    assert requests_of({"spec": spec}) == {"cpu": cpu, "pods": 1}


def test_extended_resources_come_from_limits() -> None:
    container = {"resources": {"limits": {"nvidia.com/gpu": 2}}}
    assert requests_of({"spec": {"containers": [container]}})["nvidia.com/gpu"] == 2


@pytest.mark.parametrize(
    ("resource", "value", "text"),
    [("cpu", 1500, "1.5 cpu"), ("memory", 2**30 + 5, "1Gi of memory"), ("nvidia.com/gpu", 2, "2 nvidia.com/gpu")],
)
def test_say(resource: str, value: int, text: str) -> None:
    assert say(resource, value) == text
