"""Endpoints and EndpointSlices: which addresses stand behind each Service.

Services without a selector have the Endpoints that somebody else wrote; those are mirrored as slices, which is what a
proxy reads. Next: ``slices``.

Source: Kubernetes API reference, Endpoints v1 core; "Service", sections on headless Services and ready addresses.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from beamhall.embedded.workloads.slices import slice_actions
from beamhall.kernel.conditions import is_true
from beamhall.kernel.kinds import ENDPOINTS, POD, SERVICE
from beamhall.kernel.objects import (
    Key,
    Object,
    ReadOnlyObject,
    is_being_deleted,
    key_of,
    labels_of,
    metadata_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from beamhall.kernel.plan import Action, Create, Patch, Plan, View
from beamhall.kernel.selectors import selector_from_labels

PortMap = tuple[tuple[tuple[str, Any], ...], ...]


def plan_endpoints(service: ReadOnlyObject, view: View) -> Plan:
    """Bring a Service's Endpoints and slices up to date with the Pods that it selects."""
    spec: Mapping[str, Any] = service.get("spec") or {}
    if is_being_deleted(service) or spec.get("type") == "ExternalName":
        return Plan()
    if not spec.get("selector"):
        written = view.get(ENDPOINTS, name_of(service), namespace_of(service))
        return Plan([*slice_actions(service, (written or {}).get("subsets") or (), view)])
    selector = selector_from_labels(spec["selector"])
    pods = [pod for pod in view.list(POD, namespace_of(service), selector) if _has_address(pod)]
    subsets = _subsets(service, pods)
    slices = slice_actions(service, subsets or [{}], view)  # one slice says that there is nothing
    return Plan([*_endpoints_actions(service, subsets, view), *slices])


def concerned_services(obj: ReadOnlyObject, view: View) -> Iterable[Key]:
    """Give the Services that a Pod may stand behind, or the one that Endpoints belong to."""
    namespace, labels = namespace_of(obj), labels_of(obj)
    if obj.get("kind") == ENDPOINTS.kind:
        yield Key(SERVICE, namespace, name_of(obj))
    else:
        for service in view.selecting(SERVICE, namespace, labels):
            yield key_of(SERVICE, service)


def _endpoints_actions(service: ReadOnlyObject, subsets: Sequence[Object], view: View) -> Iterator[Action]:
    existing = view.get(ENDPOINTS, name_of(service), namespace_of(service))
    if existing is None:
        yield Create(ENDPOINTS, _endpoints(service, subsets))
    elif (existing.get("subsets") or []) != subsets:
        yield Patch(key_of(ENDPOINTS, existing), {"subsets": subsets}, uid=uid_of(existing))


def _has_address(pod: ReadOnlyObject) -> bool:
    status: Mapping[str, Any] = pod.get("status") or {}
    return bool(status.get("podIP")) and status.get("phase") not in ("Succeeded", "Failed")


def _endpoints(service: ReadOnlyObject, subsets: Sequence[Object]) -> Object:
    return {
        "apiVersion": ENDPOINTS.api_version,
        "kind": ENDPOINTS.kind,
        "metadata": {
            "name": name_of(service),
            "namespace": namespace_of(service),
            "labels": dict(metadata_of(service).get("labels") or {}),
            "ownerReferences": [owner_reference(SERVICE, service)],
        },
        "subsets": list(subsets),
    }


def _subsets(service: ReadOnlyObject, pods: Sequence[ReadOnlyObject]) -> list[Object]:
    """Group its Pods by the port numbers that the Service's ports mean for them."""
    spec: Mapping[str, Any] = service["spec"]
    groups: dict[PortMap, dict[str, list[Object]]] = {}
    for pod in pods:
        is_ready = is_true(pod, "Ready") and not is_being_deleted(pod)
        field = "addresses" if is_ready or spec.get("publishNotReadyAddresses") else "notReadyAddresses"
        groups.setdefault(_ports(spec, pod), {}).setdefault(field, []).append(_address(pod))
    return [
        dict(sorted(groups[ports].items())) | ({"ports": [dict(port) for port in ports]} if ports else {})
        for ports in sorted(groups, key=repr)
    ]


def _address(pod: ReadOnlyObject) -> Object:
    target = {"kind": "Pod", "namespace": namespace_of(pod), "name": name_of(pod), "uid": uid_of(pod)}
    address: Object = {"ip": pod["status"]["podIP"], "targetRef": target}
    if hostname := pod["spec"].get("hostname"):
        address["hostname"] = hostname
    return address | ({"nodeName": node} if (node := pod["spec"].get("nodeName")) else {})


def _ports(spec: Mapping[str, Any], pod: ReadOnlyObject) -> PortMap:
    ports = []
    for port in spec.get("ports") or ():
        number = _target(port, pod)
        if number is not None:
            entry = {"name": port.get("name"), "port": number, "protocol": port.get("protocol") or "TCP"}
            ports.append(tuple((k, v) for k, v in entry.items() if v))
    return tuple(ports)


def _target(port: Mapping[str, Any], pod: ReadOnlyObject) -> int | None:
    """Give the number of a Service's port on a Pod; None if it is named and the Pod has no port of that name."""
    target = port.get("targetPort") or port.get("port")
    if isinstance(target, int):
        return target
    for container in (pod.get("spec") or {}).get("containers") or ():
        for candidate in container.get("ports") or ():
            if candidate.get("name") == target:
                return int(candidate["containerPort"])
    return None
