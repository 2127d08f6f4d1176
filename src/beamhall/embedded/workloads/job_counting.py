"""How a Job's Pods ended, each counted once, and how the others are.

A Pod is counted in the write that notes its uid in ``status.uncountedTerminatedPods``, where it stays while the Pod is
there. So a Pod needs no finalizer: it may go at any time after. Pods that are deleted while they run do not count.

Source: Kubernetes API reference, JobStatus; "Jobs", section "Backoff limit per index".
"""

from collections.abc import Mapping, Sequence

from beamhall.embedded.workloads.job_draft import Draft
from beamhall.embedded.workloads.job_pods import completion_index, failures_before
from beamhall.embedded.workloads.job_policies import judge_failure
from beamhall.embedded.workloads.pods import is_ready, phase_of
from beamhall.kernel.indexes import format_indexes, parse_indexes
from beamhall.kernel.objects import ReadOnlyObject, is_being_deleted, uid_of


def count(draft: Draft) -> str:
    """Count the Pods that finished, and report how the others are.

    Returns:
        Why the Job must fail by its policy at once, for people; empty: it need not.
    """
    status = draft.status
    noted: Mapping[str, Sequence[str]] = status.get("uncountedTerminatedPods") or {}
    n_indexes = draft.completions or 0
    draft.succeeded = {index for index in parse_indexes(status.get("completedIndexes") or "") if index < n_indexes}
    draft.failed = {index for index in parse_indexes(status.get("failedIndexes") or "") if index < n_indexes}
    succeeded = _fresh(draft, "Succeeded", noted.get("succeeded") or ())
    failed, fatal = _judge(draft, _fresh(draft, "Failed", noted.get("failed") or ()))
    if draft.is_indexed:
        draft.succeeded |= {index for pod in succeeded if (index := completion_index(pod)) in range(n_indexes)}
        draft.failed -= draft.succeeded
        draft.set_or_drop("succeeded", len(draft.succeeded))
        draft.set_or_drop("completedIndexes", format_indexes(draft.succeeded))
        draft.set_or_drop("failedIndexes", format_indexes(draft.failed))
    else:
        draft.set_or_drop("succeeded", draft.count("succeeded") + len(succeeded))
    draft.set_or_drop("failed", draft.count("failed") + len(failed))
    kept = {
        "succeeded": _still_there(draft, [*(noted.get("succeeded") or ()), *map(uid_of, succeeded)]),
        "failed": _still_there(draft, [*(noted.get("failed") or ()), *map(uid_of, failed)]),
    }
    draft.set_or_drop("uncountedTerminatedPods", {name: uids for name, uids in kept.items() if uids})
    draft.set_or_drop("active", len(draft.active))
    status["ready"] = sum(map(is_ready, draft.active))
    status["terminating"] = sum(is_being_deleted(pod) for pod in draft.pods)
    return fatal


def is_ignored(draft: Draft, pod: ReadOnlyObject) -> bool:
    """Tell whether the policy passes over a Pod's failure."""
    return judge_failure(draft.spec.get("podFailurePolicy"), pod).action == "Ignore"


def _fresh(draft: Draft, phase: str, known: Sequence[str]) -> list[ReadOnlyObject]:
    """Give the Pods that ended so and are not counted; one that fails because it was deleted has not failed."""
    return [
        pod
        for pod in draft.pods
        if phase_of(pod) == phase and uid_of(pod) not in known and not (phase == "Failed" and is_being_deleted(pod))
    ]


def _judge(draft: Draft, failed: Sequence[ReadOnlyObject]) -> tuple[list[ReadOnlyObject], str]:
    """Give the failures that count, and why one of them ends the Job. Indexes that have failed for good are noted."""
    counted: list[ReadOnlyObject] = []
    fatal = ""
    limit = draft.limit_per_index
    for pod in failed:
        verdict = judge_failure(draft.spec.get("podFailurePolicy"), pod)
        if verdict.action == "Ignore":
            continue
        counted.append(pod)
        if verdict.action == "FailJob":
            fatal = fatal or verdict.message
        elif limit is not None and (verdict.action == "FailIndex" or failures_before(pod) >= limit):
            draft.failed.add(completion_index(pod))
    draft.failed.discard(-1)
    return counted, fatal


def _still_there(draft: Draft, uids: Sequence[str]) -> list[str]:
    return sorted(set(uids) & set(map(uid_of, draft.pods)))
