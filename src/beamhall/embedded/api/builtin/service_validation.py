"""What Services and Endpoints may be, and what of a Service may change.

Source: Kubernetes API reference, Service v1 core and Endpoints v1 core.
"""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from beamhall.embedded.api.builtin.causes import duplicate, in_range, invalid, matching, one_of, required
from beamhall.embedded.api.builtin.container_validation import validate_port_reference
from beamhall.kernel import names
from beamhall.kernel.errors import Cause
from beamhall.kernel.objects import ReadOnlyObject

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS = ("SCTP", "TCP", "UDP")


def validate_service(obj: ReadOnlyObject) -> Iterator[Cause]:
    """Check a Service, but for its metadata."""
    spec = obj.get("spec") or {}
    kind, address = spec.get("type"), spec.get("clusterIP") or ""
    yield from one_of("spec.type", kind, _TYPES)
    yield from one_of("spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None"))
    yield from names.label_causes(spec.get("selector") or {}, "spec.selector")
    if kind == "ExternalName":
        name = spec.get("externalName") or ""
        if not name:
            yield required("spec.externalName", "must be specified when `type` is ExternalName")
        else:
            yield from matching("spec.externalName", name, names.subdomain_problem(name.rstrip(".").lower()))
    elif address and address != "None" and not _is_address(address):
        yield invalid("spec.clusterIP", address, "must be empty, 'None', or a valid IP address")
    if not spec.get("ports") and address != "None" and kind != "ExternalName":
        yield required("spec.ports")
    yield from _validate_ports(spec.get("ports") or ())


def validate_service_update(obj: ReadOnlyObject, old: ReadOnlyObject) -> Iterator[Cause]:
    """Check that a Service keeps its address."""
    spec, old_spec = obj.get("spec") or {}, old.get("spec") or {}
    has_one = "ExternalName" not in (spec.get("type"), old_spec.get("type"))
    old_address = old_spec.get("clusterIP")
    if has_one and old_address and spec.get("clusterIP") != old_address:
        yield invalid("spec.clusterIP", spec.get("clusterIP"), "may not change once set")


def validate_endpoints(obj: ReadOnlyObject) -> Iterator[Cause]:
    """Check Endpoints, but for their metadata."""
    for number, subset in enumerate(obj.get("subsets") or ()):
        here = f"subsets[{number}]"
        for field in ("addresses", "notReadyAddresses"):
            for place, address in enumerate(subset.get(field) or ()):
                if not _is_address(address.get("ip") or ""):
                    yield invalid(f"{here}.{field}[{place}].ip", address.get("ip"), "must be a valid IP address")
        for place, port in enumerate(subset.get("ports") or ()):
            yield from in_range(f"{here}.ports[{place}].port", port.get("port"), 1, 65535)


def _validate_ports(ports: Sequence[Mapping[str, Any]]) -> Iterator[Cause]:
    seen_names, seen = set(), set()
    for number, port in enumerate(ports):
        here, name = f"spec.ports[{number}]", port.get("name")
        if name:
            yield from matching(f"{here}.name", name, names.label_problem(name))
            if name in seen_names:
                yield duplicate(f"{here}.name", name)
            seen_names.add(name)
        elif len(ports) > 1:
            yield required(f"{here}.name")
        if port.get("port") is None:
            yield required(f"{here}.port")
        yield from in_range(f"{here}.port", port.get("port"), 1, 65535)
        yield from one_of(f"{here}.protocol", port.get("protocol"), _PROTOCOLS)
        yield from validate_port_reference(port.get("targetPort"), f"{here}.targetPort")
        identity = (port.get("protocol"), port.get("port"))
        if identity in seen:
            yield duplicate(here, {"protocol": identity[0], "port": identity[1]})
        seen.add(identity)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
