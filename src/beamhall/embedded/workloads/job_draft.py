"""A Job's plan in the making: what every step of ``jobs`` works on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from beamhall.embedded.workloads.job_pods import COUNTED, number_of
from beamhall.embedded.workloads.pods import FINISHED, phase_of
from beamhall.kernel.clock import parse_time
from beamhall.kernel.conditions import find_condition, make_condition, with_condition
from beamhall.kernel.difference import merge_patch_between
from beamhall.kernel.indexes import format_indexes, parse_indexes
from beamhall.kernel.kinds import JOB, POD
from beamhall.kernel.objects import (
    ReadOnlyObject,
    annotations_of,
    is_being_deleted,
    key_of,
    metadata_of,
    name_of,
    uid_of,
)
from beamhall.kernel.plan import Action, Create, Delete, Emit, Patch, Plan, Require, View

_REPORTED_LATER = {"active", "ready"}
_LATER_S = 1.0


@dataclass(slots=True)
class Draft:
    """A Job, its Pods, and what is to become of them.

    Attributes:
        job: The Job as it is.
        view: What is known.
        pods: All its Pods, in order of name.
        status: What its status will be.
        succeeded: Indexes that are done, of an indexed Job.
        failed: Indexes that have failed for good, of a Job with a limit for each index.
        counted: Numbers of the Pods whose end is counted; successes of an indexed Job are in ``succeeded``.
        active: The Pods that run, or will.
        finished: The Pods that ended, by phase.
        actions: What is to be done, but for the status.
        again_s: When to look again.
    """

    job: ReadOnlyObject
    view: View
    pods: Sequence[ReadOnlyObject]
    status: dict[str, Any]
    succeeded: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    counted: set[int] = field(default_factory=set)
    active: list[ReadOnlyObject] = field(default_factory=list)
    finished: dict[str, list[ReadOnlyObject]] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)
    again_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.finished = {phase: [] for phase in FINISHED}
        for pod in self.pods:
            if (phase := phase_of(pod)) in FINISHED:
                self.finished[phase].append(pod)
            elif not is_being_deleted(pod):
                self.active.append(pod)
        self.counted = self._counted_so_far()

    def _counted_so_far(self) -> set[int]:
        text = annotations_of(self.job).get(COUNTED)
        if text is not None:
            return parse_indexes(text)
        # Nothing is counted; or somebody replaced the Job and left the annotation out: then the first that are there.
        counted: set[int] = set()
        for phase, field_ in (("Succeeded", "succeeded"), ("Failed", "failed")):
            if phase == "Failed" or not self.is_indexed:
                counted.update(sorted(map(number_of, self.finished[phase]))[: self.count(field_)])
        return counted - {-1}

    @property
    def spec(self) -> Mapping[str, Any]:
        """The Job's spec."""
        return self.job.get("spec") or {}

    @property
    def now(self) -> datetime:
        """The time."""
        return self.view.now

    @property
    def is_indexed(self) -> bool:
        """Whether each Pod does one index."""
        return self.spec.get("completionMode") == "Indexed"

    @property
    def completions(self) -> int | None:
        """How many successes are wanted; None: the first one means that there is nothing left to do."""
        value = self.spec.get("completions")
        return None if value is None else int(value)

    @property
    def limit_per_index(self) -> int | None:
        """How often an index may fail; None: only the Job as a whole has a limit."""
        value = self.spec.get("backoffLimitPerIndex")
        return None if value is None else int(value)

    def number(self, name: str, default: int) -> int:
        """Give a number of the spec."""
        value = self.spec.get(name)
        return default if value is None else int(value)

    def count(self, name: str) -> int:
        """Give a count of the status that will be."""
        return int(self.status.get(name) or 0)

    def set_or_drop(self, name: str, value: Any) -> None:
        """Set a field of the status; nothing is left out."""
        if value:
            self.status[name] = value
        else:
            self.status.pop(name, None)

    def condition(self, type_: str) -> Mapping[str, Any] | None:
        """Give a condition that is true."""
        found = find_condition(self.status.get("conditions"), type_)
        return found if found is not None and found.get("status") == "True" else None

    def set(self, type_: str, status: Literal["True", "False"], reason: str, message: str) -> None:
        """Set a condition."""
        condition = make_condition(type_, status, reason, message, self.now)
        condition["lastProbeTime"] = condition["lastTransitionTime"]
        self.status["conditions"] = with_condition(self.status.get("conditions"), condition)

    def emit(self, reason: str, message: str, type_: Literal["Normal", "Warning"] = "Normal") -> None:
        """Say something about the Job."""
        self.actions.append(Emit(JOB, self.job, reason, message, type_))

    def delete(self, pod: ReadOnlyObject) -> None:
        """End a Pod; that is no failure of it."""
        self.actions.append(Delete(key_of(POD, pod), uid_of(pod)))
        self.emit("SuccessfulDelete", f"Deleted pod: {name_of(pod)}")

    def plan(self, why: str) -> Plan:
        """Write the status first: names of new Pods follow from what is counted in it."""
        patch = merge_patch_between(self.job.get("status") or {}, self.status)
        # Counters, and names, are worked out from what stands there: nobody may have changed it meanwhile.
        key, uid = key_of(JOB, self.job), uid_of(self.job)
        revision = str(metadata_of(self.job).get("resourceVersion") or "")
        first: list[Action] = []
        body: dict[str, Any] = {"status": patch} if patch and not self._may_wait(patch) else {}
        counted = format_indexes(self.counted)
        if counted != (annotations_of(self.job).get(COUNTED) or ""):
            body["metadata"] = {"annotations": {COUNTED: counted}}
        if body:
            first.append(Patch(key, body, subresource="status", uid=uid, revision=revision))
        elif any(isinstance(action, Create) for action in self.actions):
            first.append(Require(key, uid, revision))
        return Plan([*first, *self.actions], min(self.again_s, default=None), why)

    def _may_wait(self, patch: Mapping[str, Any]) -> bool:
        """Report that Pods became active and ready once they have been there for a second: most are done by then."""
        if self.actions or not patch.keys() <= _REPORTED_LATER:
            return False
        times = [parse_time(made) for pod in self.active if (made := metadata_of(pod).get("creationTimestamp"))]
        left_s = _LATER_S - (self.now - max(times)).total_seconds() if times else 0.0
        if left_s <= 0:
            return False
        self.again_s.append(left_s)
        return True
