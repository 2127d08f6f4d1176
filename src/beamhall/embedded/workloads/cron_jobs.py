"""CronJobs (``batch/v1``): a Job at each time of a schedule.

A Job's name follows from its time, ``<cronjob>-<minutes since 1970>``, so none is made twice. What was missed while
nobody looked is made up for once, by the latest time, if that is not too long ago.

Source: Kubernetes "CronJob"; ``k8s.io/kubernetes/pkg/controller/cronjob``.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from beamhall.kernel.clock import format_time, parse_time
from beamhall.kernel.conditions import conditions_of
from beamhall.kernel.difference import merge_patch_between
from beamhall.kernel.kinds import CRON_JOB, JOB
from beamhall.kernel.objects import (
    Object,
    ReadOnlyObject,
    is_being_deleted,
    key_of,
    metadata_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from beamhall.kernel.plan import Action, Create, Delete, Emit, Patch, Plan, Require, View
from beamhall.kernel.schedules import Schedule, parse_schedule

SCHEDULED_AT = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_MANY = 100
_MINUTE_S = 60


@dataclass(slots=True)
class _Draft:
    """A CronJob's plan in the making."""

    cron_job: ReadOnlyObject
    now: datetime
    jobs: Sequence[ReadOnlyObject]
    status: dict[str, Any]
    actions: list[Action] = field(default_factory=list)

    @property
    def spec(self) -> Mapping[str, Any]:
        spec: Mapping[str, Any] = self.cron_job["spec"]
        return spec

    @property
    def active(self) -> list[ReadOnlyObject]:
        """The Jobs of the schedule that run; those that people made of the CronJob's template stand apart."""
        prefix = f"{name_of(self.cron_job)}-"
        return [
            job
            for job in self.jobs
            if name_of(job).removeprefix(prefix).isdecimal() and not _end_of(job) and not is_being_deleted(job)
        ]

    def emit(self, reason: str, message: str, *, is_warning: bool = False) -> None:
        self.actions.append(Emit(CRON_JOB, self.cron_job, reason, message, "Warning" if is_warning else "Normal"))

    def delete(self, job: ReadOnlyObject) -> None:
        self.actions.append(Delete(key_of(JOB, job), uid_of(job), propagation="Background"))
        self.emit("SuccessfulDelete", f"Deleted job {name_of(job)}")

    def plan(self, again_s: float | None, why: str) -> Plan:
        before = self.cron_job.get("status") or {}
        if patch := merge_patch_between(before, self.status):
            key, uid = key_of(CRON_JOB, self.cron_job), uid_of(self.cron_job)
            # After the Jobs: a time counts as done when its Job is there.
            self.actions.append(Patch(key, {"status": patch}, subresource="status", uid=uid))
        return Plan(self.actions, again_s, why)


def plan_cron_job(cron_job: ReadOnlyObject, view: View) -> Plan:
    """Decide the next step of a CronJob."""
    if is_being_deleted(cron_job):
        return Plan()
    jobs = view.controlled_by(JOB, uid_of(cron_job))
    draft = _Draft(cron_job, view.now, jobs, dict(cron_job.get("status") or {}))
    _follow_jobs(draft)
    _forget_old_jobs(draft)
    if draft.spec.get("suspend"):
        return draft.plan(None, "it is suspended")
    try:
        schedule = parse_schedule(str(draft.spec.get("schedule")), str(draft.spec.get("timeZone") or ""))
    except ValueError as error:  # accepted by an older version, or by a machine that knows more time zones
        draft.emit(
            "UnparseableSchedule", f"unparseable schedule {draft.spec.get('schedule')!r}: {error}", is_warning=True
        )
        return draft.plan(None, "its schedule is not understood")
    due = _latest_due(draft, schedule)
    why = "nothing is due" if due is None else _start(draft, due)
    following = schedule.following(_since(draft), draft.now)
    # A clock that was set forward is noticed within a minute.
    wait_s = min((following - draft.now).total_seconds(), _MINUTE_S) if following else None
    return draft.plan(wait_s, why)


def _follow_jobs(draft: _Draft) -> None:
    """Report which Jobs run, and when one last succeeded; say when one ends."""
    noted = {reference.get("uid"): reference for reference in draft.status.get("active") or ()}
    for job in draft.jobs:
        if not (end := _end_of(job)):
            continue
        if end == "Complete" and (ended := (job.get("status") or {}).get("completionTime")):
            last = draft.status.get("lastSuccessfulTime")
            if last is None or parse_time(ended) > parse_time(last):
                draft.status["lastSuccessfulTime"] = ended
        if uid_of(job) in noted:
            draft.emit("SawCompletedJob", f"Saw completed job: {name_of(job)}, condition: {end}")
    present = {uid_of(job) for job in draft.jobs}
    for uid, reference in noted.items():
        if uid not in present:
            draft.emit("MissingJob", f"Active job went missing: {reference.get('name')}")
    _set_active(draft, draft.active)


