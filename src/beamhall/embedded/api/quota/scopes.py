"""Which Pods a quota counts: its scopes. Pure.

Source: "Quota scopes" in the Kubernetes documentation.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from beamhall.kernel.kinds import POD, Kind
from beamhall.kernel.objects import ReadOnlyObject


def counts(quota: ReadOnlyObject, kind: Kind, obj: ReadOnlyObject) -> bool:
    """Tell whether a quota counts an object: one without scopes counts all, one with scopes the Pods in all of them."""
    spec: Mapping[str, Any] = quota.get("spec") or {}
    requirements = list(_requirements(spec))
    if not requirements:
        return True
    return kind == POD and all(_matches(requirement, obj) for requirement in requirements)


def _requirements(spec: Mapping[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    """Give (scope, operator, values) of both ways to write scopes."""
    for scope in spec.get("scopes") or ():
        yield scope, "Exists", []
    for expression in (spec.get("scopeSelector") or {}).get("matchExpressions") or ():
        yield expression.get("scopeName", ""), expression.get("operator", ""), list(expression.get("values") or ())


def _matches(requirement: tuple[str, str, list[str]], pod: ReadOnlyObject) -> bool:
    scope, operator, values = requirement
    spec: Mapping[str, Any] = pod.get("spec") or {}
    if scope == "PriorityClass":
        name = spec.get("priorityClassName") or ""
        is_in = name in values
        return {"In": is_in, "NotIn": not is_in, "Exists": bool(name), "DoesNotExist": not name}.get(operator, False)
    is_bounded = spec.get("activeDeadlineSeconds") is not None
    is_best_effort = (pod.get("status") or {}).get("qosClass") == "BestEffort"
    return {
        "Terminating": is_bounded,
        "NotTerminating": not is_bounded,
        "BestEffort": is_best_effort,
        "NotBestEffort": not is_best_effort,
        "CrossNamespacePodAffinity": _reaches_other_namespaces(spec),
    }.get(scope, False)


def _reaches_other_namespaces(spec: Mapping[str, Any]) -> bool:
    affinity: Mapping[str, Any] = spec.get("affinity") or {}
    for part in ("podAffinity", "podAntiAffinity"):
        rules: Mapping[str, Any] = affinity.get(part) or {}
        terms = [*(rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ())]
        preferred = rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [weighted.get("podAffinityTerm") or {} for weighted in preferred]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False
