"""What a StatefulSet's template has been: ControllerRevisions, and which of them is current and which comes next.

Source: ``k8s.io/kubernetes/pkg/controller/history``; "Update strategies" of StatefulSets.
"""

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beamhall.embedded.workloads.deployment_sets import template_hash
from beamhall.kernel.kinds import CONTROLLER_REVISION, Kind
from beamhall.kernel.objects import (
    Object,
    ReadOnlyObject,
    annotations_of,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from beamhall.kernel.plan import Action, Create, Delete, Patch

POD_LABEL = "controller-revision-hash"
_HASH = "controller.kubernetes.io/hash"
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class Revisions:
    """The revisions of an owner.

    Attributes:
        current: The one that Pods are moved away from; the same as ``update`` when none is.
        update: The one of the template as it is.
        actions: What makes it so.
    """

    current: ReadOnlyObject
    update: ReadOnlyObject
    actions: Sequence[Action]


def find_revisions(kind: Kind, owner: ReadOnlyObject, known: Sequence[ReadOnlyObject]) -> Revisions:
    """Find the revisions of an owner's template, and make what is missing.

    Args:
        kind: The owner's kind.
        owner: Has ``spec.template`` and ``status.currentRevision``.
        known: The revisions that it controls.
    """
    newest = max(map(_number, known), default=0)
    data = _data_of(owner)
    update = max((one for one in known if one.get("data") == data), key=_number, default=None)
    actions: list[Action] = []
    if update is None:
        update = _build(kind, owner, data, newest + 1)
        actions.append(Create(CONTROLLER_REVISION, dict(update)))
    elif _number(update) < newest:  # rolled back: an old template is the newest again
        number = {"revision": newest + 1}
        actions.append(Patch(key_of(CONTROLLER_REVISION, update), number, uid=uid_of(update)))
    wanted = (owner.get("status") or {}).get("currentRevision")
    current = next((one for one in known if name_of(one) == wanted), update)
    return Revisions(current, update, actions)


def template_of(revision: ReadOnlyObject) -> Object:
    """Give the template of Pods that a revision records."""
    template = copy.deepcopy(dict(revision["data"]["spec"]["template"]))
    template.pop("$patch", None)
    return template


def forget_old(known: Sequence[ReadOnlyObject], in_use: Collection[str], limit: int) -> Sequence[Action]:
    """Delete the oldest revisions that nothing is of, beyond so many."""
    idle = sorted((one for one in known if name_of(one) not in in_use), key=_number)
    surplus = idle[: max(len(idle) - limit, 0)]
    return [Delete(key_of(CONTROLLER_REVISION, one), uid_of(one)) for one in surplus]


def _number(revision: ReadOnlyObject) -> int:
    return int(revision.get("revision") or 0)


def _data_of(owner: ReadOnlyObject) -> Mapping[str, Any]:
    """Give the template as the strategic merge patch that brings it back: what ``kubectl rollout undo`` sends."""
    template = copy.deepcopy(owner["spec"].get("template") or {})
    return {"spec": {"template": {**template, "$patch": "replace"}}}


def _build(kind: Kind, owner: ReadOnlyObject, data: Mapping[str, Any], number: int) -> Object:
    digest = template_hash(data, 0)
    return {
        "apiVersion": CONTROLLER_REVISION.api_version,
        "kind": CONTROLLER_REVISION.kind,
        "metadata": {
            "name": f"{name_of(owner)[:222]}-{digest}",
            "namespace": namespace_of(owner),
            "labels": {**labels_of(owner["spec"].get("template") or {}), _HASH: digest},
            "annotations": {name: text for name, text in annotations_of(owner).items() if name != _APPLIED},
            "ownerReferences": [owner_reference(kind, owner)],
        },
        "data": data,
        "revision": number,
    }
