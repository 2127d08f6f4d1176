"""The planner of JobSets: what to do next about one set of Jobs.

Each call looks at the set and its Jobs as they are. A set ends once: after Completed or Failed only what still runs is
taken away. A restart is a number in the status that goes up; Jobs of a lower number are then deleted, and when their
names are free they are made anew. The parts: ``spec`` (reading), ``jobs`` (what is made), ``policies`` (what follows
from how Jobs are).

Source: kubernetes-sigs/jobset v0.10, ``pkg/controllers/jobset_controller.go``; messages: ``pkg/constants``.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

from beamhall.kernel.clock import parse_time
from beamhall.kernel.conditions import Status, find_condition
from beamhall.kernel.kinds import JOB, JOB_SET, PERSISTENT_VOLUME_CLAIM, SERVICE
from beamhall.kernel.objects import ReadOnlyObject, is_being_deleted, name_of
from beamhall.kernel.plan import Plan, View
from beamhall.training.jobsets import policies
from beamhall.training.jobsets.jobs import build_claims, build_job, build_service, resume_patch
from beamhall.training.jobsets.policies import Children, sort_children
from beamhall.training.jobsets.spec import JobSet, ReplicatedJob, read_job_set
from beamhall.training.object_draft import ConditionsDraft

COMPLETED = "Completed"
FAILED = "Failed"
_SUSPENDED = "Suspended"
_IN_PROGRESS = "StartupPolicyInProgress"
_STARTED = "StartupPolicyCompleted"
_TAKEN_RETRY_S = 1.0
_OPPOSITE = {_IN_PROGRESS: _STARTED, _STARTED: _IN_PROGRESS}

Counts = Mapping[str, Mapping[str, Any]]


class _Draft(ConditionsDraft):
    """A JobSet's plan in the making."""

    def __init__(self, job_set: JobSet, view: View) -> None:
        super().__init__(JOB_SET, job_set.object, view)
        self.job_set = job_set

    def turn(
        self, type_: str, status: Status, reason: str, message: str, event: Literal["Normal", "Warning"] = "Normal"
    ) -> None:
        """Set a condition whose status is another, and tell of it; what was never true is not told to be false."""
        known = find_condition(self.status.get("conditions"), type_)
        if (known is None and status != "True") or (known is not None and known.get("status") == status):
            return
        opposite = _OPPOSITE.get(type_, "")
        if status == "True" and self.is_true(opposite):
            self.set_condition(opposite, "False", reason, message)
        self.set_condition(type_, status, reason, message)
        self.emit(reason, message, event)


def plan_job_set(obj: ReadOnlyObject, view: View) -> Plan:
    """Decide the next step of a JobSet."""
    job_set = read_job_set(obj)
    if is_being_deleted(obj):
        return Plan(why="the set is being deleted")
    if not job_set.is_ours:
        return Plan(why=f"the set is managed by {job_set.spec.get('managedBy')}")
    draft = _Draft(job_set, view)
    draft.status.setdefault("restarts", 0)
    children = sort_children(draft.status, view.controlled_by(JOB, job_set.uid))
    _report(draft, children)
    if draft.is_true(COMPLETED) or draft.is_true(FAILED):
        return _after_the_end(draft, children)
    for job in children.previous:
        if not is_being_deleted(job):
            draft.delete(JOB, job, "Foreground")
    if children.failed:
        _handle_failure(draft, children)
        return draft.plan(f"{len(children.failed)} Jobs failed")
    if policies.has_succeeded(job_set, children):
        draft.turn(COMPLETED, "True", "AllJobsCompleted", "jobset completed successfully")
        draft.status["terminalState"] = COMPLETED
        return draft.plan("the set is complete")
    _make_surroundings(draft)
    counts = {entry["name"]: entry for entry in draft.status["replicatedJobsStatus"]}
    _make_jobs(draft, children, counts)
    _suspend_or_resume(draft, children, counts)
    return draft.plan(f"{len(children.active)} Jobs are active, {len(children.succeeded)} are complete")


def _report(draft: _Draft, children: Children) -> None:
    """Write how many Jobs of each template are how; what was restarted alone stays counted."""
    counts = policies.count(draft.job_set, children)
    for entry in counts:
        if alone := policies.restarts_by_index(draft.status, entry["name"]):
            entry["jobRestarts"] = alone
    draft.status["replicatedJobsStatus"] = counts


def _after_the_end(draft: _Draft, children: Children) -> Plan:
    """Take away what still runs, and the set itself when its time to live is over."""
    for job in (*children.active, *children.previous):
        if not is_being_deleted(job):
            draft.delete(JOB, job, "Foreground")
    ttl_s = draft.job_set.spec.get("ttlSecondsAfterFinished")
    if ttl_s is not None:
        conditions = draft.status.get("conditions")
        ended = next(c for c in conditions or () if c["type"] in (COMPLETED, FAILED) and c["status"] == "True")
        due = parse_time(ended["lastTransitionTime"]) + timedelta(seconds=ttl_s)
        left_s = (due - draft.view.now).total_seconds()
        if left_s <= 0:
            draft.delete(JOB_SET, draft.object, "Foreground")
        else:
            draft.again_after(left_s)
    return draft.plan("the set is finished")


