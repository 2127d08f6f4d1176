"""How a Job's Pods ended, each counted once, and how the others are.

An end is counted in the write that notes the Pod's number in an annotation of the Job; runs of numbers stay small,
however many Pods there are. (A success of an index is noted as such.) So a Pod needs no finalizer: it may go at any
time after. Pods that are deleted while they run do not count.

Source: Kubernetes API reference, JobStatus; "Jobs", section "Backoff limit per index".
"""

from collections.abc import Sequence

from beamhall.embedded.workloads.job_draft import Draft
from beamhall.embedded.workloads.job_pods import completion_index, failures_before, number_of
from beamhall.embedded.workloads.job_policies import judge_failure
from beamhall.embedded.workloads.pods import is_ready
from beamhall.kernel.indexes import format_indexes, parse_indexes
from beamhall.kernel.objects import ReadOnlyObject, is_being_deleted


def count(draft: Draft) -> str:
    """Count the Pods that finished, and report how the others are.

    Returns:
        Why the Job must fail by its policy at once, for people; empty: it need not.
    """
    status = draft.status
    n_indexes = draft.completions or 0
    draft.succeeded = {index for index in parse_indexes(status.get("completedIndexes") or "") if index < n_indexes}
    draft.failed = {index for index in parse_indexes(status.get("failedIndexes") or "") if index < n_indexes}
    failed, fatal = _judge(draft, _fresh_failures(draft))
    draft.counted |= set(map(number_of, failed))
    if draft.is_indexed:
        done = map(completion_index, draft.finished["Succeeded"])
        draft.succeeded |= {index for index in done if 0 <= index < n_indexes}
        draft.failed -= draft.succeeded
        draft.set_or_drop("succeeded", len(draft.succeeded))
        draft.set_or_drop("completedIndexes", format_indexes(draft.succeeded))
        draft.set_or_drop("failedIndexes", format_indexes(draft.failed))
    else:
        numbers = {number_of(pod) for pod in draft.finished["Succeeded"]} - draft.counted - {-1}
        draft.counted |= numbers
        draft.set_or_drop("succeeded", draft.count("succeeded") + len(numbers))
    draft.set_or_drop("failed", draft.count("failed") + len(failed))
    draft.set_or_drop("active", len(draft.active))
    status["ready"] = sum(map(is_ready, draft.active))
    status["terminating"] = sum(is_being_deleted(pod) for pod in draft.pods)
    return fatal


def is_ignored(draft: Draft, pod: ReadOnlyObject) -> bool:
    """Tell whether the policy passes over a Pod's failure."""
    return judge_failure(draft.spec.get("podFailurePolicy"), pod).action == "Ignore"


def _fresh_failures(draft: Draft) -> list[ReadOnlyObject]:
    """Give the Pods that failed and are not counted; one that fails because it was deleted has not failed."""
    known = draft.counted | {-1}
    return [pod for pod in draft.finished["Failed"] if number_of(pod) not in known and not is_being_deleted(pod)]


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
