"""The ReplicaSets of a Deployment: which is the new one, how it is made, and what is written down on each.

Source: ``k8s.io/kubernetes/pkg/controller/deployment/util/deployment_util.go``.
"""

import copy
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from beamhall.embedded.workloads.rollout import DESIRED, MAXIMUM, Sets, first_size
from beamhall.kernel.kinds import DEPLOYMENT, REPLICA_SET
from beamhall.kernel.objects import (
    Object,
    ReadOnlyObject,
    annotations_of,
    labels_of,
    metadata_of,
    name_of,
    namespace_of,
    owner_reference,
)

HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
_SKIPPED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        HISTORY,
        DESIRED,
        MAXIMUM,
        "deprecated.deployment.rollback.to",
    }
)
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_MAX_HISTORY = 2_000


def sort_sets(deployment: ReadOnlyObject, owned: Iterable[ReadOnlyObject]) -> Sets:
    """Find the new set among a Deployment's: the oldest that has its template."""
    in_order = sorted(owned, key=lambda one: (str(metadata_of(one).get("creationTimestamp") or ""), name_of(one)))
    template = _without_hash((deployment.get("spec") or {}).get("template") or {})
    new = next((one for one in in_order if _without_hash(one["spec"].get("template") or {}) == template), None)
    return Sets(deployment, new, [one for one in in_order if one is not new])


def revision_of_set(replica_set: ReadOnlyObject) -> int:
    """Give a set's revision, 0 if it has none."""
    text = annotations_of(replica_set).get(REVISION) or ""
    return int(text) if text.isdecimal() else 0


def newest_revision(sets: Sequence[ReadOnlyObject]) -> int:
    """Give the highest revision of sets, 0 without any."""
    return max(map(revision_of_set, sets), default=0)


def annotations_for(sets: Sets) -> Mapping[str, str]:
    """Give what the new set's annotations have to be: the Deployment's, and its revision, which is the newest."""
    new = sets.new or {}
    before = annotations_of(new)
    wanted = {name: text for name, text in annotations_of(sets.deployment).items() if name not in _SKIPPED}
    wanted |= {name: text for name, text in before.items() if name not in wanted}
    revision, newest = revision_of_set(new), newest_revision(sets.old) + 1
    if revision < newest:
        wanted[REVISION] = str(newest)
        if revision:
            history = [part for part in (before.get(HISTORY) or "").split(",") if part]
            while len(",".join([*history, str(revision)])) > _MAX_HISTORY:
                history.pop(0)
            wanted[HISTORY] = ",".join([*history, str(revision)])
    return wanted


def sizing(sets: Sets) -> Mapping[str, str]:
    """Give the annotations that say for how many wanted Pods a set was sized."""
    return {DESIRED: str(sets.wanted), MAXIMUM: str(sets.wanted + sets.max_surge)}


def build_set(sets: Sets) -> Object:
    """Make the new set: named by a hash of the template, so that the same template makes no second one."""
    deployment = sets.deployment
    spec: Mapping[str, Any] = deployment["spec"]
    template = copy.deepcopy(spec.get("template") or {})
    digest = template_hash(template, int((deployment.get("status") or {}).get("collisionCount") or 0))
    metadata = template.setdefault("metadata", {})
    metadata["labels"] = {**(metadata.get("labels") or {}), HASH: digest}
    selector = copy.deepcopy(spec["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH: digest}
    made = {"replicas": first_size(sets), "selector": selector, "template": template}
    if spec.get("minReadySeconds"):
        made["minReadySeconds"] = spec["minReadySeconds"]
    return {
        "apiVersion": REPLICA_SET.api_version,
        "kind": REPLICA_SET.kind,
        "metadata": {
            "name": f"{name_of(deployment)}-{digest}",
            "namespace": namespace_of(deployment),
            "labels": dict(metadata["labels"]),
            "annotations": {**annotations_for(sets), **sizing(sets)},
            "ownerReferences": [owner_reference(DEPLOYMENT, deployment)],
        },
        "spec": made,
    }


def template_hash(template: Mapping[str, Any], collisions: int) -> str:
    """Hash a template of Pods into up to ten letters that are good in names and labels."""
    text = msgspec.json.encode([template, collisions], order="deterministic")
    number = int.from_bytes(hashlib.sha256(text).digest()[:4], "big")
    return "".join(_LETTERS[int(figure)] for figure in str(number))


def _without_hash(template: Mapping[str, Any]) -> Mapping[str, Any]:
    labels = {name: text for name, text in labels_of(template).items() if name != HASH}
    metadata = {name: value for name, value in metadata_of(template).items() if name != "labels" and value}
    return {**template, "metadata": {**metadata, **({"labels": labels} if labels else {})}}
