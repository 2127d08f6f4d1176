"""Jobs (``batch/v1``): run Pods until enough of them have succeeded.

A Job ends once; afterwards only its time to live is looked at. What it comes to is decided first (``FailureTarget`` or
``SuccessCriteriaMet``), and it is ``Failed`` or ``Complete`` when the last Pod has ended. Names follow from what was
counted so far, so a stale view can make no Pod twice. Counting is in ``job_counting``, which Pods come next in
``job_successors``, what they look like in ``job_pods``.

Source: Kubernetes API reference, Job v1 batch; "Jobs"; ``k8s.io/kubernetes/pkg/controller/job``.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from beamhall.embedded.workloads.job_counting import count
from beamhall.embedded.workloads.job_draft import Draft
from beamhall.embedded.workloads.job_policies import met_success_rule
from beamhall.embedded.workloads.job_successors import create_missing, delete_surplus, wanted_pods
from beamhall.embedded.workloads.pods import restarts_of
from beamhall.kernel.clock import format_time, parse_time
from beamhall.kernel.kinds import JOB, POD
from beamhall.kernel.objects import ReadOnlyObject, is_being_deleted, key_of, uid_of
from beamhall.kernel.plan import Delete, Plan, View

_OURS = "kubernetes.io/job-controller"
_DEFAULT_BACKOFF_LIMIT = 6


def plan_job(job: ReadOnlyObject, view: View) -> Plan:
    """Decide the next step of a Job."""
    spec: Mapping[str, Any] = job.get("spec") or {}
    if is_being_deleted(job) or (spec.get("managedBy") or _OURS) != _OURS:
        return Plan()
    draft = Draft(job, view, view.controlled_by(POD, uid_of(job)), dict(job.get("status") or {}))
    if draft.condition("Complete") or draft.condition("Failed"):
        return _after_the_end(draft)
    fatal = count(draft)
    if not _is_decided(draft) and not _decide(draft, fatal):
        if spec.get("suspend"):
            return _suspend(draft)
        if _find_limits(draft):
            delete_surplus(draft)
            create_missing(draft)
            return draft.plan(f"{len(draft.active)} Pods are active, {draft.count('succeeded')} succeeded")
    return _end(draft)


def _is_decided(draft: Draft) -> bool:
    return bool(draft.condition("SuccessCriteriaMet") or draft.condition("FailureTarget"))


def _decide(draft: Draft, fatal: str) -> bool:
    """Decide whether the Job has come to something by how its Pods ended."""
    limit = draft.number("backoffLimit", _DEFAULT_BACKOFF_LIMIT)
    most = draft.spec.get("maxFailedIndexes")
    if fatal:
        return _fail(draft, "PodFailurePolicy", fatal)
    if draft.count("failed") > limit or _has_restarted_too_often(draft, limit):
        return _fail(draft, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    if most is not None and len(draft.failed) > int(most):
        message = "Job has exceeded the specified maximal number of failed indexes"
        return _fail(draft, "MaxFailedIndexesExceeded", message)
    rule = met_success_rule(draft.spec.get("successPolicy"), draft.succeeded)
    if rule is not None:
        return _succeed(draft, "SuccessPolicy", f"Matched rules at index {rule}")
    if draft.failed and len(draft.failed) + len(draft.succeeded) >= (draft.completions or 0):
        return _fail(draft, "FailedIndexes", "Job has failed indexes")
    if _is_complete(draft):
        return _succeed(draft, "CompletionsReached", "Reached expected number of succeeded pods")
    return False


def _find_limits(draft: Draft) -> bool:
    """Start, or start again, and see whether the time is over; give whether the Job may go on."""
    if any(c.get("type") == "Suspended" and c.get("status") == "True" for c in draft.status.get("conditions") or ()):
        draft.set("Suspended", "False", "JobResumed", "Job resumed")
        draft.emit("Resumed", "Job resumed")
        draft.status.pop("startTime", None)
    draft.status.setdefault("startTime", format_time(draft.now))
    deadline_s = draft.spec.get("activeDeadlineSeconds")
    if deadline_s is None:
        return True
    due = parse_time(draft.status["startTime"]) + timedelta(seconds=deadline_s)
    left_s = (due - draft.now).total_seconds()
    if left_s <= 0:
        _fail(draft, "DeadlineExceeded", "Job was active longer than specified deadline")
        return False
    draft.again_s.append(left_s)
    return True


def _has_restarted_too_often(draft: Draft, limit: int) -> bool:
    """Tell whether containers that are restarted in place failed too often."""
    template: Mapping[str, Any] = draft.spec.get("template") or {}
    if (template.get("spec") or {}).get("restartPolicy") != "OnFailure":
        return False
    return sum(map(restarts_of, draft.active)) >= max(limit, 1)


def _is_complete(draft: Draft) -> bool:
    if draft.completions is None:  # a work queue: the first success means that the queue is empty
        return draft.count("succeeded") > 0 and not draft.active
    return draft.count("succeeded") >= draft.completions


def _fail(draft: Draft, reason: str, message: str) -> bool:
    draft.set("FailureTarget", "True", reason, message)
    return True


def _succeed(draft: Draft, reason: str, message: str) -> bool:
    draft.set("SuccessCriteriaMet", "True", reason, message)
    return True


def _end(draft: Draft) -> Plan:
    """End what still runs, and when nothing does, the Job."""
    for pod in draft.active:
        draft.delete(pod)
    draft.set_or_drop("active", 0)
    draft.status["ready"] = 0
    if len(draft.pods) > sum(map(len, draft.finished.values())):
        return draft.plan("the Job is decided, and its last Pods are ending")
    draft.status["terminating"] = 0
    if success := draft.condition("SuccessCriteriaMet"):
        draft.set("Complete", "True", str(success["reason"]), str(success["message"]))
        draft.status["completionTime"] = format_time(draft.now)
        draft.emit("Completed", "Job completed")
    elif failure := draft.condition("FailureTarget"):
        draft.set("Failed", "True", str(failure["reason"]), str(failure["message"]))
        draft.emit(str(failure["reason"]), str(failure["message"]), "Warning")
    return _after_the_end(draft)


def _after_the_end(draft: Draft) -> Plan:
    for pod in draft.active:  # made on a stale view, or made by someone who took the Job's labels
        draft.delete(pod)
    ttl_s = draft.spec.get("ttlSecondsAfterFinished")
    if ttl_s is not None:
        ended = draft.condition("Complete") or draft.condition("Failed") or {}
        left_s = (parse_time(ended["lastTransitionTime"]) + timedelta(seconds=ttl_s) - draft.now).total_seconds()
        if left_s <= 0:
            draft.actions.append(Delete(key_of(JOB, draft.job), uid_of(draft.job), propagation="Background"))
        else:
            draft.again_s.append(left_s)
    return draft.plan("the Job is finished")


def _suspend(draft: Draft) -> Plan:
    for pod in draft.active:
        draft.delete(pod)
    draft.set_or_drop("active", 0)
    draft.status["ready"] = 0
    draft.status.pop("startTime", None)
    if not draft.condition("Suspended"):
        draft.set("Suspended", "True", "JobSuspended", "Job suspended")
        draft.emit("Suspended", "Job suspended")
    return draft.plan(f"the Job is suspended; it would run {wanted_pods(draft)} Pods")
