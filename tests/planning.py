"""A world for planners: objects in memory that are a ``View``, and that plans can be carried out on."""

import copy
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from beamhall.kernel.clock import format_time
from beamhall.kernel.conditions import conditions_of
from beamhall.kernel.kinds import Kind
from beamhall.kernel.objects import (
    Key,
    Object,
    ReadOnlyObject,
    controller_of,
    is_being_deleted,
    key_of,
    labels_of,
    metadata_of,
    uid_of,
)
from beamhall.kernel.plan import Bind, Create, Delete, Emit, Patch, Plan, Require, View
from beamhall.kernel.selectors import Selector

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class World:
    """Objects, a time that is moved by hand, and the API server's part of carrying plans out.

    Deleting a Pod on a node only marks it (``finish_deletions`` ends it), as with a kubelet; the rest goes at once.
    """

    def __init__(self, *objects: tuple[Kind, Mapping[str, Any]]) -> None:
        self.now = START
        self.objects: dict[Key, Object] = {}
        self.events: list[Emit] = []
        self._ids = itertools.count(1)
        for kind, obj in objects:
            self.put(kind, obj)

    def put(self, kind: Kind, obj: Mapping[str, Any]) -> Object:
        """Store an object, giving it a uid and a time of creation if it has none."""
        stored = copy.deepcopy(dict(obj))
        metadata = stored.setdefault("metadata", {})
        number = next(self._ids)
        metadata.setdefault("uid", f"uid-{number}")
        metadata["resourceVersion"] = str(number)
        metadata.setdefault("creationTimestamp", self.now.strftime("%Y-%m-%dT%H:%M:%SZ"))
        self.objects[key_of(kind, stored)] = stored
        return stored

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def snapshot(self) -> Self:
        """Give this world as it is now, to plan from when it has become stale."""
        return copy.deepcopy(self)

    # The view

    def get(self, kind: Kind, name: str, namespace: str = "") -> Object | None:
        """Give an object, or None."""
        return self.objects.get(Key(kind, namespace if kind.namespaced else "", name))

    def list(self, kind: Kind, namespace: str = "", selector: Selector | None = None) -> Sequence[Object]:
        """Give objects in order of namespace and name."""
        found = sorted(
            (key.namespace, key.name)
            for key, obj in self.objects.items()
            if key.kind == kind
            and (not namespace or key.namespace == namespace)
            and (selector is None or selector.matches(labels_of(obj)))
        )
        return [self.objects[Key(kind, namespace, name)] for namespace, name in found]

    def unassigned(self, kind: Kind) -> Sequence[Object]:
        return [obj for obj in self.list(kind) if not (obj.get("spec") or {}).get("nodeName")]

    def selecting(self, kind: Kind, namespace: str, labels: Mapping[str, str]) -> Sequence[Object]:
        """Give the objects whose selector means labels."""
        found = self.list(kind, namespace)
        return [obj for obj in found if (asked := obj["spec"].get("selector")) and asked.items() <= labels.items()]

    def controlled_by(self, kind: Kind, owner_uid: str) -> Sequence[Object]:
        """Give the objects that an owner controls."""
        return [obj for obj in self.list(kind) if (controller_of(obj) or {}).get("uid", "") == owner_uid]

    # Carrying out

    def carry_out(self, plan: Plan) -> None:
        """Do what a plan says, as the runtime and an API server would: the first conflict ends it."""
        for action in plan.actions:
            if isinstance(action, Patch) and self._is_conflict(action):
                return
            if isinstance(action, Create):
                self._create(action)
            elif isinstance(action, Patch):
                self._patch(action)
            elif isinstance(action, Delete):
                self._delete(action)
            elif isinstance(action, Bind):
                self._bind(action)
            elif isinstance(action, Require):
                obj = self.objects.get(action.key)
                if obj is None or uid_of(obj) != action.uid or is_being_deleted(obj):
                    return
                if action.revision not in ("", metadata_of(obj)["resourceVersion"]):
                    return
            else:
                self.events.append(action)

    def run(
        self, planner: Callable[[ReadOnlyObject, View], Plan], kind: Kind, name: str, namespace: str = "ns"
    ) -> Plan:
        """Plan one object and carry it out."""
        plan = planner(self.objects[Key(kind, namespace, name)], self)
        self.carry_out(plan)
        return plan

    def settle(
        self, planner: Callable[[ReadOnlyObject, View], Plan], kind: Kind, name: str, namespace: str = "ns"
    ) -> Sequence[Plan]:
        """Plan and carry out until a plan writes nothing; more than 20 rounds is a planner that does not settle."""
        plans = []
        while Key(kind, namespace, name) in self.objects:
            plans.append(self.run(planner, kind, name, namespace))
            if all(isinstance(action, Emit) for action in plans[-1].actions):
                return plans
            assert len(plans) < 20, f"does not settle: {plans[-1]}"
        return plans

    def finish_deletions(self) -> None:
        """Let Pods that are being deleted end."""
        for key in [key for key, obj in self.objects.items() if is_being_deleted(obj)]:
            del self.objects[key]

    def _create(self, action: Create) -> None:
        key = key_of(action.kind, action.object)
        existing = self.objects.get(key)
        if existing is None:
            assert "uid" not in metadata_of(action.object)
            self.put(action.kind, action.object)
        else:
            assert controller_of(existing) == controller_of(action.object), f"{key} belongs to another"

    def _is_conflict(self, action: Patch) -> bool:
        obj = self.objects.get(action.key)
        return obj is not None and action.revision not in ("", metadata_of(obj)["resourceVersion"])

    def _patch(self, action: Patch) -> None:
        obj = self.objects.get(action.key)
        if obj is None or (action.uid and uid_of(obj) != action.uid):
            return
        allowed = {"status", "metadata"} if action.subresource == "status" else set(action.patch) - {"status"}
        assert set(action.patch) <= allowed, f"fields outside of {action.subresource or 'the object'}: {action.patch}"
        self.objects[action.key] = merge(obj, action.patch)
        self.objects[action.key]["metadata"]["resourceVersion"] = str(next(self._ids))

    def _bind(self, action: Bind) -> None:
        obj = self.objects.get(action.key)
        if obj is None or (action.uid and uid_of(obj) != action.uid):
            return
        assert not obj["spec"].get("nodeName"), f"{action.key} has a node"
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": format_time(self.now)}
        others = [condition for condition in conditions_of(obj) if condition["type"] != "PodScheduled"]
        conditions = [*others, scheduled]
        changed = {"spec": {"nodeName": action.node}, "status": {"conditions": conditions}}
        self.objects[action.key] = merge(obj, changed)
        self.objects[action.key]["metadata"]["resourceVersion"] = str(next(self._ids))

    def _delete(self, action: Delete) -> None:
        obj = self.objects.get(action.key)
        if obj is None or (action.uid and uid_of(obj) != action.uid):
            return
        if action.key.kind.kind == "Pod" and (obj.get("spec") or {}).get("nodeName"):
            obj = copy.deepcopy(obj)
            obj["metadata"].setdefault("deletionTimestamp", self.now.strftime("%Y-%m-%dT%H:%M:%SZ"))
            self.objects[action.key] = obj
        else:
            del self.objects[action.key]


def merge(target: Any, patch: Any) -> Any:
    """Apply a merge patch. Source: RFC 7386, section 2."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result


def made(plan: Plan, kind: Kind) -> list[str]:
    """Give the names of the objects of a kind that a plan makes."""
    return [key_of(kind, a.object).name for a in plan.actions if isinstance(a, Create) and a.kind == kind]


def deleted(plan: Plan, kind: Kind) -> list[str]:
    """Give the names of the objects of a kind that a plan deletes."""
    return [a.key.name for a in plan.actions if isinstance(a, Delete) and a.key.kind == kind]


def said(events: Iterable[Any]) -> list[tuple[str, str]]:
    """Give reason and message of the events among actions."""
    return [(e.reason, e.message) for e in events if isinstance(e, Emit)]
