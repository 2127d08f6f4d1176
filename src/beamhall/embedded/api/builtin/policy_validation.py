"""What is wrong with the kinds that say what is allowed, and their defaults: ResourceQuota, LimitRange, StorageClass.

Source: ``k8s.io/kubernetes/pkg/apis/core/validation`` and ``pkg/apis/storage/validation``.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from beamhall.embedded.api.builtin.causes import duplicate, forbidden, invalid, one_of, required, unchanged, unsupported
from beamhall.embedded.api.builtin.resource_validation import validate_amount
from beamhall.kernel.errors import Cause
from beamhall.kernel.objects import Object, ReadOnlyObject
from beamhall.kernel.quantities import parse_quantity

_SCOPES = (
    "BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass", "Terminating",
)  # fmt: skip
_OPERATORS = ("DoesNotExist", "Exists", "In", "NotIn")
_COUNTED = frozenset(
    {
        "configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "resourcequotas", "secrets",
        "services", "services.loadbalancers", "services.nodeports",
    }
)  # fmt: skip
_LIMIT_TYPES = ("Container", "PersistentVolumeClaim", "Pod")


def validate_quota(obj: ReadOnlyObject) -> Iterator[Cause]:
    """Check a ResourceQuota."""
    spec: Mapping[str, Any] = obj.get("spec") or {}
    for name, amount in (spec.get("hard") or {}).items():
        path = f"spec.hard[{name}]"
        if not name or (name.startswith(("limits.", "requests.")) and not name.partition(".")[2]):
            yield invalid(path, name, "must be the name of a resource, such as requests.cpu, pods or count/jobs.batch")
        yield from validate_amount(amount, path, whole=name in _COUNTED or name.startswith("count/"))
    for number, scope in enumerate(spec.get("scopes") or ()):
        if scope not in _SCOPES:
            yield unsupported(f"spec.scopes[{number}]", scope, _SCOPES)
    for number, term in enumerate((spec.get("scopeSelector") or {}).get("matchExpressions") or ()):
        yield from _validate_scope(term, f"spec.scopeSelector.matchExpressions[{number}]")
    scopes = set(spec.get("scopes") or ())
    for one, other in (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")):
        if {one, other} <= scopes:
            yield invalid("spec.scopes", sorted(scopes), "conflicting scopes")


def _validate_scope(term: Mapping[str, Any], path: str) -> Iterator[Cause]:
    if term.get("scopeName") not in _SCOPES:
        yield unsupported(f"{path}.scopeName", term.get("scopeName"), _SCOPES)
    operator = term.get("operator")
    if operator not in _OPERATORS:
        yield unsupported(f"{path}.operator", operator, _OPERATORS)
    elif operator in ("In", "NotIn") and not term.get("values"):
        yield required(f"{path}.values", "must be at least one value when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist") and term.get("values"):
        yield invalid(
            f"{path}.values", term["values"], "must be no value when `operator` is 'Exists' or 'DoesNotExist'"
        )


def validate_quota_update(obj: ReadOnlyObject, old: ReadOnlyObject) -> Iterator[Cause]:
    """Check what may not change of a ResourceQuota."""
    spec, old_spec = obj.get("spec") or {}, old.get("spec") or {}
    for field in ("scopes", "scopeSelector"):
        yield from unchanged(f"spec.{field}", spec.get(field), old_spec.get(field))


def default_limit_range(obj: Object) -> None:
    """Fill in a container's default from its maximum, and its default request from its default, then its minimum."""
    spec = obj.get("spec")
    for item in (spec.get("limits") if isinstance(spec, dict) else None) or ():
        if not isinstance(item, dict) or item.get("type") != "Container":
            continue
        default = {**_amounts(item, "max"), **_amounts(item, "default")}
        request = {**_amounts(item, "min"), **default, **_amounts(item, "defaultRequest")}
        for field, amounts in (("default", default), ("defaultRequest", request)):
            if amounts:
                item[field] = amounts


def _amounts(item: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    found = item.get(field)
    return found if isinstance(found, dict) else {}


def validate_limit_range(obj: ReadOnlyObject) -> Iterator[Cause]:
    """Check a LimitRange: each entry's amounts, and that they are in order."""
    seen = set()
    for number, item in enumerate((obj.get("spec") or {}).get("limits") or ()):
        path, kind = f"spec.limits[{number}]", item.get("type")
        yield from one_of(f"{path}.type", kind, _LIMIT_TYPES)
        if kind in seen:
            yield duplicate(f"{path}.type", kind)
        seen.add(kind)
        if kind == "Pod":
            for field in ("default", "defaultRequest"):
                if item.get(field):
                    yield forbidden(f"{path}.{field}", "may not be specified when `type` is 'Pod'")
        if kind == "PersistentVolumeClaim" and not (item.get("min") or item.get("max")):
            yield required(path, "either minimum or maximum storage value is required, but neither was provided")
        for field in ("min", "max", "default", "defaultRequest", "maxLimitRequestRatio"):
            for name, amount in (item.get(field) or {}).items():
                yield from validate_amount(amount, f"{path}.{field}[{name}]")
        yield from _validate_order(item, path)


_ORDER = (("min", "max"), ("min", "defaultRequest"), ("min", "default"), ("defaultRequest", "default"),
          ("defaultRequest", "max"), ("default", "max"))  # fmt: skip


def _validate_order(item: Mapping[str, Any], path: str) -> Iterator[Cause]:
    for low, high in _ORDER:
        for name, amount in (item.get(low) or {}).items():
            most = (item.get(high) or {}).get(name)
            small, large = _number(amount), _number(most)
            if small is not None and large is not None and small > large:
                what = {"min": "min", "defaultRequest": "default request", "default": "default"}[low]
                bound = {"max": "max", "default": "default", "defaultRequest": "default request"}[high]
                yield invalid(
                    f"{path}.{low}[{name}]", amount, f"{what} value {amount} is greater than {bound} value {most}"
                )
    for name, ratio in (item.get("maxLimitRequestRatio") or {}).items():
        number = _number(ratio)
        if number is not None and number < 1:
            yield invalid(f"{path}.maxLimitRequestRatio[{name}]", ratio, "ratio must be greater than or equal to 1")


def _number(text: Any) -> Decimal | None:
    try:
        return None if text is None else parse_quantity(text)
    except ValueError:
        return None


def default_storage_class(obj: Object) -> None:
    """Fill in how a StorageClass reclaims and binds."""
    obj.setdefault("reclaimPolicy", "Delete")
    obj.setdefault("volumeBindingMode", "Immediate")


def validate_storage_class(obj: ReadOnlyObject) -> Iterator[Cause]:
    """Check a StorageClass."""
    if not obj.get("provisioner"):
        yield required("provisioner")
    yield from one_of("reclaimPolicy", obj.get("reclaimPolicy"), ("Delete", "Retain"))
    yield from one_of("volumeBindingMode", obj.get("volumeBindingMode"), ("Immediate", "WaitForFirstConsumer"))


def validate_storage_class_update(obj: ReadOnlyObject, old: ReadOnlyObject) -> Iterator[Cause]:
    """Check what may not change of a StorageClass."""
    if obj.get("parameters") != old.get("parameters"):
        yield forbidden("parameters", "updates to parameters are forbidden.")
    for field in ("provisioner", "reclaimPolicy", "volumeBindingMode"):
        if obj.get(field) != old.get(field):
            yield forbidden(field, f"updates to {field} are forbidden.")
