"""How many Pods each ReplicaSet of a Deployment may have next: arithmetic on sets, nothing else.

``Sets`` is what a Deployment's planner works on: the new set (of the template as it is) and the old ones.

Source: ``k8s.io/kubernetes/pkg/controller/deployment/rolling.go``, ``sync.go`` (proportional scaling).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beamhall.kernel.objects import ReadOnlyObject, annotations_of, metadata_of, name_of

DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"


@dataclass(frozen=True, slots=True)
class Sets:
    """A Deployment and its ReplicaSets, the old ones in order of creation."""

    deployment: ReadOnlyObject
    new: ReadOnlyObject | None
    old: Sequence[ReadOnlyObject]

    @property
    def all(self) -> Sequence[ReadOnlyObject]:
        """All sets."""
        return [*self.old, self.new] if self.new is not None else self.old

    @property
    def wanted(self) -> int:
        """How many Pods the Deployment wants."""
        return int(self.deployment["spec"].get("replicas") or 0)

    @property
    def is_rolling(self) -> bool:
        """Whether Pods are replaced a few at a time."""
        return (self.deployment["spec"].get("strategy") or {}).get("type") != "Recreate"

    @property
    def max_surge(self) -> int:
        """How many Pods there may be beyond those wanted."""
        return self._bounds[0] if self.is_rolling else 0

    @property
    def max_unavailable(self) -> int:
        """How many of the wanted Pods may be missing."""
        return min(self._bounds[1], self.wanted) if self.is_rolling else 0

    @property
    def _bounds(self) -> tuple[int, int]:
        rolling = (self.deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
        surge = share_of(rolling.get("maxSurge"), self.wanted, up=True)
        unavailable = share_of(rolling.get("maxUnavailable"), self.wanted, up=False)
        return surge, unavailable if surge or unavailable else 1  # both may be rounded to 0, and then nothing moves


def share_of(value: Any, total: int, *, up: bool) -> int:
    """Read an int-or-percent: a number, or a share of ``total`` rounded up or down."""
    if isinstance(value, str) and value.endswith("%"):
        exact = int(value[:-1]) * total / 100
        return math.ceil(exact) if up else math.floor(exact)
    return int(value or 0)


def size_of(replica_set: ReadOnlyObject) -> int:
    """Give how many Pods a set wants."""
    return int((replica_set.get("spec") or {}).get("replicas") or 0)


def count_of(replica_set: ReadOnlyObject | None, field: str) -> int:
    """Give a count of a set's status."""
    return int(((replica_set or {}).get("status") or {}).get(field) or 0)


def total_size(sets: Iterable[ReadOnlyObject]) -> int:
    """Give how many Pods sets want together."""
    return sum(map(size_of, sets))


def first_size(sets: Sets) -> int:
    """Give the size with which the new set begins, or to which it may grow now."""
    now = size_of(sets.new) if sets.new is not None else 0
    if not sets.is_rolling:
        return sets.wanted
    room = sets.wanted + sets.max_surge - total_size(sets.all)
    return now if room <= 0 else now + min(room, max(sets.wanted - now, 0))


def next_sizes(sets: Sets) -> Mapping[str, int]:
    """Give the sizes that a rolling update changes next: first the new set's, else those of old ones; empty: none."""
    if sets.new is None:
        return {}
    size = size_of(sets.new)
    grown = sets.wanted if size > sets.wanted else first_size(sets)
    if grown != size:
        return {name_of(sets.new): grown}
    return _shrink_old(sets)


def _shrink_old(sets: Sets) -> Mapping[str, int]:
    """Take Pods away from old sets: first those that are not available, then as many as are not needed."""
    assert sets.new is not None
    least_available = sets.wanted - sets.max_unavailable
    unavailable_new = size_of(sets.new) - count_of(sets.new, "availableReplicas")
    room = total_size(sets.all) - least_available - unavailable_new
    if not total_size(sets.old) or room <= 0:
        return {}
    sizes = {name_of(old): size_of(old) for old in sets.old}
    for old in sets.old:
        unhealthy = max(size_of(old) - count_of(old, "availableReplicas"), 0)
        taken = min(room, unhealthy)
        sizes[name_of(old)] -= taken
        room -= taken
    spare = sum(count_of(one, "availableReplicas") for one in sets.all) - least_available
    for old in sets.old:
        taken = min(max(spare, 0), sizes[name_of(old)])
        sizes[name_of(old)] -= taken
        spare -= taken
    return {name_of(old): sizes[name_of(old)] for old in sets.old if sizes[name_of(old)] != size_of(old)}


def is_being_scaled(sets: Sets) -> bool:
    """Tell whether the number of wanted Pods has changed since the sets were sized."""
    return any(_noted(one, DESIRED, sets.wanted) != sets.wanted for one in sets.all if size_of(one))


def proportional_sizes(sets: Sets) -> Mapping[str, int]:
    """Spread a change of the number of wanted Pods over the sets: in proportion, in the middle of a rolling update."""
    active = [one for one in sets.all if size_of(one)]
    if len(active) <= 1:
        latest = active[0] if active else sets.new or (sets.old[-1] if sets.old else None)
        return {} if latest is None or size_of(latest) == sets.wanted else {name_of(latest): sets.wanted}
    if _is_saturated(sets):
        return {name_of(old): 0 for old in sets.old if size_of(old)}
    if not sets.is_rolling:
        return {}
    allowed = sets.wanted + sets.max_surge if sets.wanted else 0
    return _spread(sets, active, allowed - total_size(active))


def _spread(sets: Sets, active: Sequence[ReadOnlyObject], change: int) -> Mapping[str, int]:
    """Give each set its part of a change, larger ones first, newer ones first where they grow, and the rest to one."""
    grows = change > 0
    by_age = sorted(active, key=lambda one: str(metadata_of(one).get("creationTimestamp") or ""), reverse=grows)
    ordered = sorted(by_age, key=size_of, reverse=True)
    sizes: dict[str, int] = {}
    left = change
    for one in ordered:
        part = _proportion(sets, one, change)
        part = min(part, left) if grows else max(part, left)
        sizes[name_of(one)] = size_of(one) + part
        left -= part
    if left and ordered:
        first = name_of(ordered[0])
        sizes[first] = max(sizes[first] + left, 0)
    return {name_of(one): sizes[name_of(one)] for one in ordered if sizes[name_of(one)] != size_of(one)}


def _proportion(sets: Sets, one: ReadOnlyObject, change: int) -> int:
    before = _noted(one, MAXIMUM, 0) or sets.wanted + sets.max_surge
    after = sets.wanted + sets.max_surge if sets.wanted else 0
    exact = size_of(one) * after / before if before else 0.0
    part = math.floor(exact + 0.5) - size_of(one)
    return max(part, 0) if change > 0 else max(min(part, 0), -size_of(one))


def _is_saturated(sets: Sets) -> bool:
    new = sets.new
    return (
        new is not None
        and size_of(new) == sets.wanted
        and _noted(new, DESIRED, -1) == sets.wanted
        and count_of(new, "availableReplicas") == sets.wanted
    )


def _noted(one: ReadOnlyObject, annotation: str, default: int) -> int:
    text = annotations_of(one).get(annotation) or ""
    return int(text) if text.isdecimal() else default
