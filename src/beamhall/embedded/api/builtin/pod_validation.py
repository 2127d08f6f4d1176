"""What a Pod, or a template of Pods, may be, and what of a Pod may change once it is there.

Containers are in ``container_validation``, volumes in ``volume_validation``.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from beamhall.embedded.api.builtin.causes import (
    forbidden,
    in_range,
    invalid,
    matching,
    non_negative,
    one_of,
    required,
)
from beamhall.embedded.api.builtin.container_validation import validate_containers
from beamhall.embedded.api.builtin.metadata_validation import validate_labels
from beamhall.embedded.api.builtin.requirements import missing_fields
from beamhall.embedded.api.builtin.volume_validation import validate_volumes
from beamhall.kernel import names
from beamhall.kernel.errors import Cause
from beamhall.kernel.objects import ReadOnlyObject

_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_PHASES = ("Pending", "Running", "Succeeded", "Failed", "Unknown")
_MAX_INT32 = 2**31 - 1


def validate_pod(obj: ReadOnlyObject) -> Iterator[Cause]:
    """Check a new Pod, but for its metadata."""
    yield from validate_pod_spec(obj.get("spec") or {}, "spec")


def validate_template(template: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Check a template of Pods at ``path``."""
    yield from validate_labels(template.get("metadata") or {}, f"{path}.metadata")
    yield from validate_pod_spec(template.get("spec") or {}, f"{path}.spec")


def validate_pod_spec(spec: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Check the spec of a Pod or of a template at ``path``."""
    yield from missing_fields("core_v1.PodSpec", spec, path)
    yield from validate_volumes(spec.get("volumes") or (), f"{path}.volumes")
    yield from validate_containers(spec, path)
    yield from one_of(f"{path}.restartPolicy", spec.get("restartPolicy"), _RESTART_POLICIES)
    yield from one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), _DNS_POLICIES)
    yield from in_range(f"{path}.activeDeadlineSeconds", spec.get("activeDeadlineSeconds"), 1, _MAX_INT32)
    yield from non_negative(f"{path}.terminationGracePeriodSeconds", spec.get("terminationGracePeriodSeconds"))
    yield from names.label_causes(spec.get("nodeSelector") or {}, f"{path}.nodeSelector")
    for field in ("hostname", "subdomain"):
        if value := spec.get(field):
            yield from matching(f"{path}.{field}", value, names.label_problem(value))
    for field in ("nodeName", "serviceAccountName", "priorityClassName", "schedulerName"):
        if value := spec.get(field):
            yield from matching(f"{path}.{field}", value, names.subdomain_problem(value))
    yield from _validate_tolerations(spec.get("tolerations") or (), f"{path}.tolerations")


def validate_pod_update(obj: ReadOnlyObject, old: ReadOnlyObject) -> Iterator[Cause]:
    """Check that only those fields of a Pod's spec change that may."""
    new_spec, old_spec = obj.get("spec") or {}, old.get("spec") or {}
    yield from _validate_deadline(new_spec, old_spec)
    yield from validate_containers(new_spec, "spec")
    old_node = old_spec.get("nodeName")
    if old_node and new_spec.get("nodeName") != old_node:
        yield forbidden("spec.nodeName", "a Pod that is bound to a node stays there")
    added = new_spec.get("tolerations") or []
    if any(toleration not in added for toleration in old_spec.get("tolerations") or ()):
        yield forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")
    gates = old_spec.get("schedulingGates") or []
    if any(gate not in gates for gate in new_spec.get("schedulingGates") or ()):
        yield forbidden("spec.schedulingGates", "only deletion is allowed, but found new scheduling gates")
    changed = sorted(
        name
        for name in {*new_spec, *old_spec} - _CHANGE_OF_THEIR_OWN
        if _comparable(name, new_spec.get(name)) != _comparable(name, old_spec.get(name))
    )
    if changed:
        yield forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
            "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations); changed: "
            + ", ".join(f"spec.{name}" for name in changed),
        )


def validate_pod_status(obj: ReadOnlyObject) -> Iterator[Cause]:
    """Check a Pod's status."""
    yield from one_of("status.phase", (obj.get("status") or {}).get("phase"), _PHASES)


_CHANGE_OF_THEIR_OWN = frozenset({"activeDeadlineSeconds", "tolerations", "schedulingGates", "nodeName"})


def _comparable(name: str, value: Any) -> Any:
    """Give a field of the spec without what may change in it: images."""
    if name in ("containers", "initContainers") and isinstance(value, list):
        return [{k: v for k, v in container.items() if k != "image"} for container in value]
    return value or None


def _validate_deadline(new_spec: Mapping[str, Any], old_spec: Mapping[str, Any]) -> Iterator[Cause]:
    path = "spec.activeDeadlineSeconds"
    new, old = new_spec.get("activeDeadlineSeconds"), old_spec.get("activeDeadlineSeconds")
    yield from in_range(path, new, 1, _MAX_INT32)
    if old is not None and new is None:
        yield invalid(path, None, "must not update from a positive integer to nil value")
    elif old is not None and new > old:
        yield invalid(path, new, "must be less than or equal to previous value")


def _validate_tolerations(tolerations: Sequence[Mapping[str, Any]], path: str) -> Iterator[Cause]:
    for number, toleration in enumerate(tolerations):
        here, operator = f"{path}[{number}]", toleration.get("operator") or "Equal"
        yield from one_of(f"{here}.operator", operator, ("Equal", "Exists"))
        yield from one_of(f"{here}.effect", toleration.get("effect"), _EFFECTS)
        key = toleration.get("key")
        if key:
            yield from matching(f"{here}.key", key, names.label_key_problem(key))
        elif operator != "Exists":
            yield invalid(f"{here}.operator", operator, "operator must be Exists when `key` is empty")
        if operator == "Exists" and toleration.get("value"):
            yield invalid(f"{here}.operator", toleration["value"], "value must be empty when `operator` is 'Exists'")
        if toleration.get("tolerationSeconds") is not None and toleration.get("effect") != "NoExecute":
            yield required(f"{here}.effect", "effect must be 'NoExecute' when `tolerationSeconds` is set")
