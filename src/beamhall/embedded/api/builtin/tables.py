"""Tables of the built-in kinds, as ``kubectl get`` shows them: columns, and the cells of an object.

Source: what kube-apiserver prints for each kind. Columns with priority 1 are shown by ``-o wide`` only. Cells of
Pods are in ``pod_table``, of what makes Pods in ``workload_tables``, of rules and classes in ``policy_tables``.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from beamhall.embedded.api.builtin.cells import age_cell, joined, part
from beamhall.embedded.api.builtin.durations import age, human_duration
from beamhall.embedded.api.builtin.pod_table import NONE, pod_cells
from beamhall.embedded.api.builtin.policy_tables import (
    binding_cells,
    created_cells,
    quota_cells,
    slice_cells,
    storage_class_cells,
)
from beamhall.embedded.api.builtin.workload_tables import (
    cron_job_cells,
    deployment_cells,
    job_cells,
    replica_set_cells,
    revision_cells,
    stateful_set_cells,
)
from beamhall.kernel import kinds
from beamhall.kernel.kinds import PRIORITY_CLASS, Kind
from beamhall.kernel.objects import ReadOnlyObject, is_being_deleted, labels_of, name_of

__all__ = ["human_duration", "table_cells", "table_columns"]

Cells = Callable[[ReadOnlyObject, datetime], list[Any]]


def table_columns(kind: Kind) -> list[dict[str, Any]]:
    """Give the ``columnDefinitions`` of a kind's Table; for a kind that is not built in, name and age."""
    text, _ = _TABLES.get(kind, _PLAIN)
    return [_column(part.strip()) for part in text.split(",")]


def table_cells(kind: Kind, obj: ReadOnlyObject, now: datetime) -> list[Any]:
    """Give an object's cells, one for each of ``table_columns``."""
    _, cells = _TABLES.get(kind, _PLAIN)
    return cells(obj, now)


def _column(text: str) -> dict[str, Any]:
    """Read ``Name``, ``Data#`` (a number) or ``+Node`` (priority 1)."""
    name = text.strip("+#")
    return {
        "name": name,
        "type": "integer" if text.endswith("#") else "string",
        "format": "name" if name == "Name" and not text.startswith("+") else "",
        "description": "",
        "priority": 1 if text.startswith("+") else 0,
    }


