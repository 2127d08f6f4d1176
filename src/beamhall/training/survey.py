"""How a job's children are, slot by slot: what the planner decides on.

A slot is one replica, ``(type, index)``, and has at most one Pod, since the Pod's name comes from the slot. Read on in
``planner``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from beamhall.kernel.conditions import is_true
from beamhall.kernel.kinds import POD, SERVICE
from beamhall.kernel.objects import ReadOnlyObject, is_being_deleted, name_of
from beamhall.kernel.plan import View
from beamhall.training.job import Counts, Observed, Replica, TrainingJob, main_container

SlotState = Literal["missing", "taken", "leaving", "pending", "active", "succeeded", "failed", "restart"]
"""How a slot is: no Pod; its name is taken by another's Pod; Pod being deleted; not yet running; running; succeeded;
failed for good; failed and to be made anew."""

_RETRYABLE_FROM = 128


@dataclass(frozen=True, slots=True)
class Slot:
    """One replica and its Pod, which is empty where there is none."""

    type: str
    index: int
    name: str
    state: SlotState
    pod: ReadOnlyObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Survey:
    """All children of a job.

    Attributes:
        slots: One for each wanted replica.
        extra_pods: Pods of the job beyond its replicas, such as after it was scaled down.
        services: The job's Services by name.
    """

    slots: Sequence[Slot]
    extra_pods: Sequence[ReadOnlyObject]
    services: Mapping[str, ReadOnlyObject]

    def of_state(self, *states: SlotState) -> list[Slot]:
        """Give the slots that are in one of these states."""
        return [slot for slot in self.slots if slot.state in states]


def take_survey(job: TrainingJob, view: View) -> Survey:
    """Look at the children of a job."""
    pods = {name_of(pod): pod for pod in view.controlled_by(POD, job.uid)}
    services = {name_of(service): service for service in view.controlled_by(SERVICE, job.uid)}
    slots = []
    for replica in job.replicas.values():
        for index in range(replica.count):
            name = job.child_name(replica.type, index)
            pod = pods.pop(name, None)
            if pod is None and view.get(POD, name, job.namespace) is not None:
                slots.append(Slot(replica.type, index, name, "taken"))
            else:
                slots.append(Slot(replica.type, index, name, _state(job, replica, pod), pod or {}))
    return Survey(slots, list(pods.values()), services)


def observe(job: TrainingJob, survey: Survey) -> Observed:
    """Count what the framework's rules look at: Pods that will be made anew have not failed."""
    return Observed(
        {t: _count(survey, t, ("failed",)) for t in job.replicas},
        succeeded=_places(survey.of_state("succeeded")),
        active=_places(survey.of_state("active")),
        ready=_places(slot for slot in survey.of_state("active") if is_true(slot.pod, "Ready")),
        evicted=_places(slot for slot in survey.of_state("failed") if _reason(slot.pod) == "Evicted"),
    )


def count_for_status(job: TrainingJob, survey: Survey) -> dict[str, Counts]:
    """Count what users are shown: every Pod that failed."""
    return {t: _count(survey, t, ("failed", "restart")) for t in job.replicas}


def exit_code(job: TrainingJob, pod: ReadOnlyObject) -> int | None:
    """Give the exit code of the container that trains, None while it has none."""
    name = (main_container(job.framework, (pod.get("spec") or {}).get("containers") or ()) or {}).get("name")
    for container in (pod.get("status") or {}).get("containerStatuses") or ():
        ended = (container.get("state") or {}).get("terminated")
        if container.get("name") == name and ended:
            return int(ended.get("exitCode") or 0)
    return None


def is_live(pod: ReadOnlyObject) -> bool:
    """Tell whether a Pod runs or may run yet, and nobody asked it to go."""
    return phase_of(pod) in ("Pending", "Running", "Unknown") and not is_being_deleted(pod)


def phase_of(pod: ReadOnlyObject) -> str:
    """Give the phase; a Pod that nobody has looked at is Pending."""
    return (pod.get("status") or {}).get("phase") or "Pending"


def _state(job: TrainingJob, replica: Replica, pod: ReadOnlyObject | None) -> SlotState:
    if pod is None:
        return "missing"
    phase = phase_of(pod)
    if phase == "Succeeded":
        return "succeeded"
    if is_being_deleted(pod):
        return "leaving"
    if phase == "Failed":
        return "restart" if _is_retryable(job, replica, pod) else "failed"
    return "active" if phase == "Running" else "pending"


def _is_retryable(job: TrainingJob, replica: Replica, pod: ReadOnlyObject) -> bool:
    """Tell whether a failed Pod is made anew: lost though it may restart, or ended by a signal under ExitCode."""
    if replica.restart_policy == "ExitCode":
        code = exit_code(job, pod)
        # No exit code at all: the Pod failed around its container (evicted, its node lost), which says nothing of the
        # program.
        return code is None or code >= _RETRYABLE_FROM
    return replica.restart_policy in ("OnFailure", "Always") or job.framework.is_replaced(job, replica.type)


def _places(slots: Iterable[Slot]) -> frozenset[tuple[str, int]]:
    return frozenset((slot.type, slot.index) for slot in slots)


def _reason(pod: ReadOnlyObject) -> str:
    return (pod.get("status") or {}).get("reason") or ""


def _count(survey: Survey, type_: str, failed: Sequence[SlotState]) -> Counts:
    states = [slot.state for slot in survey.slots if slot.type == type_]
    return Counts(states.count("active"), states.count("succeeded"), sum(state in failed for state in states))
