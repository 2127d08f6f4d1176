"""What objects of the built-in kinds may be, beyond types, and what of them may change.

All that is wrong is found at once. Pods are in ``pod_validation``, what makes Pods in ``job_validation``,
``cron_job_validation`` and ``workload_validation``, Services in ``service_validation``, the rest here; metadata of
every kind in ``metadata_validation``.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from beamhall.embedded.api.builtin.causes import (
    duplicate,
    forbidden,
    in_range,
    invalid,
    one_of,
    required,
    summary,
    too_long,
    unchanged,
)
from beamhall.embedded.api.builtin.cron_job_validation import validate_cron_job
from beamhall.embedded.api.builtin.job_validation import validate_job, validate_job_update
from beamhall.embedded.api.builtin.metadata_validation import validate_metadata
from beamhall.embedded.api.builtin.pod_validation import validate_pod, validate_pod_status, validate_pod_update
from beamhall.embedded.api.builtin.policy_validation import (
    validate_limit_range,
    validate_quota,
    validate_quota_update,
    validate_storage_class,
    validate_storage_class_update,
)
from beamhall.embedded.api.builtin.rbac_validation import (
    validate_binding,
    validate_binding_update,
    validate_cluster_role,
    validate_role,
)
from beamhall.embedded.api.builtin.resource_validation import validate_amount
from beamhall.embedded.api.builtin.service_validation import (
    validate_endpoints,
    validate_service,
    validate_service_update,
)
from beamhall.embedded.api.builtin.workload_validation import (
    validate_deployment,
    validate_replica_set,
    validate_revision,
    validate_revision_update,
    validate_selector_update,
    validate_stateful_set,
    validate_stateful_set_update,
)
from beamhall.kernel import kinds
from beamhall.kernel.errors import Cause
from beamhall.kernel.kinds import PRIORITY_CLASS, Kind
from beamhall.kernel.objects import ReadOnlyObject, annotations_of, name_of, namespace_of
from beamhall.kernel.quantities import parse_quantity

__all__ = ["summary", "validate_create", "validate_status", "validate_update"]

MAX_DATA_BYTES = 1024 * 1024
"""How much a ConfigMap or a Secret may hold."""

_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_ACCESS_MODES = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")
_MAX_USER_PRIORITY = 1_000_000_000


def validate_create(kind: Kind, obj: ReadOnlyObject) -> list[Cause]:
    """Find all that is wrong with a new object, after defaulting; of kinds that are not built in, with its metadata."""
    causes = list(validate_metadata(kind, obj))
    if function := _CREATE.get(kind):
        causes += function(obj)
    return causes


def validate_update(kind: Kind, obj: ReadOnlyObject, old: ReadOnlyObject) -> list[Cause]:
    """Find all that is wrong with a changed object: what it may not be, and what of it may not change."""
    causes = list(validate_metadata(kind, obj))
    if kind in _VALID_AFTER_UPDATE:
        causes += _CREATE[kind](obj)
    if function := _UPDATE.get(kind):
        causes += function(obj, old)
    return causes


def validate_status(kind: Kind, obj: ReadOnlyObject, old: ReadOnlyObject) -> list[Cause]:
    """Find all that is wrong with an object whose status changed."""
    del old
    return list(validate_pod_status(obj)) if kind == kinds.POD else []


def _validate_config_map(obj: ReadOnlyObject) -> Iterator[Cause]:
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    yield from _validate_keys(data, "data")
    yield from _validate_keys(binary, "binaryData")
    for key in sorted(set(data) & set(binary)):
        yield invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    size_bytes = sum(len(value.encode()) for value in data.values()) + sum(_decoded_size(v) for v in binary.values())
    if size_bytes > MAX_DATA_BYTES:
        yield too_long("", MAX_DATA_BYTES)


_SECRET_KEYS: Mapping[str, tuple[str, ...]] = {
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def _validate_secret(obj: ReadOnlyObject) -> Iterator[Cause]:
    data = obj.get("data") or {}
    yield from _validate_keys(data, "data")
    if obj.get("type") == "kubernetes.io/service-account-token":
        account = "kubernetes.io/service-account.name"
        if not annotations_of(obj).get(account):
            yield required(f"metadata.annotations[{account}]")
    for key in _SECRET_KEYS.get(obj.get("type") or "", ()):
        if key not in data:
            yield required(f"data[{key}]")
    if sum(_decoded_size(value) for value in data.values()) > MAX_DATA_BYTES:
        yield too_long("data", MAX_DATA_BYTES)


def _validate_keys(data: Mapping[str, Any], path: str) -> Iterator[Cause]:
    for key in data:
        if not _KEY.fullmatch(key) or key == "." or key.startswith(".."):
            yield invalid(
                f"{path}[{key}]",
                key,
                "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            )


def _decoded_size(text: str) -> int:
    try:
        return len(base64.b64decode(text))
    except (binascii.Error, ValueError):
        return len(text)


def _validate_data_update(obj: ReadOnlyObject, old: ReadOnlyObject) -> Iterator[Cause]:
    if old.get("immutable"):
        if not obj.get("immutable"):
            yield forbidden("immutable", "field is immutable when `immutable` is set")
        for field in ("data", "binaryData"):
            if (obj.get(field) or {}) != (old.get(field) or {}):
                yield forbidden(field, "field is immutable when `immutable` is set")


def _validate_secret_update(obj: ReadOnlyObject, old: ReadOnlyObject) -> Iterator[Cause]:
    yield from unchanged("type", obj.get("type"), old.get("type"))
    yield from _validate_data_update(obj, old)


def _validate_claim(obj: ReadOnlyObject) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    yield from _validate_access_modes(spec)
    storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if storage is None:
        yield required("spec.resources[storage]")
    else:
        yield from validate_amount(storage, "spec.resources[storage]", positive=True)
    yield from one_of("spec.volumeMode", spec.get("volumeMode"), ("Block", "Filesystem"))


def _validate_access_modes(spec: ReadOnlyObject) -> Iterator[Cause]:
    if not spec.get("accessModes"):
        yield required("spec.accessModes", "at least 1 access mode is required")
    for number, mode in enumerate(spec.get("accessModes") or ()):
        yield from one_of(f"spec.accessModes[{number}]", mode, _ACCESS_MODES)


def _validate_claim_update(obj: ReadOnlyObject, old: ReadOnlyObject) -> Iterator[Cause]:
    spec, old_spec = obj.get("spec") or {}, old.get("spec") or {}
    fixed = {*spec, *old_spec} - {"resources", "volumeAttributesClassName"}
    may_be_set = {"volumeName", "storageClassName"}
    changed = [
        name
        for name in sorted(fixed)
        if spec.get(name) != old_spec.get(name) and not (name in may_be_set and not old_spec.get(name))
    ]
    if changed:
        yield forbidden(
            "spec",
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound "
            "claims; changed: " + ", ".join(f"spec.{name}" for name in changed),
        )
    path = "spec.resources.requests.storage"
    new_size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    old_size = ((old_spec.get("resources") or {}).get("requests") or {}).get("storage")
    if _is_smaller(new_size, old_size):
        yield forbidden(path, "field can not be less than previous value")


def _is_smaller(new: Any, old: Any) -> bool:
    try:
        return old is not None and new is not None and parse_quantity(new) < parse_quantity(old)
    except ValueError:
        return False


def _validate_volume(obj: ReadOnlyObject) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    yield from _validate_access_modes(spec)
    storage = (spec.get("capacity") or {}).get("storage")
    if storage is None:
        yield required("spec.capacity")
    else:
        yield from validate_amount(storage, "spec.capacity[storage]", positive=True)
    policies = ("Delete", "Recycle", "Retain")
    yield from one_of("spec.persistentVolumeReclaimPolicy", spec.get("persistentVolumeReclaimPolicy"), policies)


def _validate_event(obj: ReadOnlyObject) -> Iterator[Cause]:
    about = (obj.get("involvedObject") or {}).get("namespace") or "default"
    if namespace_of(obj) != about:
        yield invalid("involvedObject.namespace", about, "does not match event.namespace")


def _validate_lease(obj: ReadOnlyObject) -> Iterator[Cause]:
    spec = obj.get("spec") or {}
    duration = spec.get("leaseDurationSeconds")
    if duration is not None and duration <= 0:
        yield invalid("spec.leaseDurationSeconds", duration, "must be greater than 0")
    yield from in_range("spec.leaseTransitions", spec.get("leaseTransitions"), 0, 2**31 - 1)


def _validate_priority_class(obj: ReadOnlyObject) -> Iterator[Cause]:
    value = obj.get("value")
    if value is not None and value > _MAX_USER_PRIORITY and not name_of(obj).startswith("system-"):
        yield forbidden("value", f"maximum allowed value of a user defined priority is {_MAX_USER_PRIORITY}")
    yield from one_of("preemptionPolicy", obj.get("preemptionPolicy"), ("Never", "PreemptLowerPriority"))


def _validate_priority_class_update(obj: ReadOnlyObject, old: ReadOnlyObject) -> Iterator[Cause]:
    for field in ("value", "preemptionPolicy"):
        if obj.get(field) != old.get(field):
            yield forbidden(field, "may not be changed in an update.")


def _validate_node(obj: ReadOnlyObject) -> Iterator[Cause]:
    seen = set()
    for number, taint in enumerate((obj.get("spec") or {}).get("taints") or ()):
        here, identity = f"spec.taints[{number}]", (taint.get("key"), taint.get("effect"))
        yield from one_of(f"{here}.effect", taint.get("effect"), ("NoExecute", "NoSchedule", "PreferNoSchedule"))
        if identity in seen:
            yield duplicate(here, taint)
        seen.add(identity)


_CREATE: Mapping[Kind, Callable[[ReadOnlyObject], Iterator[Cause]]] = {
    kinds.POD: validate_pod,
    kinds.JOB: validate_job,
    kinds.CRON_JOB: validate_cron_job,
    kinds.DEPLOYMENT: validate_deployment,
    kinds.REPLICA_SET: validate_replica_set,
    kinds.STATEFUL_SET: validate_stateful_set,
    kinds.CONTROLLER_REVISION: validate_revision,
    kinds.SERVICE: validate_service,
    kinds.ENDPOINTS: validate_endpoints,
    kinds.CONFIG_MAP: _validate_config_map,
    kinds.SECRET: _validate_secret,
    kinds.PERSISTENT_VOLUME_CLAIM: _validate_claim,
    kinds.PERSISTENT_VOLUME: _validate_volume,
    kinds.EVENT: _validate_event,
    kinds.LEASE: _validate_lease,
    kinds.NODE: _validate_node,
    PRIORITY_CLASS: _validate_priority_class,
    kinds.ROLE: validate_role,
    kinds.CLUSTER_ROLE: validate_cluster_role,
    kinds.ROLE_BINDING: validate_binding,
    kinds.CLUSTER_ROLE_BINDING: validate_binding,
    kinds.RESOURCE_QUOTA: validate_quota,
    kinds.LIMIT_RANGE: validate_limit_range,
    kinds.STORAGE_CLASS: validate_storage_class,
}
_VALID_AFTER_UPDATE = frozenset(_CREATE) - {kinds.POD, kinds.JOB}
"""Kinds that are checked whole again when they change; of the others the parts that may not change are left alone."""

_UPDATE: Mapping[Kind, Callable[[ReadOnlyObject, ReadOnlyObject], Iterator[Cause]]] = {
    kinds.POD: validate_pod_update,
    kinds.JOB: validate_job_update,
    kinds.DEPLOYMENT: validate_selector_update,
    kinds.REPLICA_SET: validate_selector_update,
    kinds.STATEFUL_SET: validate_stateful_set_update,
    kinds.CONTROLLER_REVISION: validate_revision_update,
    kinds.SERVICE: validate_service_update,
    kinds.CONFIG_MAP: _validate_data_update,
    kinds.SECRET: _validate_secret_update,
    kinds.PERSISTENT_VOLUME_CLAIM: _validate_claim_update,
    PRIORITY_CLASS: _validate_priority_class_update,
    kinds.ROLE_BINDING: validate_binding_update,
    kinds.CLUSTER_ROLE_BINDING: validate_binding_update,
    kinds.RESOURCE_QUOTA: validate_quota_update,
    kinds.STORAGE_CLASS: validate_storage_class_update,
}
