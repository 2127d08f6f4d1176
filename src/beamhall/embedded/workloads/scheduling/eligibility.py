"""Whether a node is one for Pods of a shape at all, whatever runs on it: readiness, cordon, taints, labels.

Source: Kubernetes "Assigning Pods to Nodes" (nodeSelector, node affinity); ``k8s.io/component-helpers`` nodeaffinity.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from beamhall.embedded.workloads.scheduling.shapes import Shape
from beamhall.embedded.workloads.taints import UNSCHEDULABLE, disliked, first_repelling, is_tolerated, say_taint
from beamhall.kernel.conditions import conditions_of, find_condition
from beamhall.kernel.objects import ReadOnlyObject, labels_of, name_of


def obstacle(node: ReadOnlyObject, shape: Shape) -> str:
    """Say what keeps Pods of a shape off a node for as long as neither changes; empty if nothing does."""
    return standing_of(node) or taint_obstacle(node, shape) or label_obstacle(node, shape)


def standing_of(node: ReadOnlyObject) -> str:
    """Say why nobody may come now, empty if nothing speaks against it."""
    ready = find_condition(conditions_of(node), "Ready")
    return "is not ready" if ready is not None and ready.get("status") != "True" else ""


def taint_obstacle(node: ReadOnlyObject, shape: Shape) -> str:
    """Say which taint keeps Pods of a shape off, empty if none does."""
    spec: Mapping[str, Any] = node.get("spec") or {}
    if spec.get("unschedulable") and not is_tolerated(UNSCHEDULABLE, shape.tolerations):
        return "takes no new Pods (it is cordoned)"
    taint = first_repelling(spec.get("taints") or (), shape.tolerations)
    return "" if taint is None else f"has the taint {say_taint(taint)}, which the Pod does not tolerate"


def label_obstacle(node: ReadOnlyObject, shape: Shape) -> str:
    """Say which label or name is not what a shape asks for, empty if all are."""
    labels = labels_of(node)
    for key, value in shape.selector.items():
        if labels.get(key) != value:
            return f"has no label {key}={value}, which the Pod's nodeSelector asks for"
    if shape.node_terms is None or any(_meets(node, term) for term in shape.node_terms):
        return ""
    asked = " or ".join(_say_term(term) for term in shape.node_terms) or "nothing that could be met"
    return f"is not one that the Pod's node affinity asks for ({asked})"


def preference(node: ReadOnlyObject, shape: Shape) -> float:
    """Give how much Pods of a shape prefer a node by its labels and taints; only differences between nodes count."""
    wanted = sum(weight for weight, term in shape.node_preferences if _meets(node, term))
    return wanted - 100.0 * disliked((node.get("spec") or {}).get("taints") or (), shape.tolerations)


def _meets(node: ReadOnlyObject, term: Mapping[str, Any]) -> bool:
    """Tell whether a node meets a nodeSelectorTerm; an empty one is met by none."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    labels = labels_of(node)
    return all(_holds(one, labels) for one in expressions) and all(
        _holds(one, {"metadata.name": name_of(node)}) for one in fields
    )


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(str(expression.get("key")))
    values = expression.get("values") or ()
    match expression.get("operator"):
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return _compares(value, values, 1)
        case "Lt":
            return _compares(value, values, -1)
    return False


def _compares(value: str | None, bounds: Iterable[str], sign: int) -> bool:
    """Tell whether a label's whole number is beyond the bound on this side."""
    try:
        (bound,) = bounds
        return value is not None and sign * int(value) > sign * int(bound)
    except ValueError:
        return False


def _say_term(term: Mapping[str, Any]) -> str:
    parts = []
    for one in (*(term.get("matchExpressions") or ()), *(term.get("matchFields") or ())):
        values = ", ".join(str(value) for value in one.get("values") or ())
        operator = {"Gt": ">", "Lt": "<"}.get(str(one.get("operator")), str(one.get("operator")))
        parts.append(f"{one.get('key')} {operator}{f' {values}' if values else ''}")
    return " and ".join(parts) or "nothing"
