"""Jobs (``batch/v1``): run Pods until enough of them have succeeded.

A Job ends once; afterwards only its time to live is looked at. A finished Pod is counted in the same write that notes
its uid in ``status.uncountedTerminatedPods``, where it stays while the Pod is there: so it is counted once, though
Pods may be deleted at any time after. Names follow from what was counted so far, so a stale view can make no Pod
twice. What Pods look like is in ``job_pods``.

Source: Kubernetes API reference, Job v1 batch; "Jobs" (completions, backoff, suspension, indexed completion mode).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from beamhall.embedded.workloads.job_pods import build_pod, completion_index, pod_name
from beamhall.kernel.clock import format_time, parse_time
from beamhall.kernel.conditions import find_condition, make_condition, with_condition
from beamhall.kernel.difference import merge_patch_between
from beamhall.kernel.indexes import format_indexes, parse_indexes
from beamhall.kernel.kinds import JOB, POD
from beamhall.kernel.objects import ReadOnlyObject, is_being_deleted, key_of, metadata_of, name_of, uid_of
from beamhall.kernel.plan import Action, Create, Delete, Emit, Patch, Plan, View

_OURS = "kubernetes.io/job-controller"
_DEFAULT_BACKOFF_LIMIT = 6
_FIRST_RETRY_S = 10.0
_MAX_RETRY_S = 600.0
_MAX_CREATED_AT_ONCE = 500


@dataclass(slots=True)
class _Draft:
    """A Job's plan in the making."""

    job: ReadOnlyObject
    view: View
    spec: Mapping[str, Any]
    status: dict[str, Any]
    pods: Sequence[ReadOnlyObject]
    actions: list[Action]
    again_s: list[float]

    @property
    def now(self) -> datetime:
        return self.view.now

    @property
    def is_indexed(self) -> bool:
        return self.spec.get("completionMode") == "Indexed"

    @property
    def completions(self) -> int | None:
        value = self.spec.get("completions")
        return None if value is None else int(value)

    def limit(self, field: str, default: int) -> int:
        value = self.spec.get(field)
        return default if value is None else int(value)

    def has(self, type_: str) -> bool:
        condition = find_condition(self.status.get("conditions"), type_)
        return condition is not None and condition.get("status") == "True"

    def set(self, type_: str, status: Literal["True", "False"], reason: str, message: str) -> None:
        condition = make_condition(type_, status, reason, message, self.now)
        self.status["conditions"] = with_condition(self.status.get("conditions"), condition)

    def emit(self, reason: str, message: str, type_: Literal["Normal", "Warning"] = "Normal") -> None:
        self.actions.append(Emit(JOB, self.job, reason, message, type_))

    def delete(self, pod: ReadOnlyObject) -> None:
        self.actions.append(Delete(key_of(POD, pod), uid_of(pod)))
        self.emit("SuccessfulDelete", f"Deleted pod: {name_of(pod)}")

    def plan(self, why: str) -> Plan:
        before = self.job.get("status") or {}
        key = key_of(JOB, self.job)
        actions = self.actions
        if patch := merge_patch_between(before, self.status):
            # Counters are worked out from those that stand there: nobody may have changed them meanwhile.
            revision = str(metadata_of(self.job).get("resourceVersion") or "")
            write = Patch(key, {"status": patch}, subresource="status", uid=uid_of(self.job), revision=revision)
            actions = [write, *actions]
        return Plan(actions, min(self.again_s, default=None), why)


def plan_job(job: ReadOnlyObject, view: View) -> Plan:
    """Decide the next step of a Job."""
    spec: Mapping[str, Any] = job.get("spec") or {}
    if is_being_deleted(job) or (spec.get("managedBy") or _OURS) != _OURS:
        return Plan()
    draft = _Draft(job, view, spec, dict(job.get("status") or {}), view.controlled_by(POD, uid_of(job)), [], [])
    _count(draft)
    if draft.has("Complete") or draft.has("Failed"):
        return _after_the_end(draft)
    if spec.get("suspend"):
        return _suspend(draft)
    if draft.has("Suspended"):
        draft.set("Suspended", "False", "JobResumed", "Job resumed")
        draft.emit("Resumed", "Job resumed")
        draft.status.pop("startTime", None)
    draft.status.setdefault("startTime", format_time(view.now))
    if failure := _failure(draft):
        return _end(draft, "Failed", *failure)
    if _is_complete(draft):
        return _end(draft, "Complete", "CompletionsReached", "Reached expected number of succeeded pods")
    _run(draft)
    return draft.plan(f"{len(_active(draft))} Pods are active, {draft.status.get('succeeded', 0)} succeeded")


