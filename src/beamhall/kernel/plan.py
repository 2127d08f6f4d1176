"""The seam between deciding and doing: a planner reads a ``View`` and returns a ``Plan``.

``plan_<kind>(object, view) -> Plan`` is a pure function: same object and view, same plan, whatever happened before.
Views may be stale, so children have deterministic names and every action may be carried out twice. The runtime
(``beamhall.runtime``) keeps views and carries plans out; planners never see it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from beamhall.kernel.kinds import Kind
from beamhall.kernel.objects import Key, Object, ReadOnlyObject
from beamhall.kernel.selectors import Selector


@dataclass(frozen=True, slots=True)
class Create:
    """Make an object. An object of that name that already has the same controller counts as made."""

    kind: Kind
    object: Object


@dataclass(frozen=True, slots=True)
class Patch:
    """Merge-patch an object (RFC 7386), naming only our own fields.

    Attributes:
        key: Which object.
        patch: The merge patch, rooted at the object.
        subresource: Empty, or ``status``.
        uid: If set, only an object with this uid is changed; another one of that name is left alone.
        revision: If set, the resourceVersion that the object must still have. A conflict plans again.
    """

    key: Key
    patch: Mapping[str, Any]
    subresource: Literal["", "status"] = ""
    uid: str = ""
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete an object; one that is gone already, or has another uid, counts as deleted."""

    key: Key
    uid: str = ""
    grace_period_s: int | None = None
    propagation: Literal["", "Background", "Foreground", "Orphan"] = ""


@dataclass(frozen=True, slots=True)
class Bind:
    """Give a Pod its node, for good. A Pod that is gone, has another uid or has a node already is left as it is."""

    key: Key
    node: str
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Require:
    """Go on only if an object, read afresh, still has this uid and is not being deleted; otherwise plan again.

    For the few decisions that a stale view would make wrong for good, such as taking an orphan in.

    Attributes:
        key: Which object.
        uid: The uid that it must have.
        revision: If set, the resourceVersion that it must still have.
    """

    key: Key
    uid: str
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Emit:
    """Record an Event about an object, after the plan's writes have been carried out.

    Attributes:
        kind: What the object is.
        about: The object.
        reason: One word in CamelCase.
        message: For people.
        type: Whether something is wrong.
        is_fleeting: It tells of the way to something, and nobody misses it where the object is gone a moment later.
    """

    kind: Kind
    about: ReadOnlyObject
    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Normal"
    is_fleeting: bool = False


Action = Create | Patch | Delete | Bind | Require | Emit


@dataclass(frozen=True, slots=True)
class Plan:
    """What a planner wants done, in order.

    Attributes:
        actions: Writes and events. They are carried out in order; an error stops the rest and plans again. Neighbours
            of one sort (Creates of Pods, Creates of other kinds, Patches of one kind and subresource, Deletes of one
            kind, Binds) on different objects may go out together.
        again_after_s: Plan this key again after so many seconds even if nothing changes; None: only on change.
        why: One line for the object's story, for people: why these actions.
    """

    actions: Sequence[Action] = field(default=())
    again_after_s: float | None = None
    why: str = ""


class View(Protocol):
    """What a planner may know of the world: a recent, possibly stale, picture of watched kinds, and the time."""

    @property
    def now(self) -> datetime:
        """The time, in UTC."""
        ...

    def get(self, kind: Kind, name: str, namespace: str = "") -> ReadOnlyObject | None:
        """Give an object, or None if the view does not hold it."""
        ...

    def list(self, kind: Kind, namespace: str = "", selector: Selector | None = None) -> Sequence[ReadOnlyObject]:
        """Give the objects of a kind, in one namespace or (empty) in all, in order of namespace and name."""
        ...

    def selecting(self, kind: Kind, namespace: str, labels: Mapping[str, str]) -> Sequence[ReadOnlyObject]:
        """Give the objects of a kind in a namespace whose ``spec.selector`` means these labels, in order of name.

        For kinds whose selector is plain labels, as that of Services; an empty one means nothing.
        """
        ...

    def unassigned(self, kind: Kind) -> Sequence[ReadOnlyObject]:
        """Give the objects of a kind that have no ``spec.nodeName``, in order of namespace and name."""
        ...

    def controlled_by(self, kind: Kind, owner_uid: str) -> Sequence[ReadOnlyObject]:
        """Give the objects of a kind whose controller reference carries this uid, in order of name.

        An empty uid means those that nobody controls.
        """
        ...
