"""The Pods of a StatefulSet, each with a number, a name and claims of its own.

Source: Kubernetes "StatefulSets", "Pod Identity" and "PersistentVolumeClaim retention".
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from beamhall.embedded.workloads.pods import pod_from_template
from beamhall.embedded.workloads.revisions import POD_LABEL, template_of
from beamhall.kernel.kinds import PERSISTENT_VOLUME_CLAIM, POD, STATEFUL_SET
from beamhall.kernel.objects import (
    Object,
    ReadOnlyObject,
    is_being_deleted,
    key_of,
    labels_of,
    metadata_of,
    name_of,
    namespace_of,
    uid_of,
)
from beamhall.kernel.plan import Action, Create, Patch, View

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"


def ordinal_of(owner: ReadOnlyObject, name: str) -> int:
    """Give the number of a set's Pod by its name, -1 if no Pod of that set is called so."""
    parent, dash, number = name.rpartition("-")
    return int(number) if dash and parent == name_of(owner) and number.isdecimal() else -1


def revision_of_pod(pod: ReadOnlyObject) -> str:
    """Give the name of the revision that a Pod was made of."""
    return str(labels_of(pod).get(POD_LABEL) or "")


def build_stateful_pod(owner: ReadOnlyObject, ordinal: int, revision: ReadOnlyObject) -> Object:
    """Make the Pod of a number, of a revision's template."""
    name = f"{name_of(owner)}-{ordinal}"
    pod = pod_from_template(STATEFUL_SET, owner, template_of(revision), name)
    identity = {POD_NAME: name, POD_INDEX: str(ordinal), POD_LABEL: name_of(revision)}
    pod["metadata"]["labels"] = {**(pod["metadata"].get("labels") or {}), **identity}
    pod["metadata"]["generateName"] = f"{name_of(owner)}-"
    spec = pod["spec"]
    spec["hostname"] = name
    if service := owner["spec"].get("serviceName"):
        spec["subdomain"] = service
    claims = dict(claim_names(owner, ordinal))
    volumes = [volume for volume in spec.get("volumes") or () if volume.get("name") not in claims]
    volumes += [{"name": name, "persistentVolumeClaim": {"claimName": claim}} for name, claim in claims.items()]
    if volumes:
        spec["volumes"] = volumes
    return pod


def claim_names(owner: ReadOnlyObject, ordinal: int) -> Iterator[tuple[str, str]]:
    """Give the name of each claim template, and of the claim that the Pod of a number has of it."""
    for template in owner["spec"].get("volumeClaimTemplates") or ():
        yield name_of(template), f"{name_of(template)}-{name_of(owner)}-{ordinal}"


def make_claims(owner: ReadOnlyObject, ordinal: int, view: View) -> Sequence[Action]:
    """Make the claims of a number that are missing; those of an earlier Pod of that number are used again."""
    actions: list[Action] = []
    for template in owner["spec"].get("volumeClaimTemplates") or ():
        claim = copy.deepcopy(dict(template))
        name = f"{name_of(template)}-{name_of(owner)}-{ordinal}"
        if view.get(PERSISTENT_VOLUME_CLAIM, name, namespace_of(owner)) is not None:
            continue
        selected = owner["spec"]["selector"].get("matchLabels") or {}
        written = {field: value for field, value in metadata_of(template).items() if field in ("labels", "annotations")}
        metadata = {**written, "name": name, "namespace": namespace_of(owner)}
        metadata["labels"] = {**(written.get("labels") or {}), **selected}
        if _policy(owner, "whenDeleted") == "Delete":
            metadata["ownerReferences"] = [_reference(STATEFUL_SET.api_version, STATEFUL_SET.kind, owner)]
        claim |= {"apiVersion": "v1", "kind": PERSISTENT_VOLUME_CLAIM.kind, "metadata": metadata}
        claim.pop("status", None)
        actions.append(Create(PERSISTENT_VOLUME_CLAIM, claim))
    return actions


def own_claims(owner: ReadOnlyObject, pod: ReadOnlyObject, view: View, *, is_condemned: bool) -> Sequence[Action]:
    """Let the claims of a Pod go with the set, with the Pod, or with neither, as the retention policy says."""
    wanted: list[Mapping[str, Any]] = []
    if is_condemned and _policy(owner, "whenScaled") == "Delete":
        wanted = [_reference(POD.api_version, POD.kind, pod)]
    elif _policy(owner, "whenDeleted") == "Delete":
        wanted = [_reference(STATEFUL_SET.api_version, STATEFUL_SET.kind, owner)]
    actions: list[Action] = []
    for _, name in claim_names(owner, ordinal_of(owner, name_of(pod))):
        claim = view.get(PERSISTENT_VOLUME_CLAIM, name, namespace_of(owner))
        if claim is None or is_being_deleted(claim):
            continue
        before = list(metadata_of(claim).get("ownerReferences") or ())
        others = [one for one in before if not _is_ours(one, owner, name_of(pod))]
        if before != [*others, *wanted]:
            patch = {"metadata": {"ownerReferences": [*others, *wanted] or None}}
            actions.append(Patch(key_of(PERSISTENT_VOLUME_CLAIM, claim), patch, uid=uid_of(claim)))
    return actions


def _is_ours(reference: Mapping[str, Any], owner: ReadOnlyObject, pod_name: str) -> bool:
    is_set = reference.get("kind") == STATEFUL_SET.kind and reference.get("name") == name_of(owner)
    return is_set or (reference.get("kind") == POD.kind and reference.get("name") == pod_name)


def _reference(api_version: str, kind: str, obj: ReadOnlyObject) -> Mapping[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "name": name_of(obj), "uid": uid_of(obj)}


def _policy(owner: ReadOnlyObject, when: str) -> str:
    return str((owner["spec"].get("persistentVolumeClaimRetentionPolicy") or {}).get(when) or "Retain")