def _count(draft: _Draft) -> None:
    """Count Pods that finished, each once, and report how the others are."""
    status = draft.status
    noted: Mapping[str, Sequence[str]] = status.get("uncountedTerminatedPods") or {}
    kept: dict[str, list[str]] = {}
    indexes = parse_indexes(status.get("completedIndexes") or "")
    for phase, field in (("Succeeded", "succeeded"), ("Failed", "failed")):
        known = set(noted.get(field) or ())
        finished = [pod for pod in draft.pods if _phase(pod) == phase]
        # Our own deletions (suspension, scaling down) are no failures of the program.
        fresh = [
            pod for pod in finished if uid_of(pod) not in known and not (phase == "Failed" and is_being_deleted(pod))
        ]
        if draft.is_indexed and phase == "Succeeded":
            indexes |= {completion_index(pod) for pod in fresh}
            status[field] = len(indexes)
        else:
            status[field] = int(status.get(field) or 0) + len(fresh)
        if still_there := sorted({uid_of(pod) for pod in finished} & (known | {uid_of(pod) for pod in fresh})):
            kept[field] = still_there
        if not status[field]:
            del status[field]
    _set_or_drop(status, "uncountedTerminatedPods", kept)
    _set_or_drop(status, "completedIndexes", format_indexes(indexes))
    active = _active(draft)
    _set_or_drop(status, "active", len(active))
    status["ready"] = sum(_is_ready(pod) for pod in active)
    status["terminating"] = sum(is_being_deleted(pod) for pod in draft.pods)


def _set_or_drop(status: dict[str, Any], field: str, value: Any) -> None:
    if value:
        status[field] = value
    else:
        status.pop(field, None)


def _failure(draft: _Draft) -> tuple[str, str] | None:
    """Say why the Job has failed: reason and message; None if it has not."""
    limit = draft.limit("backoffLimit", _DEFAULT_BACKOFF_LIMIT)
    template: Mapping[str, Any] = draft.spec.get("template") or {}
    restarts = 0
    if (template.get("spec") or {}).get("restartPolicy") == "OnFailure":
        restarts = sum(_restarts(pod) for pod in _active(draft))
    if int(draft.status.get("failed") or 0) > limit or restarts >= max(limit, 1):
        return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    deadline_s = draft.spec.get("activeDeadlineSeconds")
    if deadline_s is not None:
        left_s = (parse_time(draft.status["startTime"]) + timedelta(seconds=deadline_s) - draft.now).total_seconds()
        if left_s <= 0:
            return "DeadlineExceeded", "Job was active longer than specified deadline"
        draft.again_s.append(left_s)
    return None


def _is_complete(draft: _Draft) -> bool:
    succeeded = int(draft.status.get("succeeded") or 0)
    if draft.completions is None:  # a work queue: the first success means that the queue is empty
        return succeeded > 0 and not draft.status.get("active")
    return succeeded >= draft.completions


def _end(draft: _Draft, type_: str, reason: str, message: str) -> Plan:
    """End the Job, and what still runs of it."""
    draft.set(type_, "True", reason, message)
    if type_ == "Complete":
        draft.status["completionTime"] = format_time(draft.now)
        draft.emit("Completed", "Job completed")
    else:
        draft.emit(reason, message, "Warning")
    return _after_the_end(draft)


def _after_the_end(draft: _Draft) -> Plan:
    for pod in _active(draft):
        draft.delete(pod)
    draft.status.pop("active", None)
    draft.status["ready"] = 0
    ttl_s = draft.spec.get("ttlSecondsAfterFinished")
    if ttl_s is not None:
        ended = find_condition(draft.status["conditions"], "Complete" if draft.has("Complete") else "Failed") or {}
        left_s = (parse_time(ended["lastTransitionTime"]) + timedelta(seconds=ttl_s) - draft.now).total_seconds()
        if left_s <= 0:
            draft.actions.append(Delete(key_of(JOB, draft.job), uid_of(draft.job), propagation="Background"))
        else:
            draft.again_s.append(left_s)
    return draft.plan("the Job is finished")


