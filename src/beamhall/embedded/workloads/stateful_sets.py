"""StatefulSets (``apps/v1``): Pods with numbers, each with a name and claims that it keeps.

Each plan makes the next step of the set: in order, one Pod at a time, or, with ``Parallel``, all at once. Names follow
from numbers, so nothing is made twice. How Pods look is in ``stateful_pods``, what templates were in ``revisions``.

Source: Kubernetes "StatefulSets"; ``k8s.io/kubernetes/pkg/controller/statefulset/stateful_set_control.go``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beamhall.embedded.workloads.claiming import claim
from beamhall.embedded.workloads.pods import FINISHED, is_available, is_ready, phase_of, soonest_available_s
from beamhall.embedded.workloads.revisions import Revisions, find_revisions, forget_old
from beamhall.embedded.workloads.stateful_pods import (
    build_stateful_pod,
    make_claims,
    ordinal_of,
    own_claims,
    revision_of_pod,
)
from beamhall.kernel.difference import merge_patch_between
from beamhall.kernel.kinds import CONTROLLER_REVISION, PERSISTENT_VOLUME_CLAIM, POD, STATEFUL_SET
from beamhall.kernel.objects import (
    ReadOnlyObject,
    is_being_deleted,
    key_of,
    metadata_of,
    name_of,
    uid_of,
)
from beamhall.kernel.plan import Action, Create, Delete, Emit, Patch, Plan, View

_MAX_CHANGED_AT_ONCE = 500
_HISTORY_LIMIT = 10


@dataclass(frozen=True, slots=True)
class _Run:
    """One look at a StatefulSet."""

    owner: ReadOnlyObject
    view: View
    pods: Mapping[int, ReadOnlyObject]
    revisions: Revisions

    @property
    def spec(self) -> Mapping[str, Any]:
        spec: Mapping[str, Any] = self.owner["spec"]
        return spec

    @property
    def first(self) -> int:
        return int((self.spec.get("ordinals") or {}).get("start") or 0)

    @property
    def ordinals(self) -> range:
        return range(self.first, self.first + int(self.spec.get("replicas") or 0))

    @property
    def condemned(self) -> Sequence[int]:
        """The numbers that are not wanted, in the order in which they go."""
        return sorted(set(self.pods) - set(self.ordinals), reverse=True)

    @property
    def is_ordered(self) -> bool:
        return self.spec.get("podManagementPolicy") != "Parallel"

    @property
    def min_ready_s(self) -> int:
        return int(self.spec.get("minReadySeconds") or 0)

    @property
    def partition(self) -> int | None:
        """Below which number, counted from the first, Pods stay at the current revision; None: they are not moved."""
        strategy = self.spec.get("updateStrategy") or {}
        if strategy.get("type") == "OnDelete":
            return None
        return int((strategy.get("rollingUpdate") or {}).get("partition") or 0)

    def serves(self, pod: ReadOnlyObject) -> bool:
        """Tell whether a Pod has been ready for long enough, and stays."""
        return _runs(pod) and not is_being_deleted(pod) and is_available(pod, self.min_ready_s, self.view.now)

    def revision_for(self, ordinal: int) -> ReadOnlyObject:
        """Give the revision of which a Pod of this number is made."""
        partition = self.partition
        if partition is not None and ordinal < self.first + partition:
            return self.revisions.current
        return self.revisions.update


def plan_stateful_set(owner: ReadOnlyObject, view: View) -> Plan:
    """Decide the next step of a StatefulSet."""
    pods = claim(STATEFUL_SET, owner, POD, view, lambda pod: ordinal_of(owner, name_of(pod)) >= 0)
    history = claim(STATEFUL_SET, owner, CONTROLLER_REVISION, view)
    revisions = find_revisions(STATEFUL_SET, owner, history.owned)
    by_ordinal = {ordinal: pod for pod in pods.owned if (ordinal := ordinal_of(owner, name_of(pod))) >= 0}
    run = _Run(owner, view, by_ordinal, revisions)
    actions = [*pods.actions, *history.actions, *_report(run)]
    if is_being_deleted(owner):
        return Plan(actions, why="it is being deleted")
    steps = [*_keep_claims(run), *_steps(run)]
    in_use = {name_of(revisions.current), name_of(revisions.update), *map(revision_of_pod, by_ordinal.values())}
    limit = run.spec.get("revisionHistoryLimit")
    forgotten = forget_old(history.owned, in_use, _HISTORY_LIMIT if limit is None else int(limit))
    again_s = soonest_available_s(by_ordinal.values(), run.min_ready_s, view.now)
    why = f"{sum(map(run.serves, by_ordinal.values()))} of {len(run.ordinals)} Pods are available"
    return Plan([*actions, *revisions.actions, *steps, *forgotten], again_s, why)


def _report(run: _Run) -> Sequence[Action]:
    before: Mapping[str, Any] = run.owner.get("status") or {}
    current, update = name_of(run.revisions.current), name_of(run.revisions.update)
    pods = run.pods.values()
    staying = [revision_of_pod(pod) for pod in pods if not is_being_deleted(pod)]
    ready = sum(_runs(pod) and is_ready(pod) for pod in pods)
    n_updated = staying.count(update)
    is_moved = run.partition is not None and n_updated == ready == len(pods)
    if is_moved:
        current = update
    counts = {
        "readyReplicas": ready,
        "currentReplicas": n_updated if is_moved else staying.count(current),
        "updatedReplicas": n_updated,
    }
    status = {name: value for name, value in before.items() if name not in counts}
    status |= {name: count for name, count in counts.items() if count}
    status |= {
        "observedGeneration": int(metadata_of(run.owner).get("generation") or 0),
        "replicas": len(pods),
        "availableReplicas": sum(_runs(pod) and is_available(pod, run.min_ready_s, run.view.now) for pod in pods),
        "currentRevision": current,
        "updateRevision": update,
        "collisionCount": 0,
    }
    patch = merge_patch_between(before, status)
    key = key_of(STATEFUL_SET, run.owner)
    return (Patch(key, {"status": patch}, subresource="status", uid=uid_of(run.owner)),) if patch else ()


def _keep_claims(run: _Run) -> Sequence[Action]:
    """Set right with whom claims go, before any Pod goes."""
    actions: list[Action] = []
    for ordinal, pod in sorted(run.pods.items()):
        actions += own_claims(run.owner, pod, run.view, is_condemned=ordinal not in run.ordinals)
    return actions


def _steps(run: _Run) -> Sequence[Action]:
    """Give what is to be done with Pods: missing ones are made, then surplus ones go, then old ones are replaced."""
    actions: list[Action] = []
    for ordinal in run.ordinals:
        pod = run.pods.get(ordinal)
        if pod is None:
            actions += _make(run, ordinal)
        elif phase_of(pod) in FINISHED and not is_being_deleted(pod):
            actions += _recreate(run, pod)
        if len(actions) > _MAX_CHANGED_AT_ONCE:
            return actions
        if run.is_ordered and (pod is None or not run.serves(pod)):
            return actions
    actions += _shrink(run)
    return actions or _replace_old(run)


def _make(run: _Run, ordinal: int) -> Sequence[Action]:
    pod = build_stateful_pod(run.owner, ordinal, run.revision_for(ordinal))
    claims = make_claims(run.owner, ordinal, run.view)
    owner, name = name_of(run.owner), name_of(pod)
    events = [
        _say(run, "SuccessfulCreate", f"create Claim {name_of(c.object)} Pod {name} in StatefulSet {owner} success")
        for c in claims
        if isinstance(c, Create)
    ]
    done = _say(run, "SuccessfulCreate", f"create Pod {name} in StatefulSet {owner} successful")
    return [*claims, Create(POD, pod), *events, done]


def _recreate(run: _Run, pod: ReadOnlyObject) -> Sequence[Action]:
    """Delete a Pod that ended; when it is gone it is made again."""
    where = f"{metadata_of(run.owner).get('namespace')}/{name_of(run.owner)}"
    message = f"StatefulSet {where} is recreating failed Pod {name_of(pod)}"
    return [Delete(key_of(POD, pod), uid_of(pod)), _say(run, "RecreatingFailedPod", message, is_warning=True)]


def _shrink(run: _Run) -> Sequence[Action]:
    """Delete Pods that are not wanted; in order, one that is not well keeps all but itself waiting."""
    actions: list[Action] = []
    sick = next((o for o in sorted(run.pods) if not run.serves(run.pods[o])), None)
    for ordinal in run.condemned:
        pod = run.pods[ordinal]
        if is_being_deleted(pod):
            if run.is_ordered:
                return actions
            continue
        if run.is_ordered and not run.serves(pod) and ordinal != sick:
            return actions
        actions += _delete(run, pod)
        if run.is_ordered:
            return actions
    return actions


def _replace_old(run: _Run) -> Sequence[Action]:
    """Delete the last Pod of another revision, once all after it are well; it is made again of the new one."""
    partition = run.partition
    if partition is None:
        return ()
    for ordinal in reversed(run.ordinals[partition:]):
        pod = run.pods.get(ordinal)
        if pod is None:
            return ()
        if revision_of_pod(pod) != name_of(run.revisions.update) and not is_being_deleted(pod):
            return _delete(run, pod)
        if is_being_deleted(pod) or not (_runs(pod) and is_ready(pod)):
            return ()
    return ()


def _delete(run: _Run, pod: ReadOnlyObject) -> Sequence[Action]:
    message = f"delete Pod {name_of(pod)} in StatefulSet {name_of(run.owner)} successful"
    return [Delete(key_of(POD, pod), uid_of(pod)), _say(run, "SuccessfulDelete", message)]


def _say(run: _Run, reason: str, message: str, *, is_warning: bool = False) -> Emit:
    return Emit(STATEFUL_SET, run.owner, reason, message, "Warning" if is_warning else "Normal")


def _runs(pod: ReadOnlyObject) -> bool:
    return phase_of(pod) == "Running"


STATEFUL_WATCHES = (POD, CONTROLLER_REVISION, PERSISTENT_VOLUME_CLAIM)
