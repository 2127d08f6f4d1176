"""Deployments (``apps/v1``): from one template of Pods to the next, without standing still.

A Deployment has a ReplicaSet for each template that it had. Each plan makes one step: makes the new set, or changes
sizes, or cleans up; and reports. The arithmetic is in ``rollout``, the sets in ``deployment_sets``, the words in
``deployment_status``. Rolling back is an ordinary change of the template: the set of that template becomes the new one.

Source: Kubernetes "Deployments"; ``k8s.io/kubernetes/pkg/controller/deployment``.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from beamhall.embedded.workloads.claiming import claim, selected_by
from beamhall.embedded.workloads.deployment_sets import (
    REVISION,
    annotations_for,
    build_set,
    newest_revision,
    revision_of_set,
    sizing,
    sort_sets,
)
from beamhall.embedded.workloads.deployment_status import StatusDraft
from beamhall.embedded.workloads.pods import FINISHED, phase_of
from beamhall.embedded.workloads.rollout import (
    Sets,
    count_of,
    is_being_scaled,
    next_sizes,
    proportional_sizes,
    size_of,
)
from beamhall.kernel.difference import merge_patch_between
from beamhall.kernel.kinds import DEPLOYMENT, POD, REPLICA_SET
from beamhall.kernel.objects import (
    Key,
    ReadOnlyObject,
    annotations_of,
    controller_of,
    is_being_deleted,
    key_of,
    metadata_of,
    name_of,
    namespace_of,
    uid_of,
)
from beamhall.kernel.plan import Action, Create, Delete, Emit, Patch, Plan, View


def concerned_deployments(obj: ReadOnlyObject, view: View) -> Iterable[Key]:
    """Concern, by an orphaned set, those that may adopt it; by a Pod, one that waits for the end of old Pods."""
    owner = controller_of(obj)
    if owner is None:
        return selected_by(DEPLOYMENT)(obj, view)
    if owner.get("kind") != REPLICA_SET.kind:
        return ()
    replica_set = view.get(REPLICA_SET, str(owner.get("name")), namespace_of(obj))
    above = controller_of(replica_set or {})
    deployment = view.get(DEPLOYMENT, str(above.get("name")), namespace_of(obj)) if above else None
    if deployment is None or (deployment["spec"].get("strategy") or {}).get("type") != "Recreate":
        return ()
    return (key_of(DEPLOYMENT, deployment),)


def plan_deployment(deployment: ReadOnlyObject, view: View) -> Plan:
    """Decide the next step of a Deployment."""
    selector: Mapping[str, Any] = deployment["spec"].get("selector") or {}
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        return Plan(why="its selector is empty")
    claimed = claim(DEPLOYMENT, deployment, REPLICA_SET, view)
    sets = sort_sets(deployment, claimed.owned)
    draft = StatusDraft(sets, view.now)
    if is_being_deleted(deployment):
        return _plan(sets, draft, claimed.actions, "it is being deleted")
    draft.note_found()
    draft.note_pause()
    if deployment["spec"].get("paused"):
        actions = [*_change(sets, proportional_sizes(sets)), *_clean_up(sets)]
        return _plan(sets, draft, [*claimed.actions, *actions], "it is paused")
    if is_being_scaled(sets):
        steps, why = _change(sets, proportional_sizes(sets)), "it is scaled"
    elif sets.is_rolling:
        steps, why = _roll(sets, draft)
    else:
        steps, why = _recreate(sets, draft, view)
    draft.judge_progress()
    if not steps and draft.is_complete:
        steps = _clean_up(sets)
    return _plan(sets, draft, [*claimed.actions, *steps], why)


def _plan(sets: Sets, draft: StatusDraft, actions: Sequence[Action], why: str) -> Plan:
    """Write what is to be, and what is reported first: a set that cannot be made must not keep that from people."""
    deployment = sets.deployment
    key, uid = key_of(DEPLOYMENT, deployment), uid_of(deployment)
    writes: list[Action] = []
    if patch := merge_patch_between(deployment.get("status") or {}, draft.status):
        writes.append(Patch(key, {"status": patch}, subresource="status", uid=uid))
    revision = _revision(sets)
    if revision and annotations_of(deployment).get(REVISION) != revision and not is_being_deleted(deployment):
        writes.append(Patch(key, {"metadata": {"annotations": {REVISION: revision}}}, uid=uid))
    return Plan([*writes, *actions], draft.again_s, why)


def _revision(sets: Sets) -> str:
    """Give the revision of the new set, as it is or as it will be noted on it."""
    if sets.new is None:
        return ""
    return str(max(revision_of_set(sets.new), newest_revision(sets.old) + 1))


def _roll(sets: Sets, draft: StatusDraft) -> tuple[Sequence[Action], str]:
    if sets.new is None:
        return _make_new(sets, draft), "the template is new"
    sizes = next_sizes(sets)
    return _change(sets, sizes), "Pods are replaced" if sizes else "all Pods that may be are there"


def _recreate(sets: Sets, draft: StatusDraft, view: View) -> tuple[Sequence[Action], str]:
    """End all old Pods, then make the new ones."""
    ending = {name_of(old): 0 for old in sets.old if size_of(old)}
    if ending:
        return _change(sets, ending), "old Pods end"
    if any(count_of(old, "replicas") or _runs(old, view) for old in sets.old):
        return _change(sets, {}), "old Pods are ending"
    if sets.new is None:
        return _make_new(sets, draft), "the template is new"
    grown = {} if size_of(sets.new) == sets.wanted else {name_of(sets.new): sets.wanted}
    return _change(sets, grown), "all Pods that may be are there"


def _runs(replica_set: ReadOnlyObject, view: View) -> bool:
    return any(phase_of(pod) not in FINISHED for pod in view.controlled_by(POD, uid_of(replica_set)))


def _make_new(sets: Sets, draft: StatusDraft) -> Sequence[Action]:
    made = build_set(sets)
    name = name_of(made)
    if any(name_of(one) == name for one in sets.all):  # another template has the same hash
        draft.status["collisionCount"] = int(draft.status.get("collisionCount") or 0) + 1
        return ()
    draft.note_progress("NewReplicaSetCreated", f'Created new replica set "{name}"')
    actions: list[Action] = [Create(REPLICA_SET, made)]
    if size := size_of(made):
        actions.append(_scaled(sets, name, 0, size))
    return actions


def _change(sets: Sets, sizes: Mapping[str, int]) -> Sequence[Action]:
    """Give sets these sizes, and write down on them what they have of the Deployment."""
    actions: list[Action] = []
    for one in sets.all:
        size = sizes.get(name_of(one), size_of(one))
        if patch := _patch_of(sets, one, size):
            # A size follows from the sizes of all: it must not be set on top of one that has changed meanwhile.
            revision = str(metadata_of(one).get("resourceVersion") or "")
            actions.append(Patch(key_of(REPLICA_SET, one), patch, uid=uid_of(one), revision=revision))
        if size != size_of(one):
            actions.append(_scaled(sets, name_of(one), size_of(one), size))
    return actions


def _patch_of(sets: Sets, one: ReadOnlyObject, size: int) -> Mapping[str, Any]:
    """Give what is to change of a set: its size, for how many wanted Pods that is, and what the new one takes over."""
    annotations = dict(sizing(sets)) if size else {}
    spec: dict[str, Any] = {} if size == size_of(one) else {"replicas": size}
    if one is sets.new and not sets.deployment["spec"].get("paused"):
        annotations = {**annotations_for(sets), **annotations}
        min_ready_s = int(sets.deployment["spec"].get("minReadySeconds") or 0)
        if int(one["spec"].get("minReadySeconds") or 0) != min_ready_s:
            spec["minReadySeconds"] = min_ready_s
    changed = {name: text for name, text in annotations.items() if annotations_of(one).get(name) != text}
    patch: dict[str, Any] = {"metadata": {"annotations": changed}} if changed else {}
    return patch | ({"spec": spec} if spec else {})


def _scaled(sets: Sets, name: str, old: int, new: int) -> Emit:
    way = "up" if new > old else "down"
    message = f"Scaled {way} replica set {name} from {old} to {new}"
    return Emit(DEPLOYMENT, sets.deployment, "ScalingReplicaSet", message)


def _clean_up(sets: Sets) -> Sequence[Action]:
    """Delete the oldest sets beyond those that are kept for rolling back."""
    limit = sets.deployment["spec"].get("revisionHistoryLimit")
    if limit is None or limit == 2**31 - 1:
        return ()
    candidates = sorted((old for old in sets.old if not is_being_deleted(old)), key=revision_of_set)
    surplus = candidates[: max(len(candidates) - int(limit), 0)]
    return [Delete(key_of(REPLICA_SET, old), uid_of(old)) for old in surplus if _is_at_rest(old)]


def _is_at_rest(replica_set: ReadOnlyObject) -> bool:
    generation = int(metadata_of(replica_set).get("generation") or 0)
    observed = count_of(replica_set, "observedGeneration")
    return not count_of(replica_set, "replicas") and not size_of(replica_set) and generation <= observed