def _suspend(draft: _Draft) -> Plan:
    for pod in _active(draft):
        draft.delete(pod)
    draft.status.pop("active", None)
    draft.status["ready"] = 0
    draft.status.pop("startTime", None)
    if not draft.has("Suspended"):
        draft.set("Suspended", "True", "JobSuspended", "Job suspended")
        draft.emit("Suspended", "Job suspended")
    return draft.plan("the Job is suspended")


def _run(draft: _Draft) -> None:
    """Bring the number of Pods to what is wanted now."""
    active = _active(draft)
    parallelism = draft.limit("parallelism", 1)
    succeeded = int(draft.status.get("succeeded") or 0)
    if draft.completions is not None:
        wanted = min(parallelism, draft.completions - succeeded)
    else:
        wanted = min(parallelism, len(active)) if succeeded else parallelism
    for pod in active[wanted:]:
        draft.delete(pod)
    missing = min(wanted - len(active), _MAX_CREATED_AT_ONCE)
    if missing <= 0:
        return
    if (wait_s := _retry_wait_s(draft)) > 0:
        draft.again_s.append(wait_s)
        return
    for name, index in _next_names(draft, missing):
        draft.actions.append(Create(POD, build_pod(draft.job, name, index)))
        draft.emit("SuccessfulCreate", f"Created pod: {name}")


def _next_names(draft: _Draft, n: int) -> Sequence[tuple[str, int | None]]:
    """Choose names, and indexes of an indexed Job, for new Pods: the same ones for the same state."""
    taken = {name_of(pod) for pod in draft.pods}
    chosen: list[tuple[str, int | None]] = []
    if draft.is_indexed:
        busy = parse_indexes(draft.status.get("completedIndexes") or "") | {
            completion_index(pod) for pod in draft.pods if _phase(pod) not in ("Succeeded", "Failed")
        }
        for index in range(draft.completions or 0):
            if len(chosen) == n:
                break
            if index not in busy:
                attempt = sum(completion_index(pod) == index for pod in draft.pods)
                while (name := pod_name(draft.job, attempt, index)) in taken:
                    attempt += 1
                chosen.append((name, index))
        return chosen
    number = int(draft.status.get("succeeded") or 0) + int(draft.status.get("failed") or 0)
    while len(chosen) < n:
        name = pod_name(draft.job, number)
        number += 1
        if name not in taken:
            taken.add(name)
            chosen.append((name, None))
    return chosen


def _retry_wait_s(draft: _Draft) -> float:
    """Give how long to wait after failures: 10, 20, 40 ... 600 s from the last one, counted since the last success."""
    ends = [(_finished_at(pod), _phase(pod)) for pod in draft.pods if _phase(pod) in ("Succeeded", "Failed")]
    last_success = max((at for at, phase in ends if at and phase == "Succeeded"), default=None)
    failures = [at for at, phase in ends if at and phase == "Failed" and (last_success is None or at > last_success)]
    if not failures:
        return 0.0
    delay_s = min(_FIRST_RETRY_S * 2.0 ** min(len(failures) - 1, 16), _MAX_RETRY_S)
    return delay_s - (draft.now - max(failures)).total_seconds()


def _active(draft: _Draft) -> list[ReadOnlyObject]:
    return [pod for pod in draft.pods if _phase(pod) not in ("Succeeded", "Failed") and not is_being_deleted(pod)]


def _phase(pod: ReadOnlyObject) -> str:
    return (pod.get("status") or {}).get("phase") or "Pending"


def _is_ready(pod: ReadOnlyObject) -> bool:
    ready = find_condition((pod.get("status") or {}).get("conditions"), "Ready")
    return ready is not None and ready.get("status") == "True"


def _restarts(pod: ReadOnlyObject) -> int:
    status: Mapping[str, Any] = pod.get("status") or {}
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return sum(int(container.get("restartCount") or 0) for container in containers)


def _finished_at(pod: ReadOnlyObject) -> datetime | None:
    """Give when the last container of a Pod ended, None if that is not known."""
    status: Mapping[str, Any] = pod.get("status") or {}
    ends = [
        ended["finishedAt"]
        for container in status.get("containerStatuses") or ()
        if (ended := (container.get("state") or {}).get("terminated")) and ended.get("finishedAt")
    ]
    return max(map(parse_time, ends), default=None)
