"""Values that the API server fills in: defaults on every write, and what only the server decides at creation.

Source: Kubernetes API reference (defaults of each field) and the registries' create strategies. Pods are in
``pod_defaults``, what makes Pods in ``workload_defaults``. Everything changes the object in place, and
``apply_defaults`` may be done twice.
"""

import base64
from collections.abc import Callable, Mapping

from beamhall.embedded.api.builtin.parts import part_of, set_defaults
from beamhall.embedded.api.builtin.pod_defaults import default_pod_spec, normalize_quantities, prepare_pod
from beamhall.embedded.api.builtin.policy_validation import default_limit_range, default_storage_class
from beamhall.embedded.api.builtin.rbac_validation import default_binding
from beamhall.embedded.api.builtin.workload_defaults import (
    default_cron_job,
    default_deployment,
    default_job,
    default_replica_set,
    default_stateful_set,
    keep_job_labels,
    prepare_counted,
    prepare_job,
)
from beamhall.kernel import kinds
from beamhall.kernel.kinds import PRIORITY_CLASS, Kind
from beamhall.kernel.objects import Object, ReadOnlyObject, name_of

AllocateIp = Callable[[], str]
"""Gives a free cluster IP address for a Service."""


def apply_defaults(kind: Kind, obj: Object) -> None:
    """Fill in the defaults of a built-in kind, in place. Objects of other kinds stay as they are."""
    if function := _DEFAULTS.get(kind):
        function(obj)


def prepare_create(kind: Kind, obj: Object, allocate_ip: AllocateIp | None = None) -> None:
    """Set what the server decides when an object is made, in place, after its metadata and defaults are there.

    Args:
        kind: The object's kind; nothing happens to kinds that are not built in.
        obj: The object, with name, namespace and uid.
        allocate_ip: Where a Service's cluster IP comes from; None: it gets none.
    """
    if kind == kinds.SERVICE:
        _prepare_service(obj, allocate_ip)
    elif function := _PREPARE.get(kind):
        function(obj)


def prepare_update(kind: Kind, obj: Object, old: ReadOnlyObject) -> None:
    """Carry over, in place, what a writer of a whole new object may leave out although it cannot change."""
    spec, old_spec = obj.get("spec"), old.get("spec") or {}
    if isinstance(spec, dict):
        for name in _KEPT.get(kind, ()):
            if not spec.get(name) and old_spec.get(name):
                spec[name] = old_spec[name]
    if kind == kinds.JOB and isinstance(spec, dict):
        keep_job_labels(spec, old_spec)


_KEPT: Mapping[Kind, tuple[str, ...]] = {
    kinds.SERVICE: ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"),
    kinds.PERSISTENT_VOLUME_CLAIM: ("volumeName", "storageClassName", "volumeMode"),
    kinds.JOB: ("selector",),
    kinds.POD: ("nodeName", "serviceAccountName", "serviceAccount"),
    kinds.NAMESPACE: ("finalizers",),
}
"""Fields of the spec that an update may leave empty to mean "as it is"."""


def _default_pod(obj: Object) -> None:
    spec = part_of(obj, "spec")
    default_pod_spec(spec)
    set_defaults(spec, {"enableServiceLinks": True})


def _default_node(obj: Object) -> None:
    status = part_of(obj, "status")
    if status.get("capacity"):
        set_defaults(status, {"allocatable": dict(status["capacity"])})


def _default_service(obj: Object) -> None:
    spec = part_of(obj, "spec")
    set_defaults(spec, {"type": "ClusterIP", "sessionAffinity": "None"})
    if spec["type"] == "ExternalName":
        return
    set_defaults(spec, {"internalTrafficPolicy": "Cluster"})
    if spec["type"] in ("NodePort", "LoadBalancer"):
        set_defaults(spec, {"externalTrafficPolicy": "Cluster"})
    if spec["type"] == "LoadBalancer":
        set_defaults(spec, {"allocateLoadBalancerNodePorts": True})
    if spec["sessionAffinity"] == "ClientIP":
        set_defaults(part_of(spec, "sessionAffinityConfig", "clientIP"), {"timeoutSeconds": 10800})
    for port in spec.get("ports") or ():
        if isinstance(port, dict):
            set_defaults(port, {"protocol": "TCP"})
            if port.get("targetPort") in (None, "", 0) and "port" in port:
                port["targetPort"] = port["port"]


