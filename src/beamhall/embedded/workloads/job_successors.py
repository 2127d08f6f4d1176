"""Which Pods a Job makes next, under which names, and how long it waits after failures.

Source: Kubernetes "Jobs", sections "Parallel execution", "Pod backoff failure policy", "Pod replacement policy".
"""

from collections.abc import Iterator, Sequence

from beamhall.embedded.workloads.job_counting import is_ignored
from beamhall.embedded.workloads.job_draft import Draft
from beamhall.embedded.workloads.job_pods import (
    FAILURES,
    IGNORED_FAILURES,
    NUMBER,
    build_pod,
    completion_index,
    failures_before,
    finished_at,
    ignored_before,
    number_for,
    pod_name,
)
from beamhall.embedded.workloads.pods import FINISHED, phase_of
from beamhall.embedded.workloads.ranking import first_to_delete
from beamhall.kernel.kinds import POD
from beamhall.kernel.objects import Object, ReadOnlyObject, is_being_deleted, name_of
from beamhall.kernel.plan import Create

_FIRST_RETRY_S = 10.0
_MAX_RETRY_S = 360.0
_MAX_CREATED_AT_ONCE = 500


def wanted_pods(draft: Draft) -> int:
    """Give how many Pods shall run now."""
    parallelism = draft.number("parallelism", 1)
    succeeded = draft.count("succeeded")
    if draft.completions is not None:
        return max(0, min(parallelism, draft.completions - succeeded - len(draft.failed)))
    return min(parallelism, len(draft.active)) if succeeded else parallelism


def delete_surplus(draft: Draft) -> None:
    """End Pods that are too many: of indexes that are not wanted, second ones of an index, then any."""
    active = draft.active
    useless = _useless(draft, active)
    left = [pod for pod in active if pod not in useless]
    surplus = max(len(left) - wanted_pods(draft), 0)
    for pod in [*useless, *first_to_delete(left, left, draft.now)[:surplus]]:
        draft.delete(pod)


def _useless(draft: Draft, active: Sequence[ReadOnlyObject]) -> list[ReadOnlyObject]:
    if not draft.is_indexed:
        return []
    done = draft.succeeded | draft.failed
    seen: set[int] = set()
    useless = []
    for pod in active:
        index = completion_index(pod)
        if index in done or index in seen or not 0 <= index < (draft.completions or 0):
            useless.append(pod)
        seen.add(index)
    return useless


def create_missing(draft: Draft) -> None:
    """Make Pods up to the number that is wanted, unless a failure is too recent."""
    n_there = len(draft.active)
    if draft.spec.get("podReplacementPolicy") == "Failed":  # one that has not ended holds its place
        n_there = len(draft.pods) - sum(map(len, draft.finished.values()))
    missing = min(wanted_pods(draft) - n_there, _MAX_CREATED_AT_ONCE)
    if missing <= 0:
        return
    if draft.limit_per_index is None and (wait_s := _retry_wait_s(draft)) > 0:
        draft.again_s.append(wait_s)
        return
    pods = list(_indexed(draft, missing) if draft.is_indexed else _plain(draft, missing))
    draft.actions += [Create(POD, pod) for pod in pods]
    for pod in pods:
        draft.emit("SuccessfulCreate", f"Created pod: {name_of(pod)}")


def _holds_its_place(draft: Draft, pod: ReadOnlyObject) -> bool:
    """Tell whether a Pod that has not ended must end before another takes its place."""
    return not is_being_deleted(pod) or draft.spec.get("podReplacementPolicy") == "Failed"


def _plain(draft: Draft, n: int) -> Iterator[Object]:
    """Make Pods whose numbers begin after those that were counted: the same ones for the same state."""
    taken = {name_of(pod) for pod in draft.pods}
    number = draft.count("succeeded") + draft.count("failed")
    while n > 0:
        name = pod_name(draft.job, number)
        if name not in taken and number not in draft.counted:
            n -= 1
            yield build_pod(draft.job, name, None, {NUMBER: str(number)})
        number += 1


def _indexed(draft: Draft, n: int) -> Iterator[Object]:
    """Make Pods for the lowest indexes that nobody works on."""
    busy = draft.succeeded | draft.failed
    by_index: dict[int, list[ReadOnlyObject]] = {}
    for pod in draft.pods:
        by_index.setdefault(completion_index(pod), []).append(pod)
        if phase_of(pod) not in FINISHED and _holds_its_place(draft, pod):
            busy.add(completion_index(pod))
    for index in range(draft.completions or 0):
        if n == 0:
            return
        if index in busy:
            continue
        before = by_index.get(index, [])
        if draft.limit_per_index is not None and (wait_s := _index_wait_s(draft, before)) > 0:
            draft.again_s.append(wait_s)
            continue
        n -= 1
        yield _of_index(draft, index, before)


def _of_index(draft: Draft, index: int, before: Sequence[ReadOnlyObject]) -> Object:
    taken = {name_of(pod) for pod in before}
    attempt = len(before)
    while (name := pod_name(draft.job, attempt, index)) in taken or number_for(index, attempt) in draft.counted:
        attempt += 1
    annotations = {NUMBER: str(number_for(index, attempt))}
    if draft.limit_per_index is not None:
        counted, ignored = _failures_of(draft, before)
        # What is noted also tells of Pods that are gone.
        counted = max(counted, sum(number_for(index, earlier) in draft.counted for earlier in range(attempt)))
        annotations |= {FAILURES: str(counted)} | ({IGNORED_FAILURES: str(ignored)} if ignored else {})
    return build_pod(draft.job, name, index, annotations)


def _failures_of(draft: Draft, pods: Sequence[ReadOnlyObject]) -> tuple[int, int]:
    """Give how often an index has failed: counted, and ignored. The latest of its Pods knows of those before."""
    failed = [pod for pod in pods if phase_of(pod) == "Failed" and not is_being_deleted(pod)]
    counted = [failures_before(pod) + (not is_ignored(draft, pod)) for pod in failed]
    ignored = [ignored_before(pod) + is_ignored(draft, pod) for pod in failed]
    return max(counted, default=0), max(ignored, default=0)


def _index_wait_s(draft: Draft, pods: Sequence[ReadOnlyObject]) -> float:
    ends = [at for pod in pods if phase_of(pod) == "Failed" and (at := finished_at(pod))]
    if not ends:
        return 0.0
    return _delay_s(sum(_failures_of(draft, pods))) - (draft.now - max(ends)).total_seconds()


def _retry_wait_s(draft: Draft) -> float:
    """Give how long to wait after failures: 10, 20, 40 ... 360 s from the last one, counted since the last success."""
    failures = [at for pod in draft.finished["Failed"] if (at := finished_at(pod))]
    if not failures:
        return 0.0
    last_success = max((at for pod in draft.finished["Succeeded"] if (at := finished_at(pod))), default=None)
    failures = [at for at in failures if last_success is None or at > last_success]
    if not failures:
        return 0.0
    return _delay_s(len(failures)) - (draft.now - max(failures)).total_seconds()


def _delay_s(failures: int) -> float:
    return min(_FIRST_RETRY_S * 2.0 ** min(max(failures - 1, 0), 16), _MAX_RETRY_S)
