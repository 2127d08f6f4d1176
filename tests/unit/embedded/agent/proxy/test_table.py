"""Services and their slices as routes."""

import pytest

from beamhall.embedded.agent.proxy.table import Route, cluster_address, routes_of


def service(ports, address="127.96.0.5", **spec):
    return {"metadata": {"name": "s", "namespace": "ns"}, "spec": {"clusterIP": address, "ports": ports, **spec}}


def piece(ports, *endpoints):
    return {
        "ports": ports,
        "endpoints": [{"addresses": [ip], "conditions": {"ready": ready}} for ip, ready in endpoints],
    }


def test_ready_endpoints_serve_the_port_of_the_same_name():
    ports = [{"name": "http", "port": 80}, {"name": "admin", "port": 81, "nodePort": 30081}]
    pieces = [
        piece([{"name": "http", "port": 8080}, {"name": "admin", "port": 9}], ("127.0.0.2", True)),
        piece([{"name": "http", "port": 8081}], ("127.0.0.3", True), ("127.0.0.4", False)),
    ]
    assert list(routes_of(service(ports), pieces, "127.0.0.1")) == [
        Route(("127.96.0.5", 80), (("127.0.0.2", 8080), ("127.0.0.3", 8081))),
        Route(("127.96.0.5", 81), (("127.0.0.2", 9),)),
        Route(("127.0.0.1", 30081), (("127.0.0.2", 9),)),
    ]


@pytest.mark.parametrize(
    ("made", "pieces"),
    [
        (service([{"port": 80}]), []),
        (service([{"port": 80}]), [piece([{"port": 80}], ("127.0.0.2", False))]),
        (service([{"port": 80, "protocol": "UDP"}]), [piece([{"port": 80}], ("127.0.0.2", True))]),
        (service([{"port": 80}], "None"), [piece([{"port": 80}], ("127.0.0.2", True))]),
    ],
)
def test_nothing_listens_without_endpoints_for_udp_and_for_headless_services(made, pieces):
    assert list(routes_of(made, pieces, "127.0.0.1")) == []


@pytest.mark.parametrize("address", ["", "None", "10.0.0.1", "fe80::1", "what"])
def test_addresses_that_are_not_this_machines(address):
    assert cluster_address(service([], address)) == ""


def test_an_external_name_has_no_address():
    assert cluster_address(service([], type="ExternalName")) == ""
