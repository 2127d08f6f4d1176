"""Taints and tolerations: who may come to a node, and who must leave it when.

Source: Kubernetes "Taints and Tolerations"; ``k8s.io/component-helpers/scheduling/corev1``.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

UNSCHEDULABLE: Mapping[str, str] = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
"""What a cordoned node counts as having."""

Taint = Mapping[str, Any]
Toleration = Mapping[str, Any]


def is_tolerated(taint: Taint, tolerations: Iterable[Toleration]) -> bool:
    """Tell whether one of the tolerations is for this taint."""
    return any(_is_for(toleration, taint) for toleration in tolerations)


def first_repelling(taints: Iterable[Taint], tolerations: Sequence[Toleration]) -> Taint | None:
    """Give the first taint that keeps a Pod with these tolerations from coming, None if none does."""
    return next(
        (t for t in taints if t.get("effect") in ("NoSchedule", "NoExecute") and not is_tolerated(t, tolerations)), None
    )


def disliked(taints: Iterable[Taint], tolerations: Sequence[Toleration]) -> int:
    """Count the taints that a Pod with these tolerations would rather stay away from (``PreferNoSchedule``)."""
    return sum(t.get("effect") == "PreferNoSchedule" and not is_tolerated(t, tolerations) for t in taints)


def stay_s(taint: Taint, tolerations: Iterable[Toleration]) -> float | None:
    """Give how many seconds a Pod may stay on a node after the taint came; 0: it must go at once; None: for ever."""
    given = [toleration.get("tolerationSeconds") for toleration in tolerations if _is_for(toleration, taint)]
    if not given:
        return 0.0
    limited = [max(0.0, float(seconds)) for seconds in given if seconds is not None]
    return min(limited) if limited else None


def say_taint(taint: Taint) -> str:
    """Write a taint as ``kubectl taint`` does: ``gpu=yes:NoSchedule``."""
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint.get('key')}{value}:{taint.get('effect')}"


def _is_for(toleration: Toleration, taint: Taint) -> bool:
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint.get("key"))
    return toleration.get("key") == taint.get("key") and (toleration.get("value") or "") == (taint.get("value") or "")