def _set_active(draft: _Draft, jobs: Sequence[ReadOnlyObject]) -> None:
    if jobs:
        draft.status["active"] = [_reference(job) for job in jobs]
    else:
        draft.status.pop("active", None)


def _reference(job: ReadOnlyObject) -> Object:
    reference = {"apiVersion": JOB.api_version, "kind": JOB.kind, "name": name_of(job), "namespace": namespace_of(job)}
    return reference | {"uid": uid_of(job)}


def _forget_old_jobs(draft: _Draft) -> None:
    """Delete the oldest Jobs that ended, beyond those that are kept to look at."""
    for end, limit in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
        kept = draft.spec.get(limit)
        if kept is None:
            continue
        ended = [job for job in draft.jobs if _end_of(job) == end and not is_being_deleted(job)]
        ended.sort(key=lambda job: (str((job.get("status") or {}).get("startTime") or ""), name_of(job)))
        for job in ended[: max(len(ended) - int(kept), 0)]:
            draft.delete(job)


def _since(draft: _Draft) -> datetime:
    """Give from when on times have not been dealt with."""
    return parse_time(draft.status.get("lastScheduleTime") or metadata_of(draft.cron_job)["creationTimestamp"])


def _latest_due(draft: _Draft, schedule: Schedule) -> datetime | None:
    """Give the latest time that is due and has not been dealt with, if it is within the starting deadline."""
    latest = schedule.latest(_since(draft), draft.now)
    deadline_s = draft.spec.get("startingDeadlineSeconds")
    since = _since(draft)
    if deadline_s is not None:
        since = max(since, draft.now - timedelta(seconds=int(deadline_s)))
    if latest is None or latest <= since:
        return None
    if all(time <= draft.now for time in islice(schedule.times(since), _MANY + 1)):
        message = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        draft.emit("TooManyMissedTimes", message, is_warning=True)
    return latest


def _start(draft: _Draft, due: datetime) -> str:
    """Make the Job of a time, if those that run allow it."""
    policy, active = draft.spec.get("concurrencyPolicy") or "Allow", draft.active
    if policy == "Forbid" and active:
        draft.emit(
            "JobAlreadyActive", "Not starting job because prior execution is running and concurrency policy is Forbid"
        )
        return "an earlier Job still runs"
    if policy == "Replace":
        for job in active:
            draft.delete(job)
        active = []
    job = build_job(draft.cron_job, due)
    revision = str(metadata_of(draft.cron_job).get("resourceVersion") or "")
    # Whoever does not know the last time yet would make its Job again, if that has been done and deleted.
    draft.actions.append(Require(key_of(CRON_JOB, draft.cron_job), uid_of(draft.cron_job), revision))
    draft.actions.append(Create(JOB, job))
    draft.emit("SuccessfulCreate", f"Created job {name_of(job)}")
    draft.status["lastScheduleTime"] = format_time(due)
    _set_active(draft, active)
    return f"the time {format_time(due)} has come"


def job_name(cron_job: ReadOnlyObject, due: datetime) -> str:
    """Name the Job of a time."""
    return f"{name_of(cron_job)}-{int(due.timestamp()) // _MINUTE_S}"


def build_job(cron_job: ReadOnlyObject, due: datetime) -> Object:
    """Make the Job of a time."""
    template: Mapping[str, Any] = copy.deepcopy(cron_job["spec"].get("jobTemplate") or {})
    written = template.get("metadata") or {}
    return {
        "apiVersion": JOB.api_version,
        "kind": JOB.kind,
        "metadata": {
            "name": job_name(cron_job, due),
            "namespace": namespace_of(cron_job),
            "labels": dict(written.get("labels") or {}),
            "annotations": {**(written.get("annotations") or {}), SCHEDULED_AT: _local(cron_job, due)},
            "ownerReferences": [owner_reference(CRON_JOB, cron_job)],
        },
        "spec": template.get("spec") or {},
    }


def _local(cron_job: ReadOnlyObject, due: datetime) -> str:
    """Write a time in the zone of the schedule, as upstream does in the annotation."""
    zone = parse_schedule("@daily", str(cron_job["spec"].get("timeZone") or "")).zone
    return due.astimezone(zone).isoformat(timespec="seconds").replace("+00:00", "Z")


def _end_of(job: ReadOnlyObject) -> str:
    """Give how a Job ended, ``Complete`` or ``Failed``; empty while it has not."""
    for condition in conditions_of(job):
        if condition.get("type") in ("Complete", "Failed") and condition.get("status") == "True":
            return str(condition["type"])
    return ""
