"""Which Pods go first when there are too many: those that would be missed least.

Source: ``k8s.io/kubernetes/pkg/controller/controller_utils.go`` (ActivePodsWithRanks); KEP-2255 (deletion cost).
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from beamhall.embedded.workloads.pods import is_ready, phase_of, restarts_of
from beamhall.kernel.clock import parse_time
from beamhall.kernel.conditions import conditions_of, find_condition
from beamhall.kernel.objects import ReadOnlyObject, annotations_of, metadata_of, name_of

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASES = ("Pending", "Unknown", "Running")


def first_to_delete(
    pods: Iterable[ReadOnlyObject], related: Iterable[ReadOnlyObject], now: datetime
) -> Sequence[ReadOnlyObject]:
    """Order Pods, first those to delete first.

    Without a node before those with one; pending before running; not ready before ready; cheap before dear
    (``pod-deletion-cost``); where more related Pods are on the node before where fewer are; ready, or made, for a
    shorter time before for a longer one, where times are compared by their order of magnitude; restarted more often
    before less often.

    Args:
        pods: The Pods to choose from.
        related: Pods that do the same work, counted by node.
        now: The time.
    """
    on_node = Counter((pod.get("spec") or {}).get("nodeName") for pod in related)

    def rank(pod: ReadOnlyObject) -> tuple[Any, ...]:
        node = (pod.get("spec") or {}).get("nodeName") or ""
        phase = phase_of(pod)
        return (
            bool(node),
            _PHASES.index(phase) if phase in _PHASES else len(_PHASES),
            is_ready(pod),
            _cost(pod),
            -on_node[node],
            _magnitude(_ready_since(pod), now),
            -restarts_of(pod),
            _magnitude(metadata_of(pod).get("creationTimestamp"), now),
            name_of(pod),
        )

    return sorted(pods, key=rank)


def _cost(pod: ReadOnlyObject) -> int:
    try:
        return int(annotations_of(pod).get(DELETION_COST) or 0)
    except ValueError:
        return 0


def _ready_since(pod: ReadOnlyObject) -> str | None:
    condition = find_condition(conditions_of(pod), "Ready") or {}
    return condition.get("lastTransitionTime") if condition.get("status") == "True" else None


def _magnitude(since: str | None, now: datetime) -> int:
    """Give the order of magnitude of how long ago something was, 0 for now, and for what has not been."""
    if not since:
        return 0
    seconds = (now - parse_time(since)).total_seconds()
    return int(math.log2(seconds)) if seconds >= 1 else 0
