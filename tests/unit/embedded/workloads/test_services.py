"""Which addresses stand behind a Service."""

from typing import Any

import pytest

from beamhall.embedded.workloads.services import plan_endpoints
from beamhall.kernel.kinds import ENDPOINTS, POD, SERVICE
from tests.planning import World


def _service(**spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": "web"}, {"name": "metrics", "port": 9090}]
    return {"metadata": {"name": "s", "namespace": "ns"}, "spec": {"selector": {"app": "a"}, "ports": ports, **spec}}


def _pod(name: str, ip: str = "127.0.0.2", *, ready: bool = True, **more: Any) -> dict[str, Any]:
    ports = [{"name": "web", "containerPort": 8080}]
    return {
        "metadata": {"name": name, "namespace": "ns", "uid": name, "labels": more.get("labels", {"app": "a"})},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "ports": ports}]},
        "status": {
            "phase": more.get("phase", "Running"),
            "podIP": ip,
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }


def _subsets(world: World) -> Any:
    world.carry_out(plan_endpoints({}, world))
    assert plan_endpoints({}, world).actions == []
    (endpoints,) = world.list(ENDPOINTS)
    return endpoints["subsets"]


def test_ready_pods_are_addresses() -> None:
    world = World((SERVICE, _service()), (POD, _pod("p")), (POD, _pod("q", "127.0.0.3", ready=False)))
    assert _subsets(world) == [
        {
            "addresses": [
                {
                    "ip": "127.0.0.2",
                    "nodeName": "n",
                    "targetRef": {"kind": "Pod", "namespace": "ns", "name": "p", "uid": "p"},
                }
            ],
            "notReadyAddresses": [
                {
                    "ip": "127.0.0.3",
                    "nodeName": "n",
                    "targetRef": {"kind": "Pod", "namespace": "ns", "name": "q", "uid": "q"},
                }
            ],
            "ports": [
                {"name": "http", "port": 8080, "protocol": "TCP"},
                {"name": "metrics", "port": 9090, "protocol": "TCP"},
            ],
        }
    ]


def test_endpoints_follow_pods() -> None:
    world = World((SERVICE, _service(publishNotReadyAddresses=True)), (POD, _pod("p", ready=False)))
    assert [list(subset) for subset in _subsets(world)] == [["addresses", "ports"]]
    world.list(POD)[0]["status"]["phase"] = "Succeeded"
    assert _subsets(world) == []


@pytest.mark.parametrize("pod", [_pod("p", labels={"app": "b"}), _pod("p", ""), _pod("p", phase="Failed")])
def test_pods_that_serve_nothing(pod: dict[str, Any]) -> None:
    assert _subsets(World((SERVICE, _service()), (POD, pod))) == []


@pytest.mark.parametrize("spec", [{"selector": {}}, {"type": "ExternalName"}])
def test_services_whose_endpoints_are_not_ours(spec: dict[str, Any]) -> None:
    assert plan_endpoints({}, World((SERVICE, _service(**spec)), (POD, _pod("p")))).actions == []
