"""Which objects belong to a controller: those that it made, orphans that its selector takes in, none that left it.

An orphan is adopted only after the owner has been read afresh: one that is being deleted with ``--cascade=orphan`` must
not take its own orphans back, for they would go with it.

Source: ``k8s.io/kubernetes/pkg/controller/controller_ref_manager.go``.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from beamhall.kernel.kinds import Kind
from beamhall.kernel.objects import (
    Key,
    ReadOnlyObject,
    controller_of,
    is_being_deleted,
    key_of,
    labels_of,
    metadata_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from beamhall.kernel.plan import Action, Patch, Require, View
from beamhall.kernel.planner import Concerns
from beamhall.kernel.selectors import selector_from_object


@dataclass(frozen=True, slots=True)
class Claim:
    """What belongs to a controller now.

    Attributes:
        owned: Its objects, in order of name; with those that it adopts by ``actions``.
        actions: What makes it so.
    """

    owned: Sequence[ReadOnlyObject]
    actions: Sequence[Action]


def claim(
    kind: Kind,
    owner: ReadOnlyObject,
    dependants: Kind,
    view: View,
    may_adopt: Callable[[ReadOnlyObject], bool] = lambda _: True,
) -> Claim:
    """Find the objects of a kind that an owner with a ``spec.selector`` controls, and set right whose they are."""
    selector = selector_from_object(owner["spec"]["selector"])
    is_ending = is_being_deleted(owner)
    owned: list[ReadOnlyObject] = []
    actions: list[Action] = []
    for obj in view.controlled_by(dependants, uid_of(owner)):
        if selector.matches(labels_of(obj)):
            owned.append(obj)
        elif not is_ending:
            actions.append(_set_owners(dependants, obj, _others(obj, owner)))
    if is_ending:
        return Claim(owned, ())
    adopted = [
        obj
        for obj in view.controlled_by(dependants, "")
        if namespace_of(obj) == namespace_of(owner)
        and not is_being_deleted(obj)
        and selector.matches(labels_of(obj))
        and may_adopt(obj)
    ]
    if adopted:
        actions.append(Require(key_of(kind, owner), uid_of(owner)))
        reference = owner_reference(kind, owner)
        actions += [_set_owners(dependants, obj, [*_others(obj, owner), reference]) for obj in adopted]
    return Claim(sorted([*owned, *adopted], key=lambda obj: str(metadata_of(obj).get("name"))), actions)


def _others(obj: ReadOnlyObject, owner: ReadOnlyObject) -> list[ReadOnlyObject]:
    return [r for r in metadata_of(obj).get("ownerReferences") or () if r.get("uid") != uid_of(owner)]


def _set_owners(kind: Kind, obj: ReadOnlyObject, references: Sequence[ReadOnlyObject]) -> Patch:
    revision = str(metadata_of(obj).get("resourceVersion") or "")
    patch = {"metadata": {"ownerReferences": list(references) or None}}
    return Patch(key_of(kind, obj), patch, uid=uid_of(obj), revision=revision)


def selected_by(kind: Kind) -> Concerns:
    """Concern, by an object that nobody controls, those of a kind whose selector takes it in: they may adopt it."""

    def keys(obj: ReadOnlyObject, view: View) -> Iterable[Key]:
        labels = labels_of(obj)
        if not labels or controller_of(obj) is not None:
            return ()
        return [key_of(kind, owner) for owner in view.list(kind, namespace_of(obj)) if _selects(owner, obj)]

    return keys


def _selects(owner: ReadOnlyObject, obj: ReadOnlyObject) -> bool:
    selector = (owner.get("spec") or {}).get("selector")
    return bool(selector) and selector_from_object(selector).matches(labels_of(obj))