def _prepare_service(obj: Object, allocate_ip: AllocateIp | None) -> None:
    spec = part_of(obj, "spec")
    obj["status"] = {"loadBalancer": {}}
    if spec.get("type") == "ExternalName":
        return
    set_defaults(spec, {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"})
    if not spec.get("clusterIP") and spec.get("clusterIPs"):
        spec["clusterIP"] = spec["clusterIPs"][0]
    if not spec.get("clusterIP") and allocate_ip is not None:
        spec["clusterIP"] = allocate_ip()
    if spec.get("clusterIP"):
        spec["clusterIPs"] = [spec["clusterIP"]]


def _default_secret(obj: Object) -> None:
    if not obj.get("type"):
        obj["type"] = "Opaque"
    plain = obj.get("stringData")
    if isinstance(plain, dict) and all(isinstance(value, str) for value in plain.values()):
        del obj["stringData"]
        data = part_of(obj, "data") if plain else {}
        data.update({key: base64.b64encode(value.encode()).decode() for key, value in plain.items()})


def _default_claim(obj: Object) -> None:
    spec = part_of(obj, "spec")
    set_defaults(spec, {"volumeMode": "Filesystem"})
    set_defaults(part_of(obj, "status"), {"phase": "Pending"})
    normalize_quantities(spec.get("resources"))


def _default_volume(obj: Object) -> None:
    spec = part_of(obj, "spec")
    set_defaults(spec, {"volumeMode": "Filesystem", "persistentVolumeReclaimPolicy": "Retain"})
    set_defaults(part_of(obj, "status"), {"phase": "Pending"})


def _default_namespace(obj: Object) -> None:
    if name := name_of(obj):
        labels = part_of(obj, "metadata", "labels")
        labels["kubernetes.io/metadata.name"] = name
    set_defaults(part_of(obj, "status"), {"phase": "Active"})


def _default_endpoints(obj: Object) -> None:
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or () if isinstance(subset, dict) else ():
            set_defaults(port, {"protocol": "TCP"})


def _default_priority_class(obj: Object) -> None:
    set_defaults(obj, {"preemptionPolicy": "PreemptLowerPriority"})


def _default_definition(obj: Object) -> None:
    spec = part_of(obj, "spec")
    names = part_of(spec, "names")
    if kind := names.get("kind"):
        set_defaults(names, {"singular": str(kind).lower(), "listKind": f"{kind}List"})
    set_defaults(part_of(spec, "conversion"), {"strategy": "None"})


_DEFAULTS: Mapping[Kind, Callable[[Object], None]] = {
    kinds.POD: _default_pod,
    kinds.NODE: _default_node,
    kinds.JOB: default_job,
    kinds.CRON_JOB: default_cron_job,
    kinds.DEPLOYMENT: default_deployment,
    kinds.REPLICA_SET: default_replica_set,
    kinds.STATEFUL_SET: default_stateful_set,
    kinds.SERVICE: _default_service,
    kinds.SECRET: _default_secret,
    kinds.PERSISTENT_VOLUME_CLAIM: _default_claim,
    kinds.PERSISTENT_VOLUME: _default_volume,
    kinds.NAMESPACE: _default_namespace,
    kinds.ENDPOINTS: _default_endpoints,
    kinds.CUSTOM_RESOURCE_DEFINITION: _default_definition,
    PRIORITY_CLASS: _default_priority_class,
    kinds.ROLE_BINDING: default_binding,
    kinds.CLUSTER_ROLE_BINDING: default_binding,
    kinds.LIMIT_RANGE: default_limit_range,
    kinds.STORAGE_CLASS: default_storage_class,
}


def _prepare_namespace(obj: Object) -> None:
    obj["status"] = {"phase": "Active"}
    finalizers = part_of(obj, "spec").setdefault("finalizers", [])
    if "kubernetes" not in finalizers:
        finalizers.append("kubernetes")


def _prepare_claim(obj: Object) -> None:
    obj["status"] = {"phase": "Pending"}


def _prepare_empty_status(obj: Object) -> None:
    obj["status"] = {}


_PREPARE: Mapping[Kind, Callable[[Object], None]] = {
    kinds.POD: prepare_pod,
    kinds.JOB: prepare_job,
    kinds.CRON_JOB: _prepare_empty_status,
    kinds.DEPLOYMENT: _prepare_empty_status,
    kinds.REPLICA_SET: prepare_counted,
    kinds.STATEFUL_SET: prepare_counted,
    kinds.NAMESPACE: _prepare_namespace,
    kinds.PERSISTENT_VOLUME_CLAIM: _prepare_claim,
    kinds.PERSISTENT_VOLUME: _prepare_claim,
    kinds.CUSTOM_RESOURCE_DEFINITION: _prepare_empty_status,
}
