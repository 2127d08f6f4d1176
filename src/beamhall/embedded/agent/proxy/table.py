"""What listens where, and who stands behind it: Services and their EndpointSlices as routes. Pure.

Source: Kubernetes "Virtual IPs and Service Proxies".
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beamhall.kernel.objects import ReadOnlyObject

Address = tuple[str, int]
"""IPv4 address and TCP port."""

_LOOPBACK = ipaddress.ip_network("127.0.0.0/8")


@dataclass(frozen=True, slots=True)
class Route:
    """One listening address and where its connections go.

    Attributes:
        listen: Where clients connect to.
        targets: Who may serve them; never empty: without endpoints nothing listens, so connections are refused.
    """

    listen: Address
    targets: tuple[Address, ...]


def cluster_address(service: ReadOnlyObject) -> str:
    """Give a Service's own address, if it has one that this machine can listen on; else an empty text."""
    spec: Mapping[str, Any] = service.get("spec") or {}
    address = str(spec.get("clusterIP") or "")
    if spec.get("type") == "ExternalName" or address in ("", "None"):
        return ""
    try:
        return address if ipaddress.ip_address(address) in _LOOPBACK else ""
    except ValueError:
        return ""


def routes_of(service: ReadOnlyObject, slices: Iterable[ReadOnlyObject], node_address: str) -> Iterator[Route]:
    """Give the routes of a Service's TCP ports.

    Args:
        service: The Service.
        slices: Its EndpointSlices.
        node_address: Where node ports listen.
    """
    address = cluster_address(service)
    pieces = list(slices)
    spec: Mapping[str, Any] = service.get("spec") or {}
    for port in spec.get("ports") or () if address else ():
        if (port.get("protocol") or "TCP") != "TCP":
            continue
        targets = tuple(_targets(pieces, str(port.get("name") or "")))
        if not targets:
            continue
        yield Route((address, int(port["port"])), targets)
        if port.get("nodePort"):
            yield Route((node_address, int(port["nodePort"])), targets)


def _targets(slices: Sequence[ReadOnlyObject], name: str) -> Iterator[Address]:
    for piece in slices:
        numbers = [p.get("port") for p in piece.get("ports") or () if str(p.get("name") or "") == name]
        for endpoint in piece.get("endpoints") or () if numbers and numbers[0] else ():
            if (endpoint.get("conditions") or {}).get("ready", True):
                yield str(endpoint["addresses"][0]), int(numbers[0])