def _plain(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    return [name_of(obj), age_cell(obj, now)]


def _service(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    spec = part(obj, "spec")
    kind = spec.get("type") or "ClusterIP"
    selector = joined(f"{k}={v}" for k, v in sorted((spec.get("selector") or {}).items()))
    ports = joined(_service_port(port) for port in spec.get("ports") or ())
    cluster_ip = spec.get("clusterIP") or NONE
    return [name_of(obj), kind, cluster_ip, _external_ip(obj, kind), ports, age_cell(obj, now), selector]


def _service_port(port: ReadOnlyObject) -> str:
    node = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port')}{node}/{port.get('protocol') or 'TCP'}"


def _external_ip(obj: ReadOnlyObject, kind: str) -> str:
    spec = part(obj, "spec")
    if kind == "ExternalName":
        return str(spec.get("externalName") or NONE)
    addresses = list(spec.get("externalIPs") or ())
    if kind != "LoadBalancer":
        return joined(addresses)
    balancers = part(part(obj, "status"), "loadBalancer").get("ingress") or ()
    addresses = [b.get("ip") or b.get("hostname") for b in balancers] + addresses
    return joined(addresses) if addresses else "<pending>"


def _endpoints(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    pairs = [
        f"{address.get('ip')}:{port.get('port')}" if port else str(address.get("ip"))
        for subset in obj.get("subsets") or ()
        for port in subset.get("ports") or (None,)
        for address in subset.get("addresses") or ()
    ]
    more = f" + {len(pairs) - 3} more..." if len(pairs) > 3 else ""
    return [name_of(obj), joined(pairs[:3]) + more, age_cell(obj, now)]


_ROLE = "node-role.kubernetes.io/"


def _node(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    status, info = part(obj, "status"), part(part(obj, "status"), "nodeInfo")
    ready = next((c.get("status") for c in status.get("conditions") or () if c.get("type") == "Ready"), None)
    state = {"True": "Ready", None: "Unknown"}.get(ready, "NotReady")
    if part(obj, "spec").get("unschedulable"):
        state += ",SchedulingDisabled"
    roles = {k.removeprefix(_ROLE) for k in labels_of(obj) if k.startswith(_ROLE)}
    roles |= {v for k, v in labels_of(obj).items() if k == "kubernetes.io/role" and v}
    addresses = {a.get("type"): a.get("address") for a in reversed(status.get("addresses") or ())}
    return [
        name_of(obj),
        state,
        joined(sorted(filter(None, roles))),
        age_cell(obj, now),
        info.get("kubeletVersion") or "",
        addresses.get("InternalIP") or NONE,
        addresses.get("ExternalIP") or NONE,
        info.get("osImage") or "<unknown>",
        info.get("kernelVersion") or "<unknown>",
        info.get("containerRuntimeVersion") or "<unknown>",
    ]


def _namespace(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    return [name_of(obj), part(obj, "status").get("phase") or "", age_cell(obj, now)]


def _config_map(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    return [name_of(obj), len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), age_cell(obj, now)]


def _secret(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    return [name_of(obj), obj.get("type") or "", len(obj.get("data") or ()), age_cell(obj, now)]


def _service_account(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    return [name_of(obj), len(obj.get("secrets") or ()), age_cell(obj, now)]


_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _modes(modes: Iterable[str] | None) -> str:
    given = set(modes or ())
    return ",".join(short for mode, short in _MODES.items() if mode in given)


def _claim(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    spec, status = part(obj, "spec"), part(obj, "status")
    volume, capacity, modes = spec.get("volumeName") or "", "", ""
    if volume:
        capacity, modes = part(status, "capacity").get("storage") or "0", _modes(status.get("accessModes"))
    return [
        name_of(obj),
        "Terminating" if is_being_deleted(obj) else status.get("phase") or "",
        volume,
        capacity,
        modes,
        spec.get("storageClassName") or "",
        spec.get("volumeAttributesClassName") or "<unset>",
        age_cell(obj, now),
        spec.get("volumeMode") or "<unset>",
    ]


def _volume(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    spec, status = part(obj, "spec"), part(obj, "status")
    claim = part(spec, "claimRef")
    return [
        name_of(obj),
        part(spec, "capacity").get("storage") or "0",
        _modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy") or "",
        "Terminating" if is_being_deleted(obj) else status.get("phase") or "",
        f"{claim.get('namespace')}/{claim.get('name')}" if claim else "",
        spec.get("storageClassName") or "",
        spec.get("volumeAttributesClassName") or "<unset>",
        status.get("reason") or "",
        age_cell(obj, now),
        spec.get("volumeMode") or "<unset>",
    ]


def _event(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    about, source, series = part(obj, "involvedObject"), part(obj, "source"), part(obj, "series")
    first = age(obj.get("firstTimestamp") or obj.get("eventTime"), now)
    last = age(obj["lastTimestamp"], now) if obj.get("lastTimestamp") else first
    if series.get("lastObservedTime"):
        last = age(series["lastObservedTime"], now)
    component = source.get("component") or obj.get("reportingComponent") or ""
    host = source.get("host") or obj.get("reportingInstance") or ""
    return [
        last,
        obj.get("type") or "",
        obj.get("reason") or "",
        f"{str(about.get('kind') or '').lower()}/{about.get('name') or ''}",
        about.get("fieldPath") or "",
        ", ".join(filter(None, (component, host))),
        str(obj.get("message") or "").strip(),
        first,
        series.get("count") or obj.get("count") or 1,
        name_of(obj),
    ]


def _lease(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    return [name_of(obj), part(obj, "spec").get("holderIdentity") or "", age_cell(obj, now)]


def _priority_class(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    policy = obj.get("preemptionPolicy") or ""
    return [name_of(obj), obj.get("value") or 0, bool(obj.get("globalDefault")), age_cell(obj, now), policy]


_PLAIN: tuple[str, Cells] = ("Name,Age", _plain)
_TABLES: Mapping[Kind, tuple[str, Cells]] = {
    kinds.POD: ("Name,Ready,Status,Restarts,Age,+IP,+Node,+Nominated Node,+Readiness Gates", pod_cells),
    kinds.JOB: ("Name,Status,Completions,Duration,Age,+Containers,+Images,+Selector", job_cells),
    kinds.CRON_JOB: (
        "Name,Schedule,Timezone,Suspend,Active#,Last Schedule,Age,+Containers,+Images,+Selector",
        cron_job_cells,
    ),
    kinds.DEPLOYMENT: ("Name,Ready,Up-to-date#,Available#,Age,+Containers,+Images,+Selector", deployment_cells),
    kinds.REPLICA_SET: ("Name,Desired#,Current#,Ready#,Age,+Containers,+Images,+Selector", replica_set_cells),
    kinds.STATEFUL_SET: ("Name,Ready,Age,+Containers,+Images", stateful_set_cells),
    kinds.CONTROLLER_REVISION: ("Name,Controller,Revision#,Age", revision_cells),
    kinds.RESOURCE_QUOTA: ("Name,Age,Request,Limit", quota_cells),
    kinds.LIMIT_RANGE: ("Name,Created At", created_cells),
    kinds.ENDPOINT_SLICE: ("Name,AddressType,Ports,Endpoints,Age", slice_cells),
    kinds.ROLE: ("Name,Created At", created_cells),
    kinds.CLUSTER_ROLE: ("Name,Created At", created_cells),
    kinds.ROLE_BINDING: ("Name,Role,Age,+Users,+Groups,+ServiceAccounts", binding_cells),
    kinds.CLUSTER_ROLE_BINDING: ("Name,Role,Age,+Users,+Groups,+ServiceAccounts", binding_cells),
    kinds.STORAGE_CLASS: (
        "Name,Provisioner,ReclaimPolicy,VolumeBindingMode,AllowVolumeExpansion,Age",
        storage_class_cells,
    ),
    kinds.SERVICE: ("Name,Type,Cluster-IP,External-IP,Port(s),Age,+Selector", _service),
    kinds.ENDPOINTS: ("Name,Endpoints,Age", _endpoints),
    kinds.NODE: (
        "Name,Status,Roles,Age,Version,+Internal-IP,+External-IP,+OS-Image,+Kernel-Version,+Container-Runtime",
        _node,
    ),
    kinds.NAMESPACE: ("Name,Status,Age", _namespace),
    kinds.CONFIG_MAP: ("Name,Data#,Age", _config_map),
    kinds.SECRET: ("Name,Type,Data#,Age", _secret),
    kinds.SERVICE_ACCOUNT: ("Name,Secrets#,Age", _service_account),
    kinds.PERSISTENT_VOLUME_CLAIM: (
        "Name,Status,Volume,Capacity,Access Modes,StorageClass,VolumeAttributesClass,Age,+VolumeMode",
        _claim,
    ),
    kinds.PERSISTENT_VOLUME: (
        "Name,Capacity,Access Modes,Reclaim Policy,Status,Claim,StorageClass,VolumeAttributesClass,Reason,Age,"
        "+VolumeMode",
        _volume,
    ),
    kinds.EVENT: (
        "Last Seen,Type,Reason,Object,+Subobject,+Source,Message,+First Seen,+Count#,+Name",
        _event,
    ),
    kinds.LEASE: ("Name,Holder,Age", _lease),
    kinds.CUSTOM_RESOURCE_DEFINITION: ("Name,Created At", created_cells),
    PRIORITY_CLASS: ("Name,Value#,Global-Default,Age,PreemptionPolicy", _priority_class),
}
