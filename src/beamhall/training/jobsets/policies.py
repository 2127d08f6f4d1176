"""When a JobSet has succeeded or failed, and what may start: its policies over how its Jobs are. Pure arithmetic.

Source: kubernetes-sigs/jobset v0.10, ``pkg/controllers/{success_policy,failure_policy,depends_on,startup_policy}.go``.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from beamhall.kernel.conditions import conditions_of, find_condition, is_true
from beamhall.kernel.objects import ReadOnlyObject, annotations_of, is_being_deleted, labels_of, name_of
from beamhall.training.jobsets.jobs import ATTEMPT_LABEL, INDEX_LABEL, JOB_ATTEMPT, REPLICATED_LABEL
from beamhall.training.jobsets.spec import JobSet, ReplicatedJob


@dataclass(slots=True)
class Children:
    """The Jobs of a set.

    Attributes:
        active: Those of this attempt that have not ended.
        succeeded: Those of it that are complete.
        failed: Those of it that failed.
        previous: Those of an attempt before, and those whose own restart is due.
    """

    active: list[ReadOnlyObject] = field(default_factory=list)
    succeeded: list[ReadOnlyObject] = field(default_factory=list)
    failed: list[ReadOnlyObject] = field(default_factory=list)
    previous: list[ReadOnlyObject] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        """The names that are taken."""
        return {name_of(job) for job in (*self.active, *self.succeeded, *self.failed, *self.previous)}


def sort_children(status: Mapping[str, Any], jobs: Sequence[ReadOnlyObject]) -> Children:
    """Sort Jobs by how they are.

    Args:
        status: The JobSet's status: which attempt is on.
        jobs: Its Jobs.
    """
    children = Children()
    attempt = int(status.get("restarts") or 0)
    for job in jobs:
        if _number(labels_of(job).get(ATTEMPT_LABEL)) < attempt or _is_replaced(status, job):
            children.previous.append(job)
        elif is_true(job, "Complete"):
            children.succeeded.append(job)
        elif is_true(job, "Failed"):
            children.failed.append(job)
        elif is_being_deleted(job):
            children.previous.append(job)
        else:
            children.active.append(job)
    return children


def own_restarts(status: Mapping[str, Any], replicated: str, index: int) -> int:
    """Give how often one Job alone was restarted in this attempt."""
    counts = restarts_by_index(status, replicated)
    return counts[index] if index < len(counts) else 0


def restarts_by_index(status: Mapping[str, Any], replicated: str) -> list[int]:
    """Give how often each Job of a template was restarted alone; shorter than the replicas where that is zero."""
    for entry in status.get("replicatedJobsStatus") or ():
        if entry.get("name") == replicated:
            return [int(count) for count in entry.get("jobRestarts") or ()]
    return []


def _is_replaced(status: Mapping[str, Any], job: ReadOnlyObject) -> bool:
    replicated, index = replica_of(job)
    return _number(annotations_of(job).get(JOB_ATTEMPT)) < own_restarts(status, replicated, index)


def replica_of(job: ReadOnlyObject) -> tuple[str, int]:
    """Give which replicated Job, and which replica of it, a Job is."""
    labels = labels_of(job)
    return labels.get(REPLICATED_LABEL, ""), _number(labels.get(INDEX_LABEL))


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0


def count(job_set: JobSet, children: Children) -> list[dict[str, Any]]:
    """Count the Jobs of each template, as ``status.replicatedJobsStatus`` tells them."""
    return [_count(replicated, children) for replicated in job_set.replicated]


def _count(replicated: ReplicatedJob, children: Children) -> dict[str, Any]:
    def mine(jobs: Sequence[ReadOnlyObject]) -> list[ReadOnlyObject]:
        return [job for job in jobs if labels_of(job).get(REPLICATED_LABEL) == replicated.name]

    active = mine(children.active)
    return {
        "name": replicated.name,
        "ready": sum(map(_is_ready, active)),
        "succeeded": len(mine(children.succeeded)),
        "failed": len(mine(children.failed)),
        "active": sum(bool((job.get("status") or {}).get("active")) for job in active),
        "suspended": sum(bool(job["spec"].get("suspend")) for job in active),
    }


def _is_ready(job: ReadOnlyObject) -> bool:
    """Tell whether all Pods that a Job runs at once are ready or have succeeded."""
    spec, status = job["spec"], job.get("status") or {}
    wanted = 1 if spec.get("parallelism") is None else int(spec["parallelism"])
    if spec.get("completions") is not None:
        wanted = min(wanted, int(spec["completions"]))
    return int(status.get("succeeded") or 0) + int(status.get("ready") or 0) >= wanted


def may_start(job_set: JobSet, replicated: ReplicatedJob, counts: Mapping[str, Mapping[str, Any]]) -> bool:
    """Tell whether everything that a replicated Job waits for has come."""
    for dependency in replicated.depends_on:
        other, there = job_set.find(dependency.name), counts.get(dependency.name)
        if other is None or there is None:
            return False
        reached = there["succeeded"]
        if dependency.status == "Ready":
            reached += there["ready"]  # upstream counts failed ones too, but a failed Job restarts or fails the set
        if reached < other.replicas:
            return False
    return True


def has_started(replicated: ReplicatedJob, there: Mapping[str, Any]) -> bool:
    """Tell whether all Jobs of a template are ready or have ended."""
    return bool(there["ready"] + there["succeeded"] >= replicated.replicas)


def has_succeeded(job_set: JobSet, children: Children) -> bool:
    """Tell whether the Jobs that the success policy looks at are complete."""
    policy: Mapping[str, Any] = job_set.spec.get("successPolicy") or {}
    targets = policy.get("targetReplicatedJobs") or [replicated.name for replicated in job_set.replicated]
    n_succeeded = sum(labels_of(job).get(REPLICATED_LABEL) in targets for job in children.succeeded)
    if policy.get("operator") == "Any":
        return n_succeeded > 0
    n_wanted = sum(replicated.replicas for replicated in job_set.replicated if replicated.name in targets)
    return bool(children.succeeded) and n_succeeded >= n_wanted


def failure_action(job_set: JobSet, failed: Sequence[ReadOnlyObject]) -> tuple[str, ReadOnlyObject]:
    """Find what the failure policy says of the Jobs that failed.

    Returns:
        The action (empty: there is no policy) and the Job that it is for.
    """
    ordered = sorted(failed, key=_failed_at)
    policy: Mapping[str, Any] | None = job_set.spec.get("failurePolicy")
    if policy is None:
        return "", ordered[0]
    for rule in policy.get("rules") or ():
        for job in ordered:
            if _applies(rule, job):
                return str(rule.get("action")), job
    return "RestartJobSet", ordered[0]


def _failed_at(job: ReadOnlyObject) -> str:
    return str((find_condition(conditions_of(job), "Failed") or {}).get("lastTransitionTime") or "")


def _applies(rule: Mapping[str, Any], job: ReadOnlyObject) -> bool:
    failure = find_condition(conditions_of(job), "Failed") or {}
    reasons = rule.get("onJobFailureReasons")
    patterns = rule.get("onJobFailureMessagePatterns")
    targets = rule.get("targetReplicatedJobs")
    message = str(failure.get("message") or "")
    return (
        (not reasons or failure.get("reason") in reasons)
        and (not patterns or any(re.search(pattern, message) for pattern in patterns))
        and (not targets or labels_of(job).get(REPLICATED_LABEL) in targets)
    )
