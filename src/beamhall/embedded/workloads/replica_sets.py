"""ReplicaSets (``apps/v1``): so many Pods of one template, always.

A Pod's name follows from the set's uid and the lowest number that no Pod in the view has: a stale view names the same
Pods again. Which Pods go first when there are too many is in ``ranking``; whose a Pod is, in ``claiming``.

Source: Kubernetes "ReplicaSet"; ``k8s.io/kubernetes/pkg/controller/replicaset``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from beamhall.embedded.workloads.claiming import claim
from beamhall.embedded.workloads.pods import (
    child_name,
    is_active,
    is_available,
    is_ready,
    pod_from_template,
    soonest_available_s,
)
from beamhall.embedded.workloads.ranking import first_to_delete
from beamhall.kernel.difference import merge_patch_between
from beamhall.kernel.kinds import POD, REPLICA_SET
from beamhall.kernel.objects import (
    ReadOnlyObject,
    controller_of,
    is_being_deleted,
    key_of,
    labels_of,
    metadata_of,
    name_of,
    namespace_of,
    uid_of,
)
from beamhall.kernel.plan import Action, Create, Delete, Emit, Patch, Plan, View

_MAX_CHANGED_AT_ONCE = 500


def plan_replica_set(replica_set: ReadOnlyObject, view: View) -> Plan:
    """Decide the next step of a ReplicaSet."""
    spec: Mapping[str, Any] = replica_set["spec"]
    claimed = claim(REPLICA_SET, replica_set, POD, view)
    pods = [pod for pod in claimed.owned if is_active(pod)]
    wanted = int(spec.get("replicas") or 0)
    actions = [*claimed.actions, *_report(replica_set, pods, view)]
    if not is_being_deleted(replica_set):
        actions += _create(replica_set, wanted - len(pods), view)
        actions += _delete(replica_set, pods, len(pods) - wanted, view)
    again_s = soonest_available_s(pods, int(spec.get("minReadySeconds") or 0), view.now)
    return Plan(actions, again_s, f"{len(pods)} of {wanted} Pods are there")


def _report(replica_set: ReadOnlyObject, pods: Sequence[ReadOnlyObject], view: View) -> Sequence[Action]:
    spec: Mapping[str, Any] = replica_set["spec"]
    wanted_labels = labels_of(spec.get("template") or {}).items()
    min_ready_s = int(spec.get("minReadySeconds") or 0)
    before: Mapping[str, Any] = replica_set.get("status") or {}
    counts = {
        "fullyLabeledReplicas": sum(wanted_labels <= labels_of(pod).items() for pod in pods),
        "readyReplicas": sum(is_ready(pod) for pod in pods),
        "availableReplicas": sum(is_available(pod, min_ready_s, view.now) for pod in pods),
        "observedGeneration": int(metadata_of(replica_set).get("generation") or 0),
    }
    status = {name: value for name, value in before.items() if name not in counts}
    status |= {"replicas": len(pods), **{name: count for name, count in counts.items() if count}}
    patch = merge_patch_between(before, status)
    key = key_of(REPLICA_SET, replica_set)
    return (Patch(key, {"status": patch}, subresource="status", uid=uid_of(replica_set)),) if patch else ()


def _create(replica_set: ReadOnlyObject, missing: int, view: View) -> Sequence[Action]:
    """Make Pods with the first names that are free: an object that has one may be ours on its way out, or was ours."""
    actions: list[Action] = []
    number = 0
    while len(actions) < 2 * min(missing, _MAX_CHANGED_AT_ONCE):
        name = child_name(replica_set, str(number))
        number += 1
        if view.get(POD, name, namespace_of(replica_set)) is not None:
            continue
        pod = pod_from_template(REPLICA_SET, replica_set, replica_set["spec"].get("template") or {}, name)
        pod["metadata"]["generateName"] = f"{name_of(replica_set)}-"
        actions += [Create(POD, pod), Emit(REPLICA_SET, replica_set, "SuccessfulCreate", f"Created pod: {name}")]
    return sorted(actions, key=lambda action: isinstance(action, Emit))


def _delete(replica_set: ReadOnlyObject, pods: Sequence[ReadOnlyObject], surplus: int, view: View) -> Sequence[Action]:
    if surplus <= 0:
        return ()
    actions: list[Action] = []
    for pod in first_to_delete(pods, _related(replica_set, view), view.now)[: min(surplus, _MAX_CHANGED_AT_ONCE)]:
        actions.append(Delete(key_of(POD, pod), uid_of(pod)))
        actions.append(Emit(REPLICA_SET, replica_set, "SuccessfulDelete", f"Deleted pod: {name_of(pod)}"))
    return actions


def _related(replica_set: ReadOnlyObject, view: View) -> Sequence[ReadOnlyObject]:
    """Give the active Pods of all sets with the same controller: of one Deployment."""
    owner = controller_of(replica_set)
    siblings = view.controlled_by(REPLICA_SET, str(owner["uid"])) if owner else [replica_set]
    return [pod for sibling in siblings for pod in view.controlled_by(POD, uid_of(sibling)) if is_active(pod)]
