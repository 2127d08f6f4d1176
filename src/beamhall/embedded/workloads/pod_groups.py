"""What a PodGroup's status says: its phase, and how many of its Pods run and have ended.

Placing a group is the scheduler's business (``scheduling``), making its Pods that of whoever made it.
Source: scheduler-plugins, coscheduling, the PodGroup controller's phases.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from beamhall.embedded.workloads.scheduling.units import group_of
from beamhall.kernel.kinds import POD, POD_GROUP
from beamhall.kernel.objects import ReadOnlyObject, is_being_deleted, key_of, name_of, namespace_of, uid_of
from beamhall.kernel.plan import Action, Patch, Plan, View

REST_S = 1.0
"""All groups are brought up to date at most this often: their Pods change one by one, and each is a look at all."""


@dataclass(slots=True)
class _Tally:
    scheduled: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0

    def phase(self, wanted: int) -> str:
        """Give the phase of a group that wants so many Pods at once."""
        ended = self.succeeded + self.failed
        if self.failed and self.running + ended >= wanted:
            return "Failed" if not self.running else "Running"
        if self.succeeded >= wanted:
            return "Finished"
        if self.running + self.succeeded >= wanted:
            return "Running"
        if self.scheduled >= wanted:
            return "Scheduled"
        return "Scheduling" if self.scheduled else "Pending"


def plan_pod_groups(_: ReadOnlyObject, view: View) -> Plan:
    """Bring the status of every PodGroup up to date."""
    groups = view.list(POD_GROUP)
    if not groups:
        return Plan()
    tallies = {(namespace_of(group), name_of(group)): _Tally() for group in groups}
    for pod in view.list(POD):
        group_key = group_of(pod)
        tally = tallies.get(group_key) if group_key is not None else None
        if tally is not None and not is_being_deleted(pod):
            _count(tally, pod)
    actions: list[Action] = []
    for group in groups:
        tally = tallies[namespace_of(group), name_of(group)]
        wanted = int((group.get("spec") or {}).get("minMember") or 1)
        status: Mapping[str, Any] = {
            "phase": tally.phase(wanted),
            "running": tally.running,
            "succeeded": tally.succeeded,
            "failed": tally.failed,
        }
        current: Mapping[str, Any] = group.get("status") or {}
        if any(current.get(name) != value for name, value in status.items()):
            key = key_of(POD_GROUP, group)
            actions.append(Patch(key, {"status": status}, subresource="status", uid=uid_of(group)))
    return Plan(actions, why=f"{len(actions)} of {len(groups)} PodGroups have changed")


def _count(tally: _Tally, pod: ReadOnlyObject) -> None:
    tally.scheduled += bool((pod.get("spec") or {}).get("nodeName"))
    match (pod.get("status") or {}).get("phase"):
        case "Running":
            tally.running += 1
        case "Succeeded":
            tally.succeeded += 1
        case "Failed":
            tally.failed += 1
