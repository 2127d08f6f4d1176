"""What an object takes of the resources that a quota can name. Pure.

Source: "Resource Quotas" in the Kubernetes documentation; ``k8s.io/kubernetes/pkg/quota/v1/evaluator/core``.
"""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from beamhall.kernel.amounts import add, pod_total
from beamhall.kernel.kinds import (
    CONFIG_MAP,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    RESOURCE_QUOTA,
    SECRET,
    SERVICE,
    Kind,
)
from beamhall.kernel.objects import ReadOnlyObject
from beamhall.kernel.quantities import canonical_quantity, format_decimal, parse_quantity

Usage = Mapping[str, Decimal]
"""Exact amounts by the names that quotas use: ``requests.cpu`` in cores, bytes, or pieces."""

COMPUTE = ("cpu", "memory", "ephemeral-storage")
_PLAIN_COUNTS = {kind.resource for kind in (CONFIG_MAP, SECRET, SERVICE, PERSISTENT_VOLUME_CLAIM, RESOURCE_QUOTA)}
_BYTES = ("memory", "storage", "ephemeral-storage")
_CLASS_SUFFIX = ".storageclass.storage.k8s.io/"
_ONE = Decimal(1)


def usage_of(kind: Kind, obj: ReadOnlyObject) -> dict[str, Decimal]:
    """Give what an object takes: its own place, and what Pods, claims and Services ask for beyond it."""
    taken = {f"count/{kind.resource}": _ONE}
    if kind.resource in _PLAIN_COUNTS:
        taken[kind.plural] = _ONE
    if kind == POD:
        taken |= _pod_usage(obj)
    elif kind == PERSISTENT_VOLUME_CLAIM:
        taken |= _claim_usage(obj)
    elif kind == SERVICE:
        taken |= _service_usage(obj)
    return taken


def has_ended(pod: ReadOnlyObject) -> bool:
    """Tell whether a Pod has ended: such a Pod takes nothing but its place among ``count/pods``."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def missing_of(pod: ReadOnlyObject, names: Iterable[str]) -> list[str]:
    """Give what each container must say before a quota on ``names`` lets its Pod in, as ``limits.cpu for: main``."""
    spec: Mapping[str, Any] = pod.get("spec") or {}
    found: list[str] = []
    for name in sorted(names):
        part, _, resource = name.rpartition(".")
        field, resource = (part, resource) if part in ("requests", "limits") else ("requests", name)
        if resource not in COMPUTE:
            continue
        silent = [str(c.get("name")) for c in _all_containers(spec) if resource not in _asked(c, field)]
        if silent:
            found.append(f"{name} for: {','.join(sorted(silent))}")
    return found


def say(name: str, amount: Decimal) -> str:
    """Write an amount as a quota's status does: ``500m``, ``1Gi``, ``3``."""
    if name.rpartition(".")[2].rpartition("/")[2] in _BYTES and amount == amount.to_integral_value():
        for suffix, power in (("Gi", 30), ("Mi", 20), ("Ki", 10)):
            if amount and amount % 2**power == 0:
                return canonical_quantity(f"{int(amount) >> power}{suffix}")
    return format_decimal(amount)


def amount_of(text: Any) -> Decimal:
    """Read a quantity; what is none counts as nothing, since validation refuses it elsewhere."""
    try:
        return parse_quantity(text)
    except ValueError:
        return Decimal(0)


def pod_totals(pod: ReadOnlyObject, field: str) -> dict[str, Decimal]:
    """Add up the ``requests`` or ``limits`` of a Pod, its overhead included."""
    spec: Mapping[str, Any] = pod.get("spec") or {}
    overhead = {name: amount_of(text) for name, text in (spec.get("overhead") or {}).items()}
    return add((pod_total(pod, lambda container: _asked(container, field)), overhead))


def _pod_usage(pod: ReadOnlyObject) -> dict[str, Decimal]:
    if has_ended(pod):
        return {}
    taken = {"pods": _ONE}
    for name, amount in pod_totals(pod, "requests").items():
        taken[f"requests.{name}"] = amount
        if name in COMPUTE:
            taken[name] = amount
    for name, amount in pod_totals(pod, "limits").items():
        taken[f"limits.{name}"] = amount
    return taken


def _claim_usage(claim: ReadOnlyObject) -> dict[str, Decimal]:
    spec: Mapping[str, Any] = claim.get("spec") or {}
    storage = amount_of(((spec.get("resources") or {}).get("requests") or {}).get("storage", 0))
    taken = {"requests.storage": storage}
    if name := spec.get("storageClassName"):
        taken[f"{name}{_CLASS_SUFFIX}requests.storage"] = storage
        taken[f"{name}{_CLASS_SUFFIX}persistentvolumeclaims"] = _ONE
    return taken


def _service_usage(service: ReadOnlyObject) -> dict[str, Decimal]:
    spec: Mapping[str, Any] = service.get("spec") or {}
    kind = spec.get("type")
    taken: dict[str, Decimal] = {}
    if kind == "LoadBalancer":
        taken["services.loadbalancers"] = _ONE
    if kind in ("LoadBalancer", "NodePort"):
        taken["services.nodeports"] = Decimal(len(spec.get("ports") or ()))
    return taken


def _all_containers(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from spec.get("initContainers") or ()
    yield from spec.get("containers") or ()


def _asked(container: Mapping[str, Any], field: str) -> dict[str, Decimal]:
    amounts = (container.get("resources") or {}).get(field) or {}
    return {name: amount_of(text) for name, text in amounts.items()}