def _handle_failure(draft: _Draft, children: Children) -> None:
    action, job = policies.failure_action(draft.job_set, children.failed)
    which = f"(first failed job: {name_of(job)})"
    if not action:
        return _fail(draft, "FailedJobs", f"jobset failed due to one or more job failures {which}")
    if action == "FailJobSet":
        return _fail(draft, "FailJobSetFailurePolicyAction", f"applying FailJobSet failure policy action {which}")
    is_counted = not action.endswith("IgnoreMaxRestarts")
    most = int((draft.job_set.spec.get("failurePolicy") or {}).get("maxRestarts") or 0)
    if is_counted and int(draft.status.get("restartsCountTowardsMax") or 0) >= most:
        return _fail(draft, "ReachedMaxRestarts", f"jobset failed due to reaching max number of restarts {which}")
    if is_counted:
        draft.status["restartsCountTowardsMax"] = int(draft.status.get("restartsCountTowardsMax") or 0) + 1
    if action.startswith("RestartJobSet"):
        draft.status["restarts"] += 1
        for entry in draft.status["replicatedJobsStatus"]:
            entry.pop("jobRestarts", None)
    else:
        _count_own_restart(draft, job)
    draft.emit(f"{action}FailurePolicyAction", f"applying {action} failure policy action {which}", "Warning")
    return None


def _fail(draft: _Draft, reason: str, message: str) -> None:
    draft.turn(FAILED, "True", reason, message, "Warning")
    draft.status["terminalState"] = FAILED


def _count_own_restart(draft: _Draft, job: ReadOnlyObject) -> None:
    name, index = policies.replica_of(job)
    for entry in draft.status["replicatedJobsStatus"]:
        if entry["name"] == name:
            counts = [*entry.get("jobRestarts", ()), *[0] * (index + 1)][
                : max(index + 1, len(entry.get("jobRestarts", ())))
            ]
            counts[index] += 1
            entry["jobRestarts"] = counts


def _make_surroundings(draft: _Draft) -> None:
    """Make the Service and the volume claims that are missing; the Pods need both when they start."""
    job_set, view = draft.job_set, draft.view
    if job_set.subdomain and view.get(SERVICE, job_set.subdomain, job_set.namespace) is None:
        draft.create(SERVICE, build_service(job_set))
    for claim in build_claims(job_set):
        if view.get(PERSISTENT_VOLUME_CLAIM, name_of(claim), job_set.namespace) is None:
            draft.create(PERSISTENT_VOLUME_CLAIM, claim)


def _make_jobs(draft: _Draft, children: Children, counts: Counts) -> None:
    """Make the Jobs that are missing and need not wait; a name is free when its Job before is gone."""
    job_set = draft.job_set
    strategy = (job_set.spec.get("failurePolicy") or {}).get("restartStrategy")
    if children.previous and strategy == "BlockingRecreate":
        return
    waits_for_order = job_set.in_order and not job_set.suspend
    for replicated in job_set.replicated:
        if not policies.may_start(job_set, replicated, counts):
            continue
        if waits_for_order and policies.has_started(replicated, counts[replicated.name]):
            continue
        _make_replicas(draft, replicated, children)
        if waits_for_order:
            message = "in order startup policy is in progress"
            draft.turn(_IN_PROGRESS, "True", "InOrderStartupPolicyInProgress", message)
            return
    if waits_for_order:
        message = "in order startup policy has completed"
        draft.turn(_STARTED, "True", "InOrderStartupPolicyCompleted", message)


def _make_replicas(draft: _Draft, replicated: ReplicatedJob, children: Children) -> None:
    job_set, taken = draft.job_set, children.names
    for index in range(replicated.replicas):
        name = job_set.job_name(replicated.name, index)
        if name in taken:
            continue
        if draft.view.get(JOB, name, job_set.namespace) is not None:  # another's, such as of a set that is just gone
            draft.again_after(_TAKEN_RETRY_S)
        else:
            own = policies.own_restarts(draft.status, replicated.name, index)
            draft.create(JOB, build_job(job_set, replicated, index, (draft.status["restarts"], own)))


def _suspend_or_resume(draft: _Draft, children: Children, counts: Counts) -> None:
    job_set = draft.job_set
    if job_set.suspend:
        for job in children.active:
            if not job["spec"].get("suspend"):
                draft.patch(JOB, job, {"spec": {"suspend": True}})
        draft.turn(_SUSPENDED, "True", "SuspendedJobs", "jobset is suspended")
        return
    for replicated in job_set.replicated:
        if not policies.may_start(job_set, replicated, counts):
            continue
        if job_set.in_order and policies.has_started(replicated, counts[replicated.name]):
            continue
        for job in children.active:
            if policies.replica_of(job)[0] == replicated.name and job["spec"].get("suspend"):
                draft.patch(JOB, job, resume_patch(job, replicated))
        if job_set.in_order:
            return
    draft.turn(_SUSPENDED, "False", "ResumeJobs", "jobset is resumed")
