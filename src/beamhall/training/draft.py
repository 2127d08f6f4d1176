"""The plan of a v1 job in the making: conditions by the rules of these jobs, and an event about each child.

How a plan comes together stands in ``object_draft``. Decisions are made in ``planner``.
"""

from collections.abc import Mapping
from typing import Any, Literal

from beamhall.kernel.clock import format_time
from beamhall.kernel.kinds import Kind
from beamhall.kernel.objects import ReadOnlyObject, key_of, name_of, uid_of
from beamhall.kernel.plan import Create, Delete, Patch, View
from beamhall.training.conditions import set_condition
from beamhall.training.job import TrainingJob
from beamhall.training.object_draft import ObjectDraft


class Draft(ObjectDraft):
    """Collects what is to be done about one job.

    Attributes:
        job: The job.
        now: The time, as on the wire.
    """

    def __init__(self, job: TrainingJob, view: View) -> None:
        super().__init__(job.framework.kind, job.object, view)
        self.job = job
        self.now = format_time(view.now)

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

    def annotate(self, annotation: str, value: str | None) -> None:
        """Set an annotation of the job, before anything else is done; None removes it."""
        patch = {"metadata": {"annotations": {annotation: value}}}
        self._changes.insert(0, Patch(self.key, patch, uid=self.job.uid))

    def create(self, kind: Kind, obj: dict[str, Any]) -> None:
        """Make a child, with an event about it."""
        self._changes.append(Create(kind, obj))
        self.emit(f"SuccessfulCreate{kind.kind}", f"Created {_noun(kind)}: {name_of(obj)}")

    def delete(self, kind: Kind, obj: ReadOnlyObject) -> None:
        """Delete a child."""
        self._changes.append(Delete(key_of(kind, obj), uid_of(obj)))
        self.emit(f"SuccessfulDelete{kind.kind}", f"Deleted {_noun(kind)}: {name_of(obj)}")

    def delete_job(self) -> None:
        """Delete the job itself; its children follow."""
        self._changes.append(Delete(self.key, self.job.uid, propagation="Background"))
        self.emit("SuccessfulDeleteJob", f"Deleted job: {self.job.name}")

    def _stamp(self) -> Mapping[str, Any]:
        return {"lastReconcileTime": self.now}


def _noun(kind: Kind) -> str:
    return kind.kind if kind.kind == "PodGroup" else kind.kind.lower()
