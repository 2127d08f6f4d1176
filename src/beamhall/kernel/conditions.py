"""Status conditions in their general form: a list of ``{type, status, reason, message, lastTransitionTime}``.

Jobs of ``training`` have their own rules of replacement; those stand there.

Source: Kubernetes API conventions, "Typical status properties".
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from beamhall.kernel.clock import format_time
from beamhall.kernel.objects import ReadOnlyObject

Condition = Mapping[str, Any]
Status = Literal["True", "False", "Unknown"]


def conditions_of(obj: ReadOnlyObject) -> Sequence[Condition]:
    """Give the conditions of an object's status, empty if there are none."""
    return (obj.get("status") or {}).get("conditions") or ()


def find_condition(conditions: Iterable[Condition] | None, type: str) -> Condition | None:  # noqa: A002
    """Give the condition of this type, if there is one."""
    return next((condition for condition in conditions or () if condition.get("type") == type), None)


def is_true(obj: ReadOnlyObject, type: str) -> bool:  # noqa: A002
    """Tell whether an object's condition of this type is there and ``True``."""
    condition = find_condition(conditions_of(obj), type)
    return condition is not None and condition.get("status") == "True"


def make_condition(type: str, status: Status, reason: str, message: str, now: datetime) -> dict[str, Any]:  # noqa: A002
    """Make a condition that changed now."""
    return {
        "type": type,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": format_time(now),
    }


def with_condition(conditions: Iterable[Condition] | None, condition: Condition) -> list[dict[str, Any]]:
    """Give the list with this condition in the place of the one of its type, or at the end.

    Where the status is what it was, ``lastTransitionTime`` stays what it was: it says when the status changed, and so
    the same plan made twice writes the same list.
    """
    placed: list[dict[str, Any]] = []
    is_new = True
    for old in conditions or ():
        if old.get("type") != condition["type"]:
            placed.append(dict(old))
            continue
        is_new = False
        new = dict(old) | dict(condition)
        if old.get("status") == condition.get("status") and "lastTransitionTime" in old:
            new["lastTransitionTime"] = old["lastTransitionTime"]
        placed.append(new)
    return [*placed, dict(condition)] if is_new else placed
