"""The conditions of training jobs: how a new one changes the list.

This is not the conditions algorithm of core Kubernetes: order matters here (``kubectl wait`` and the State column read
the last entry), and types displace each other. Knows nothing of replicas or frameworks. Read on in ``status``.

Source: kubeflow/training-operator v1.9, ``pkg/util/status.go``, as told in the reference "Status and state machine".
"""

from collections.abc import Mapping, Sequence
from typing import Any

Condition = Mapping[str, Any]

CREATED = "Created"
RUNNING = "Running"
RESTARTING = "Restarting"
SUCCEEDED = "Succeeded"
FAILED = "Failed"
SUSPENDED = "Suspended"

_DISPLACED = {RUNNING: RESTARTING, RESTARTING: RUNNING}


def find_condition(conditions: Sequence[Condition], type_: str) -> Condition | None:
    """Give the condition of a type, if there is one."""
    return next((c for c in conditions if c.get("type") == type_), None)


def is_true(conditions: Sequence[Condition], type_: str) -> bool:
    """Tell whether the condition of a type is there with status True."""
    condition = find_condition(conditions, type_)
    return condition is not None and condition.get("status") == "True"


def is_finished(conditions: Sequence[Condition]) -> bool:
    """Tell whether a job ended, well or badly."""
    return is_true(conditions, SUCCEEDED) or is_true(conditions, FAILED)


def set_condition(conditions: Sequence[Condition], new: Condition, now: str) -> list[Condition]:
    """Put a condition into a list as the training operator does.

    Args:
        conditions: The list so far; unchanged.
        new: ``type``, ``status``, ``reason`` and ``message`` of the condition.
        now: The time, as on the wire.

    Returns:
        The new list: equal to the old one where a Failed=True stands already, or the type has this status and reason.
    """
    if is_true(conditions, FAILED):
        return list(conditions)
    current = find_condition(conditions, new["type"])
    since = now
    if current is not None and current.get("status") == new["status"]:
        if current.get("reason") == new["reason"]:
            return list(conditions)
        since = str(current.get("lastTransitionTime") or now)
    dropped = {new["type"], _DISPLACED.get(new["type"])}
    kept = [c for c in conditions if c.get("type") not in dropped]
    if new["type"] in (SUCCEEDED, FAILED):
        kept = [dict(c, status="False") if c.get("type") == RUNNING else c for c in kept]
    return [*kept, {**new, "lastUpdateTime": now, "lastTransitionTime": since}]
