"""Endpoints and EndpointSlices: which addresses stand behind each Service.

Planned by namespace, since a Service selects Pods of its own. Services without a selector have the Endpoints that
somebody else wrote; those are mirrored as slices, which is what a proxy reads. Next: ``slices``.

Source: Kubernetes API reference, Endpoints v1 core; "Service", sections on headless Services and ready addresses.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from beamhall.embedded.workloads.slices import slice_actions
from beamhall.kernel.conditions import is_true
from beamhall.kernel.kinds import ENDPOINTS, POD, SERVICE
from beamhall.kernel.objects import (
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


def plan_endpoints(namespace: ReadOnlyObject, view: View) -> Plan:
    """Bring Endpoints and slices of a namespace's Services up to date with the Pods that they select."""
    actions: list[Action] = []
    pods: Sequence[ReadOnlyObject] | None = None
    for service in view.list(SERVICE, name_of(namespace)):
        spec: Mapping[str, Any] = service.get("spec") or {}
        if is_being_deleted(service) or spec.get("type") == "ExternalName":
            continue
        if not spec.get("selector"):
            actions += _mirror(service, view)
            continue
        if pods is None:
            pods = [pod for pod in view.list(POD, name_of(namespace)) if _has_address(pod)]
        subsets = _subsets(service, pods)
        actions += _endpoints_actions(service, subsets, view)
        actions += slice_actions(service, subsets or [{}], view)  # one slice says that there is nothing
    return Plan(actions)


def _mirror(service: ReadOnlyObject, view: View) -> Iterable[Action]:
    written = view.get(ENDPOINTS, name_of(service), namespace_of(service))
    return slice_actions(service, (written or {}).get("subsets") or (), view)


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
    """Group the selected Pods by the port numbers that the Service's ports mean for them."""
    spec: Mapping[str, Any] = service["spec"]
    selector = selector_from_labels(spec["selector"])
    groups: dict[PortMap, dict[str, list[Object]]] = {}
    for pod in pods:
        if not selector.matches(labels_of(pod)):
            continue
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
