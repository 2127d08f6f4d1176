"""What a controller is: a planner, the kinds that its view holds, and which key a change concerns.

Nothing here runs: ``worker`` does. ``kernel.planner.Planner`` is the plain form that packages with planners export.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from beamhall.kernel.kinds import Kind
from beamhall.kernel.objects import Key, ReadOnlyObject, controller_of, key_of, labels_of, namespace_of
from beamhall.kernel.plan import Plan, View
from beamhall.kernel.planner import Concerns, Planner

Keys = Callable[[ReadOnlyObject], Iterable[Key]]
"""Which keys to plan when this object was made, changed or removed."""


@dataclass(frozen=True, slots=True)
class Watch:
    """A further kind that a controller's view holds.

    Attributes:
        kind: The kind.
        keys: Which keys a change of one concerns; None: that of its controller, if that is of the primary kind.
    """

    kind: Kind
    keys: Keys | None = None


@dataclass(frozen=True, slots=True)
class Controller:
    """A planner and what to show it.

    Attributes:
        name: Names it in logs, metrics, stories, and as the source of its Events.
        kind: The primary kind: each of its objects is a key.
        plan: The pure function. It is not called for objects that are gone; of a singleton it gets an empty object.
        watches: Further kinds in the view.
        singleton: There is one key, and every change of any of its kinds concerns it.
        concerns: Further keys that a change of a watched object concerns.
        rest_s: Once a key was planned, it rests for so many seconds.
    """

    name: str
    kind: Kind
    plan: Callable[[ReadOnlyObject, View], Plan]
    watches: Sequence[Watch] = field(default=())
    singleton: bool = False
    concerns: Concerns | None = None
    rest_s: float = 0.0

    @classmethod
    def of(cls, planner: Planner) -> "Controller":
        """Make the controller of a planner, its watches mapped to controllers."""
        watches = tuple(Watch(kind) for kind in planner.watches)
        return cls(
            planner.name, planner.kind, planner.plan, watches, planner.singleton, planner.concerns, planner.rest_s
        )

    @property
    def kinds(self) -> frozenset[Kind]:
        """All kinds of its view."""
        return frozenset({self.kind, *(watch.kind for watch in self.watches)})

    @property
    def single_key(self) -> Key:
        """The one key of a singleton."""
        return Key(self.kind, "", "")

    def keys_for(self, kind: Kind, obj: ReadOnlyObject, view: View) -> set[Key]:
        """Give the keys that a change of this object concerns, as far as the view shows them."""
        if self.singleton:
            return {self.single_key}
        keys = {key_of(kind, obj)} if kind == self.kind else set()
        for watch in self.watches:
            if watch.kind == kind:
                keys.update((watch.keys or by_controller(self.kind))(obj))
                if self.concerns is not None:
                    keys.update(self.concerns(obj, view))
        return keys


def by_controller(kind: Kind) -> Keys:
    """Concern the object's controller, if it is of this kind (of any version of it)."""

    def keys(obj: ReadOnlyObject) -> Iterable[Key]:
        reference = controller_of(obj)
        if reference is None or reference.get("kind") != kind.kind:
            return ()
        group = str(reference.get("apiVersion") or "").rpartition("/")[0]
        if group != kind.group:
            return ()
        return (Key(kind, namespace_of(obj) if kind.namespaced else "", str(reference.get("name") or "")),)

    return keys


def by_label(kind: Kind, label: str) -> Keys:
    """Concern the object of this kind, in the same namespace, that a label names."""

    def keys(obj: ReadOnlyObject) -> Iterable[Key]:
        name = labels_of(obj).get(label)
        return (Key(kind, namespace_of(obj) if kind.namespaced else "", name),) if name else ()

    return keys


def by_name(kind: Kind) -> Keys:
    """Concern the object of this kind that has the same namespace and name."""
    return lambda obj: (key_of(kind, obj),)
