"""What a Deployment's status says: counts, and how its rollout goes.

Source: ``k8s.io/kubernetes/pkg/controller/deployment/progress.go`` and ``sync.go``.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from beamhall.embedded.workloads.rollout import Sets, count_of, total_size
from beamhall.kernel.clock import format_time, parse_time
from beamhall.kernel.conditions import find_condition
from beamhall.kernel.objects import metadata_of, name_of

AVAILABLE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED = "DeploymentPaused"
_NO_DEADLINE = 2**31 - 1
_SHOWN = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas")


class StatusDraft:
    """A Deployment's status in the making.

    Attributes:
        status: What it will be.
        again_s: When to look again, in seconds, for progress that does not come; None: no need.

    Args:
        sets: The Deployment and its sets as they are.
        now: The time.
    """

    def __init__(self, sets: Sets, now: datetime) -> None:
        self._sets = sets
        self._now = now
        self._spec: Mapping[str, Any] = sets.deployment["spec"]
        self._before: Mapping[str, Any] = sets.deployment.get("status") or {}
        self.status: dict[str, Any] = {name: value for name, value in self._before.items() if name not in _SHOWN}
        self.again_s: float | None = None
        available = self._sum("availableReplicas")
        counts = {
            "replicas": self._sum("replicas"),
            "updatedReplicas": count_of(sets.new, "replicas"),
            "readyReplicas": self._sum("readyReplicas"),
            "availableReplicas": available,
            "unavailableReplicas": max(total_size(sets.all) - available, 0),
        }
        self.status["observedGeneration"] = int(metadata_of(sets.deployment).get("generation") or 0)
        self.status |= {name: count for name, count in counts.items() if count}
        self._set_available(available)

    @property
    def has_deadline(self) -> bool:
        """Whether progress is to be reported at all."""
        deadline_s = self._spec.get("progressDeadlineSeconds")
        return deadline_s is not None and deadline_s != _NO_DEADLINE

    @property
    def is_complete(self) -> bool:
        """Whether all wanted Pods are of the newest template, are available, and no others are left."""
        wanted = self._sets.wanted
        fields = ("replicas", "updatedReplicas", "availableReplicas")
        return all(int(self.status.get(field) or 0) == wanted for field in fields)

    def note_progress(self, reason: str, message: str) -> None:
        """Report something that brings the rollout on."""
        if self.has_deadline:
            self._set("Progressing", "True", reason, message)

    def note_found(self) -> None:
        """Report that the new set was there before anything was known of it."""
        if self.has_deadline and self._progress() is None and self._sets.new is not None:
            self.note_progress("FoundNewReplicaSet", f'Found new replica set "{name_of(self._sets.new)}"')

    def note_pause(self) -> None:
        """Report that the rollout is paused, or resumed."""
        condition = self._progress()
        if not self.has_deadline or (condition or {}).get("reason") == TIMED_OUT:
            return
        is_paused = bool(self._spec.get("paused"))
        was_paused = (condition or {}).get("reason") == PAUSED
        if is_paused and not was_paused:
            self._set("Progressing", "Unknown", PAUSED, "Deployment is paused")
        elif was_paused and not is_paused:
            self._set("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed")

    def judge_progress(self) -> None:
        """Report whether the rollout is done, goes on, or has made no progress for too long."""
        if not self.has_deadline:
            conditions = self.status.get("conditions") or ()
            self.status["conditions"] = [c for c in conditions if c.get("type") != "Progressing"]
            return
        condition = self._progress()
        is_settled = self.status.get("replicas") == self.status.get("updatedReplicas")
        if is_settled and (condition or {}).get("reason") == AVAILABLE:
            return
        who = f'Deployment "{name_of(self._sets.deployment)}"'
        if self._sets.new is not None:
            who = f'ReplicaSet "{name_of(self._sets.new)}"'
        if self.is_complete:
            self._set("Progressing", "True", AVAILABLE, f"{who} has successfully progressed.")
        elif self._goes_on():
            self._set("Progressing", "True", "ReplicaSetUpdated", f"{who} is progressing.")
        elif condition is not None and condition.get("reason") not in (AVAILABLE, TIMED_OUT):
            left_s = self._left_s(condition)
            if left_s <= 0:
                self._set("Progressing", "False", TIMED_OUT, f"{who} has timed out progressing.")
            else:
                self.again_s = left_s

    def _goes_on(self) -> bool:
        """Tell whether there are more new, ready or available Pods than were reported, or fewer old ones."""

        def count(status: Mapping[str, Any], field: str) -> int:
            return int(status.get(field) or 0)

        def n_old(status: Mapping[str, Any]) -> int:
            return count(status, "replicas") - count(status, "updatedReplicas")

        fields = ("updatedReplicas", "readyReplicas", "availableReplicas")
        more = any(count(self.status, field) > count(self._before, field) for field in fields)
        return more or n_old(self.status) < n_old(self._before)

    def _left_s(self, condition: Mapping[str, Any]) -> float:
        since = parse_time(condition.get("lastUpdateTime") or condition["lastTransitionTime"])
        due = since + timedelta(seconds=int(self._spec["progressDeadlineSeconds"]))
        return (due - self._now).total_seconds()

    def _set_available(self, available: int) -> None:
        if available >= self._sets.wanted - self._sets.max_unavailable:
            self._set("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        else:
            message = "Deployment does not have minimum availability."
            self._set("Available", "False", "MinimumReplicasUnavailable", message)

    def _progress(self) -> Mapping[str, Any] | None:
        return find_condition(self.status.get("conditions"), "Progressing")

    def _set(self, type_: str, status: Literal["True", "False", "Unknown"], reason: str, message: str) -> None:
        """Set a condition. ``lastUpdateTime`` is that of what it says; of progress, that of the last step."""
        conditions = list(self.status.get("conditions") or ())
        old = find_condition(conditions, type_)
        same = old is not None and (old.get("status"), old.get("reason")) == (status, reason)
        if same and not (type_ == "Progressing" and self._goes_on()):
            return
        now = format_time(self._now)
        keeps = old is not None and old.get("status") == status
        condition = {
            "type": type_,
            "status": status,
            "reason": reason,
            "message": message,
            "lastUpdateTime": now,
            "lastTransitionTime": (old or {}).get("lastTransitionTime", now) if keeps else now,
        }
        self.status["conditions"] = [*(c for c in conditions if c.get("type") != type_), condition]

    def _sum(self, field: str) -> int:
        return sum(count_of(one, field) for one in self._sets.all)
