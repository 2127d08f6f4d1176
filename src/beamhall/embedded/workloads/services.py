"""Endpoints: which addresses stand behind each Service.

Services without a selector are left alone: their Endpoints are somebody else's.

Source: Kubernetes API reference, Endpoints v1 core; "Service", sections on headless Services and ready addresses.
"""

from collections.abc import Mapping, Sequence
from typing import Any

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


def plan_endpoints(_: ReadOnlyObject, view: View) -> Plan:
    """Bring the Endpoints of every Service up to date with the Pods that it selects."""
    actions: list[Action] = []
    pods: dict[str, Sequence[ReadOnlyObject]] = {}
    for service in view.list(SERVICE):
        spec: Mapping[str, Any] = service.get("spec") or {}
        if is_being_deleted(service) or not spec.get("selector") or spec.get("type") == "ExternalName":
            continue
        namespace = namespace_of(service)
        if namespace not in pods:
            pods[namespace] = [pod for pod in view.list(POD, namespace) if _has_address(pod)]
        subsets = _subsets(service, pods[namespace])
        existing = view.get(ENDPOINTS, name_of(service), namespace)
        if existing is None:
            actions.append(Create(ENDPOINTS, _endpoints(service, subsets)))
        elif (existing.get("subsets") or []) != subsets:
            actions.append(Patch(key_of(ENDPOINTS, existing), {"subsets": subsets}, uid=uid_of(existing)))
    return Plan(actions)


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
