"""A plan in the making: the job's next status, and the actions that were decided so far.

The status is written once, at the end, as the difference to what is stored; a plan that changes nothing writes nothing,
so looking at a job never makes it move. Decisions are made in ``planner``.
"""

import copy
from collections.abc import Mapping
from typing import Any, Literal

from beamhall.kernel.clock import format_time
from beamhall.kernel.difference import merge_patch_between
from beamhall.kernel.kinds import Kind
from beamhall.kernel.objects import Key, ReadOnlyObject, key_of, metadata_of, name_of, uid_of
from beamhall.kernel.plan import Action, Create, Delete, Emit, Patch, Plan, View
from beamhall.training.conditions import set_condition
from beamhall.training.job import TrainingJob


class Draft:
    """Collects what is to be done about one job.

    Attributes:
        job: The job.
        view: What the planner may know.
        status: The next status; change it freely.
    """

    def __init__(self, job: TrainingJob, view: View) -> None:
        self.job = job
        self.view = view
        self.now = format_time(view.now)
        self._before: Mapping[str, Any] = job.object.get("status") or {}
        self.status: dict[str, Any] = copy.deepcopy(dict(self._before))
        self._changes: list[Action] = []
        self._emits: list[Emit] = []
        self._again_s: list[float] = []

    @property
    def key(self) -> Key:
        """The job's key."""
        return key_of(self.job.framework.kind, self.job.object)

    @property
    def conditions(self) -> list[Any]:
        """The next conditions."""
        return self.status.get("conditions") or []

    def set_condition(self, type_: str, status: Literal["True", "False"], message: str, reason: str = "") -> bool:
        """Set a condition; the reason is the kind's name and ``reason``, or the type.

        Returns:
            Whether the conditions changed: an event that belongs to the transition is due.
        """
        before = self.conditions
        reason = self.job.framework.kind.kind + (reason or type_)
        new = {"type": type_, "status": status, "reason": reason, "message": message}
        self.status["conditions"] = set_condition(before, new, self.now)
        return bool(self.status["conditions"] != before)

    def emit(self, reason: str, message: str, type_: Literal["Normal", "Warning"] = "Normal") -> None:
        """Record an event about the job."""
        self._emits.append(Emit(self.job.framework.kind, self.job.object, reason, message, type_))

    def annotate(self, annotation: str, value: str | None) -> None:
        """Set an annotation of the job, before anything else is done; None removes it."""
        patch = {"metadata": {"annotations": {annotation: value}}}
        self._changes.insert(0, Patch(self.key, patch, uid=self.job.uid))

    def create(self, kind: Kind, obj: dict[str, Any], *, is_told: bool = True) -> None:
        """Make a child, with an event about it unless it is not to be told."""
        self._changes.append(Create(kind, obj))
        if is_told:
            self.emit(f"SuccessfulCreate{kind.kind}", f"Created {_noun(kind)}: {name_of(obj)}")

    def delete(self, kind: Kind, obj: ReadOnlyObject) -> None:
        """Delete a child."""
        self._changes.append(Delete(key_of(kind, obj), uid_of(obj)))
        self.emit(f"SuccessfulDelete{kind.kind}", f"Deleted {_noun(kind)}: {name_of(obj)}")

    def delete_job(self) -> None:
        """Delete the job itself; its children follow."""
        self._changes.append(Delete(self.key, self.job.uid, propagation="Background"))
        self.emit("SuccessfulDeleteJob", f"Deleted job: {self.job.name}")

    def patch(self, kind: Kind, obj: ReadOnlyObject, patch: Mapping[str, Any]) -> None:
        """Change a child."""
        self._changes.append(Patch(key_of(kind, obj), patch, uid=uid_of(obj)))

    def again_after(self, seconds: float) -> None:
        """Plan again after so many seconds, or sooner."""
        self._again_s.append(max(seconds, 0.0))

    def plan(self, why: str) -> Plan:
        """Close the draft."""
        actions: list[Action] = []
        if patch := merge_patch_between(self._before, self.status):
            patch["lastReconcileTime"] = self.now
            # Conditions are worked out from those that stand there: nobody may have changed them meanwhile. And first
            # of all actions, so that nothing else is done on the ground of an old picture.
            revision = str(metadata_of(self.job.object).get("resourceVersion") or "")
            uid = self.job.uid
            actions.append(Patch(self.key, {"status": patch}, subresource="status", uid=uid, revision=revision))
        actions += [*self._changes, *self._emits]
        return Plan(actions, min(self._again_s, default=None), why)


def _noun(kind: Kind) -> str:
    return kind.kind if kind.kind == "PodGroup" else kind.kind.lower()
