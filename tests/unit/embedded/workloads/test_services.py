"""Which addresses stand behind a Service."""

from typing import Any

import pytest

from beamhall.embedded.workloads.services import concerned_services, plan_endpoints
from beamhall.kernel.kinds import ENDPOINT_SLICE, ENDPOINTS, POD, SERVICE
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


def _plan(world: World) -> None:
    (service,) = world.list(SERVICE)
    world.carry_out(plan_endpoints(service, world))
    assert plan_endpoints(service, world).actions == []


def _subsets(world: World) -> Any:
    _plan(world)
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
    world = World((SERVICE, _service(**spec)), (POD, _pod("p")))
    assert plan_endpoints(world.list(SERVICE)[0], world).actions in ([], ())


def _slices(world: World) -> list[Any]:
    _plan(world)
    return list(world.list(ENDPOINT_SLICE))


def test_slices_say_what_is_ready() -> None:
    world = World((SERVICE, _service()), (POD, _pod("p")), (POD, _pod("q", "127.0.0.3", ready=False)))
    (piece,) = _slices(world)
    assert piece["metadata"]["labels"]["kubernetes.io/service-name"] == "s"
    assert [(e["addresses"], e["conditions"]["ready"], e["targetRef"]["name"]) for e in piece["endpoints"]] == [
        (["127.0.0.2"], True, "p"),
        (["127.0.0.3"], False, "q"),
    ]
    assert [port["port"] for port in piece["ports"]] == [8080, 9090]
    assert piece["metadata"]["ownerReferences"][0]["name"] == "s"


def test_many_endpoints_make_several_slices_and_shrink_again() -> None:
    pods = [(POD, _pod(f"p-{n:03}", f"127.0.1.{n}")) for n in range(150)]
    world = World((SERVICE, _service()), *pods)
    assert sorted(len(piece["endpoints"]) for piece in _slices(world)) == [50, 100]
    for pod in world.list(POD)[20:]:
        pod["status"]["phase"] = "Succeeded"
    assert [len(piece["endpoints"]) for piece in _slices(world)] == [20]


def test_a_service_without_pods_has_an_empty_slice() -> None:
    assert [piece["endpoints"] for piece in _slices(World((SERVICE, _service())))] == [[]]


def test_endpoints_that_somebody_wrote_are_mirrored() -> None:
    world = World((SERVICE, _service(selector=None)))
    world.put(
        ENDPOINTS,
        {
            "metadata": {"name": "s", "namespace": "ns"},
            "subsets": [{"addresses": [{"ip": "127.0.0.9"}], "ports": [{"port": 5432}]}],
        },
    )
    (piece,) = _slices(world)
    assert piece["endpoints"] == [
        {"addresses": ["127.0.0.9"], "conditions": {"ready": True, "serving": True, "terminating": False}}
    ]
    assert piece["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"].startswith("endpointslicemirroring")
    assert piece["ports"] == [{"name": "", "port": 5432}]
    assert len(world.list(ENDPOINTS)) == 1


def test_a_pod_concerns_the_services_that_select_it_and_endpoints_their_own() -> None:
    world = World(
        (SERVICE, _service()),
        (SERVICE, _service(selector={"app": "b"}) | {"metadata": {"name": "t", "namespace": "ns"}}),
    )
    assert [key.name for key in concerned_services(_pod("p"), world)] == ["s"]
    assert [key.name for key in concerned_services(_pod("p", labels={}), world)] == []
    other = {"kind": "Endpoints", "metadata": {"name": "mine", "namespace": "ns"}}
    assert [key.name for key in concerned_services(other, world)] == ["mine"]
