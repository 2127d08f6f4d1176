"""A plan in the making: an object's next status, and the actions that were decided so far.

The status is written once, as the difference to what is stored; a plan that changes nothing writes nothing, so looking
at an object never makes it move. ``ObjectDraft`` knows no conditions, ``ConditionsDraft`` has those of Kubernetes in
general, and ``draft`` those of v1's jobs. Decisions are made in the planners.
"""

import copy
from collections.abc import Mapping
from typing import Any, Literal

from beamhall.kernel.conditions import Status, find_condition, make_condition, with_condition
from beamhall.kernel.difference import merge_patch_between
from beamhall.kernel.kinds import Kind
from beamhall.kernel.objects import (
    Key,
    Object,
    ReadOnlyObject,
    controller_of,
    key_of,
    metadata_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from beamhall.kernel.plan import Action, Create, Delete, Emit, Patch, Plan, View

TAKEN_RETRY_S = 5.0
"""When to look again whether a name that another's object has is free."""


class ObjectDraft:
    """Collects what is to be done about one object.

    Attributes:
        object: The object as it is.
        view: What the planner may know.
        status: The next status; change it freely.
    """

    def __init__(self, kind: Kind, obj: ReadOnlyObject, view: View) -> None:
        self.object = obj
        self.view = view
        self._kind = kind
        self._before: Mapping[str, Any] = obj.get("status") or {}
        self.status: dict[str, Any] = copy.deepcopy(dict(self._before))
        self._changes: list[Action] = []
        self._emits: list[Emit] = []
        self._again_s: list[float] = []

    @property
    def key(self) -> Key:
        """The object's key."""
        return key_of(self._kind, self.object)

    def emit(self, reason: str, message: str, type_: Literal["Normal", "Warning"] = "Normal") -> None:
        """Record an event about the object."""
        self._emits.append(Emit(self._kind, self.object, reason, message, type_))

    def patch(self, kind: Kind, obj: ReadOnlyObject, patch: Mapping[str, Any]) -> None:
        """Change an object."""
        self._changes.append(Patch(key_of(kind, obj), patch, uid=uid_of(obj)))

    def keep(self, kind: Kind, wanted: Object) -> None:
        """Make a child of the object, or give the one that is there the content that it should have, without a word.

        Args:
            kind: Its kind.
            wanted: Its name, labels and content; namespace and owner are filled in.
        """
        wanted["metadata"] |= {
            "namespace": namespace_of(self.object),
            "ownerReferences": [owner_reference(self._kind, self.object)],
        }
        found = self.view.get(kind, name_of(wanted), namespace_of(self.object))
        if found is None:
            self._changes.append(Create(kind, {"apiVersion": kind.api_version, "kind": kind.kind, **wanted}))
        elif (controller_of(found) or {}).get("uid") != uid_of(self.object):
            self.again_after(TAKEN_RETRY_S)
        else:
            content = {field: wanted[field] for field in wanted if field not in ("apiVersion", "kind", "metadata")}
            if patch := _lacking(content, found):
                self.patch(kind, found, patch)

    def again_after(self, seconds: float) -> None:
        """Plan again after so many seconds, or sooner."""
        self._again_s.append(max(seconds, 0.0))

    def plan(self, why: str) -> Plan:
        """Close the draft."""
        actions: list[Action] = []
        if patch := merge_patch_between(self._before, self.status):
            # What was decided rests on what stood there: nobody may have changed it meanwhile. And first of all
            # actions, so that nothing else is done on the ground of an old picture.
            revision = str(metadata_of(self.object).get("resourceVersion") or "")
            status = {"status": {**patch, **self._stamp()}}
            actions.append(Patch(self.key, status, subresource="status", uid=uid_of(self.object), revision=revision))
        actions += [*self._changes, *self._emits]
        return Plan(actions, min(self._again_s, default=None), why)

    def _stamp(self) -> Mapping[str, Any]:
        """Give what every write of the status has."""
        return {}


class ConditionsDraft(ObjectDraft):
    """Collects what is to be done about an object with general conditions."""

    def is_true(self, type_: str) -> bool:
        """Tell whether the next status has a condition of this type that is true."""
        found = find_condition(self.status.get("conditions"), type_)
        return found is not None and found.get("status") == "True"

    def set_condition(self, type_: str, status: Status, reason: str, message: str) -> None:
        """Set a condition."""
        condition = make_condition(type_, status, reason, message, self.view.now)
        self.status["conditions"] = with_condition(self.status.get("conditions"), condition)

    def create(self, kind: Kind, obj: dict[str, Any]) -> None:
        """Make a child."""
        self._changes.append(Create(kind, obj))

    def delete(self, kind: Kind, obj: ReadOnlyObject, propagation: Literal["Background", "Foreground"]) -> None:
        """Delete an object."""
        self._changes.append(Delete(key_of(kind, obj), uid_of(obj), propagation=propagation))


def _lacking(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Give the part of what is wanted that is not there; what the server added does not matter."""
    patch: dict[str, Any] = {}
    for key, value in wanted.items():
        there = found.get(key)
        if isinstance(value, Mapping) and isinstance(there, Mapping):
            if inner := _lacking(value, there):
                patch[key] = inner
        elif value != there:
            patch[key] = value
    return patch
