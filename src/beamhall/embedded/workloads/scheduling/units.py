"""What is placed together, and in which order: single Pods, and groups whole.

Order: groups that have begun to start come first, whatever they are, because what they hold is of no use before they
are whole; then by priority, then by age. Source: scheduler-plugins, coscheduling (the PodGroup).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from beamhall.embedded.workloads.resources import Amounts, amount
from beamhall.kernel.clock import parse_time
from beamhall.kernel.kinds import POD_GROUP
from beamhall.kernel.objects import (
    ReadOnlyObject,
    is_being_deleted,
    labels_of,
    metadata_of,
    name_of,
    namespace_of,
)
from beamhall.kernel.plan import View

POD_GROUP_LABEL = "scheduling.x-k8s.io/pod-group"
SCHEDULER_NAME = "default-scheduler"

_ENDED = ("Succeeded", "Failed")


@dataclass(slots=True)
class Group:
    """A PodGroup and its members; ``n_bound`` of the ``n_there`` have a node already."""

    name: str
    object: ReadOnlyObject | None
    n_bound: int = 0
    n_there: int = 0

    @property
    def n_wanted(self) -> int:
        """How many members must have a node before any starts."""
        return int(self._spec.get("minMember") or 1)

    @property
    def n_missing(self) -> int:
        """How many more must get a node now, at least one: some wait."""
        return max(self.n_wanted - self.n_bound, 1)

    @property
    def least(self) -> Amounts:
        """What must be free in all before it is tried, ``minResources``."""
        return {name: amount(name, text) for name, text in (self._spec.get("minResources") or {}).items()}

    @property
    def timeout_s(self) -> float | None:
        """After how many seconds its waiting is called too long."""
        seconds = self._spec.get("scheduleTimeoutSeconds")
        return None if seconds is None else float(seconds)

    @property
    def _spec(self) -> Mapping[str, Any]:
        return (self.object or {}).get("spec") or {}


@dataclass(slots=True)
class Unit:
    """What is placed together: one Pod, or the waiting members of a group."""

    pods: list[ReadOnlyObject]
    group: Group | None = None

    @property
    def priority(self) -> int:
        """The highest priority of its Pods."""
        return max(priority_of(pod) for pod in self.pods)

    @property
    def urgency(self) -> int:
        """The highest priority of those of its Pods that may have others stopped; a Pod that may not lends none."""
        return max((priority_of(pod) for pod in self.pods if may_preempt(pod)), default=-(2**31))

    @property
    def rank(self) -> tuple[bool, int, str, str, str]:
        """Where it stands in the queue, lowest first."""
        is_begun = self.group is not None and 0 < self.group.n_bound < self.group.n_wanted
        return (not is_begun, -self.priority, self._created, namespace_of(self.pods[0]), name_of(self.pods[0]))

    @property
    def title(self) -> str:
        """What people call it."""
        space = namespace_of(self.pods[0])
        return f"Pod {space}/{name_of(self.pods[0])}" if self.group is None else f"group {space}/{self.group.name}"

    def age_s(self, now: datetime) -> float:
        """Give for how many seconds it has been there."""
        return (now - parse_time(self._created)).total_seconds() if self._created else 0.0

    @property
    def _created(self) -> str:
        first = self.group.object if self.group is not None and self.group.object is not None else self.pods[0]
        return str(metadata_of(first).get("creationTimestamp") or "")


def group_of(pod: ReadOnlyObject) -> tuple[str, str] | None:
    """Give namespace and name of the PodGroup that a Pod belongs to, None if to none."""
    name = labels_of(pod).get(POD_GROUP_LABEL)
    return (namespace_of(pod), name) if name else None


def priority_of(pod: ReadOnlyObject) -> int:
    """Give a Pod's priority."""
    return int((pod.get("spec") or {}).get("priority") or 0)


def may_preempt(pod: ReadOnlyObject) -> bool:
    """Tell whether others may be stopped for a Pod."""
    return (pod.get("spec") or {}).get("preemptionPolicy") != "Never"


def is_ours(pod: ReadOnlyObject) -> bool:
    """Tell whether a Pod waits for this scheduler to find it a node, or to be let in by whoever holds its gates."""
    spec: Mapping[str, Any] = pod.get("spec") or {}
    return (
        not spec.get("nodeName")
        and (spec.get("schedulerName") or SCHEDULER_NAME) == SCHEDULER_NAME
        and (pod.get("status") or {}).get("phase") not in _ENDED
        and not is_being_deleted(pod)
    )


def is_gated(pod: ReadOnlyObject) -> bool:
    """Tell whether somebody holds a Pod back by ``schedulingGates``."""
    return bool((pod.get("spec") or {}).get("schedulingGates"))


def units_of(waiting: Iterable[ReadOnlyObject], pods: Iterable[ReadOnlyObject], view: View) -> list[Unit]:
    """Give what waits, in the order of the queue.

    Args:
        waiting: The Pods that wait.
        pods: All Pods: members that have a node count too.
        view: For the PodGroups.
    """
    singles: list[Unit] = []
    grouped: dict[tuple[str, str], Unit] = {}
    for pod in waiting:
        key = group_of(pod)
        if key is None:
            singles.append(Unit([pod]))
            continue
        if key not in grouped:
            grouped[key] = Unit([], Group(key[1], view.get(POD_GROUP, key[1], key[0])))
        grouped[key].pods.append(pod)
    for pod in pods if grouped else ():
        if is_gated(pod):
            continue
        member_of = group_of(pod)
        unit = grouped.get(member_of) if member_of is not None else None
        if unit is not None and unit.group is not None and not is_being_deleted(pod):
            unit.group.n_there += 1
            unit.group.n_bound += bool((pod.get("spec") or {}).get("nodeName"))
    return sorted([*singles, *grouped.values()], key=lambda unit: unit.rank)
