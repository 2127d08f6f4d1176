"""What controllers know of the cluster: copies of the watched kinds, kept by list and watch, with indexes.

Read-only for everyone but the manager, which hands in what the reflector saw. Objects are shared: nobody changes one.
``Sighting`` tells when a view has come to show a write of ours. Read ``manager`` for who feeds this.
"""

import asyncio
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from beamhall.client.reflector import Change, Removed, Replaced, Upserted
from beamhall.kernel.clock import Clock
from beamhall.kernel.kinds import Kind
from beamhall.kernel.label_index import Carriers, Choosers
from beamhall.kernel.objects import (
    ReadOnlyObject,
    controller_of,
    is_being_deleted,
    labels_of,
    metadata_of,
    name_of,
    namespace_of,
    uid_of,
)
from beamhall.kernel.selectors import Selector

Name = tuple[str, str]
"""Namespace and name: names an object of a kind."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One object that changed in a view: before and after, None where it was not there."""

    old: ReadOnlyObject | None
    new: ReadOnlyObject | None


class Sighting:
    """Whether the view shows one write yet. Begin it before the write: what it shows may arrive before the answer does.

    resourceVersions are opaque, so a later one cannot be told from an earlier one: every version that the view shows
    meanwhile is noted, and the write has been seen when its own is among them, or the object has gone, or a whole list
    was taken in.
    """

    def __init__(self, obj: ReadOnlyObject | None) -> None:
        self._first_uid = uid_of(obj or {})
        self._newest = obj
        self._revisions: set[str] = set()
        self._uids: set[str] = set()
        self._ending: set[str] = set()
        self._gone: set[str] = set()
        self._was_listed = False
        self._is_shown: Callable[[], bool] | None = None
        self._happened = asyncio.Event()
        self._note_version(obj)

    def note(self, seen: Seen) -> None:
        """Take a change of the object in the view."""
        if seen.old is not None and (seen.new is None or uid_of(seen.new) != uid_of(seen.old)):
            self._gone.add(uid_of(seen.old))
        self._newest = seen.new
        self._note_version(seen.new)
        self._check()

    def note_list(self) -> None:
        """Take that the view was replaced by a fresh list."""
        self._was_listed = True
        self._check()

    def expect_created(self, obj: ReadOnlyObject) -> None:
        """Wait for any version of this object: its uid is enough."""
        uid = uid_of(obj)
        self._expect(lambda: uid in self._uids)

    def expect_revision(self, obj: ReadOnlyObject) -> None:
        """Wait for this very version of the object, or its end."""
        revision, uid = _revision(obj), uid_of(obj)
        self._expect(lambda: revision in self._revisions or uid in self._gone)

    def expect_state(self, holds: Callable[[ReadOnlyObject], bool]) -> None:
        """Wait until the object is as a write made it, or its end; for writes whose answer is not the object."""
        self._expect(lambda: self._newest is None or holds(self._newest))

    def expect_deleted(self, uid: str = "") -> None:
        """Wait for the end of an object, or for its deletion to have begun. Empty uid: whichever the view had."""
        wanted = uid or self._first_uid
        self._expect(lambda: wanted not in self._uids or wanted in self._ending or wanted in self._gone)

    async def happened(self) -> None:
        """Wait until the view shows it."""
        await self._happened.wait()

    @property
    def is_pending(self) -> bool:
        """Whether a write was made that the view does not show yet."""
        return self._is_shown is not None and not self._happened.is_set()

    @property
    def was_missed(self) -> bool:
        """Whether a whole list came instead of what was written: it may be gone again, and no change will tell."""
        return self._is_shown is not None and self._was_listed and not self._is_shown()

    def _note_version(self, obj: ReadOnlyObject | None) -> None:
        if obj is not None:
            self._revisions.add(_revision(obj))
            self._uids.add(uid_of(obj))
            if is_being_deleted(obj):
                self._ending.add(uid_of(obj))

    def _expect(self, is_shown: Callable[[], bool]) -> None:
        self._is_shown = is_shown
        self._check()

    def _check(self) -> None:
        if self._is_shown is not None and (self._was_listed or self._is_shown()):
            self._happened.set()


class Cache:
    """The objects of one kind, as the view last saw them."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.is_synced = False
        self._objects: dict[Name, ReadOnlyObject] = {}
        self._names: dict[str, list[str]] = {}  # by namespace, in order
        self._controlled: dict[str, set[Name]] = {}
        self._sightings: dict[Name, list[Sighting]] = {}
        self._carriers: Carriers | None = None  # all three from when they are first asked for
        self._choosers: Choosers | None = None
        self._unassigned: set[Name] | None = None

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, namespace: str, name: str) -> ReadOnlyObject | None:
        """Give an object, or None."""
        return self._objects.get((namespace, name))

    def list(self, namespace: str = "") -> Iterable[ReadOnlyObject]:
        """Give the objects of one namespace, or of all, in order of namespace and name."""
        namespaces = (namespace,) if namespace else sorted(self._names)
        return (self._objects[space, name] for space in namespaces for name in self._names.get(space, ()))

    def selected(self, namespace: str, selector: Selector) -> Sequence[ReadOnlyObject]:
        """Give the objects of one namespace, or of all, that a selector means, in order of namespace and name."""
        asked = {need.key: next(iter(need.values)) for need in selector.requirements if need.is_equality}
        if not (namespace and asked):
            return [obj for obj in self.list(namespace) if selector.matches(labels_of(obj))]
        if self._carriers is None:
            self._carriers = Carriers()
            for name, obj in self._objects.items():
                self._carriers.put(name, labels_of(obj))
        names = sorted(self._carriers.of(namespace, asked))
        return [obj for obj in map(self._objects.__getitem__, names) if selector.matches(labels_of(obj))]

    def selecting(self, namespace: str, labels: Mapping[str, str]) -> Sequence[ReadOnlyObject]:
        """Give the objects of a namespace whose ``spec.selector``, plain labels, means these, in order of name."""
        if self._choosers is None:
            self._choosers = Choosers()
            for name, obj in self._objects.items():
                self._choosers.put(name, _selector(obj))
        return [self._objects[name] for name in sorted(self._choosers.of(namespace, labels))]

    def unassigned(self) -> Sequence[ReadOnlyObject]:
        """Give the objects that have no ``spec.nodeName``, in order of namespace and name."""
        if self._unassigned is None:
            self._unassigned = {name for name, obj in self._objects.items() if not _has_node(obj)}
        return [self._objects[name] for name in sorted(self._unassigned)]

    def controlled_by(self, uid: str) -> Sequence[ReadOnlyObject]:
        """Give the objects whose controller has this uid (empty: none), in order of namespace and name."""
        return [self._objects[name] for name in sorted(self._controlled.get(uid, ()))]

    def begin_sighting(self, namespace: str, name: str) -> Sighting:
        """Begin to note what the view shows of an object; ``end_sighting`` ends it."""
        sighting = Sighting(self.get(namespace, name))
        self._sightings.setdefault((namespace, name), []).append(sighting)
        return sighting

    def end_sighting(self, namespace: str, name: str, sighting: Sighting) -> None:
        """Stop noting."""
        sightings = self._sightings.get((namespace, name), [])
        if sighting in sightings:
            sightings.remove(sighting)
        if not sightings:
            self._sightings.pop((namespace, name), None)

    def take(self, change: Change) -> Sequence[Seen]:
        """Take a change in; give what changed by it, one by one."""
        if isinstance(change, Replaced):
            return self._replace(change)
        if isinstance(change, Upserted):
            return self._set(_name(change.object), change.object)
        if isinstance(change, Removed):
            return self._set(_name(change.object), None)
        return ()

    def _replace(self, change: Replaced) -> Sequence[Seen]:
        objects = {_name(obj): obj for obj in change.objects}
        seen: list[Seen] = []
        for name in [name for name in self._objects if name not in objects]:
            seen += self._set(name, None)
        for name, obj in objects.items():
            seen += self._set(name, obj)
        for sightings in tuple(self._sightings.values()):
            for sighting in sightings:
                sighting.note_list()
        self.is_synced = True
        return seen

    def _set(self, name: Name, new: ReadOnlyObject | None) -> Sequence[Seen]:
        old = self._objects.get(name)
        if old is None and new is None:
            return ()
        if old is not None and new is not None and _revision(old) == _revision(new) and uid_of(old) == uid_of(new):
            return ()
        self._index(name, old, new)
        self._index_labels(name, new)
        if self._unassigned is not None:
            (self._unassigned.discard if new is None or _has_node(new) else self._unassigned.add)(name)
        if new is None:
            del self._objects[name]
        else:
            self._objects[name] = new
        seen = Seen(old, new)
        for sighting in self._sightings.get(name, ()):
            sighting.note(seen)
        return (seen,)

    def _index(self, name: Name, old: ReadOnlyObject | None, new: ReadOnlyObject | None) -> None:
        names = self._names.setdefault(name[0], [])
        if old is None:
            insort(names, name[1])
        elif new is None:
            del names[bisect_left(names, name[1])]
            if not names:
                del self._names[name[0]]
        old_uid, new_uid = _controller_uid(old), _controller_uid(new)
        if old_uid == new_uid:
            return
        if old_uid is not None:
            self._controlled[old_uid].discard(name)
            if not self._controlled[old_uid]:
                del self._controlled[old_uid]
        if new_uid is not None:
            self._controlled.setdefault(new_uid, set()).add(name)

    def _index_labels(self, name: Name, new: ReadOnlyObject | None) -> None:
        for index, read in ((self._carriers, labels_of), (self._choosers, _selector)):
            if index is not None and new is None:
                index.drop(name)
            elif index is not None and new is not None:
                index.put(name, read(new))


class Views:
    """The caches of every watched kind."""

    def __init__(self, kinds: Iterable[Kind], clock: Clock) -> None:
        self._clock = clock
        self.caches: Mapping[Kind, Cache] = {kind: Cache(kind) for kind in kinds}

    def present(self) -> "Present":
        """Give what is known now, for one call of a planner."""
        return Present(self.caches, self._clock.now())


@dataclass(frozen=True, slots=True)
class Present:
    """A ``kernel.plan.View``: the caches, and one time. Good until the loop runs on."""

    caches: Mapping[Kind, Cache]
    now: datetime

    def get(self, kind: Kind, name: str, namespace: str = "") -> ReadOnlyObject | None:
        """Give an object, or None if the view does not hold it."""
        return self._cache(kind).get(namespace, name)

    def list(self, kind: Kind, namespace: str = "", selector: Selector | None = None) -> Sequence[ReadOnlyObject]:
        """Give the objects of a kind, in one namespace or (empty) in all, in order of namespace and name."""
        cache = self._cache(kind)
        return tuple(cache.list(namespace)) if selector is None else cache.selected(namespace, selector)

    def selecting(self, kind: Kind, namespace: str, labels: Mapping[str, str]) -> Sequence[ReadOnlyObject]:
        """Give the objects of a kind whose ``spec.selector``, plain labels, means these, in order of name."""
        return self._cache(kind).selecting(namespace, labels)

    def unassigned(self, kind: Kind) -> Sequence[ReadOnlyObject]:
        """Give the objects of a kind that have no ``spec.nodeName``, in order of namespace and name."""
        return self._cache(kind).unassigned()

    def controlled_by(self, kind: Kind, owner_uid: str) -> Sequence[ReadOnlyObject]:
        """Give the objects of a kind whose controller reference carries this uid (empty: none), in order of name."""
        return self._cache(kind).controlled_by(owner_uid)

    def _cache(self, kind: Kind) -> Cache:
        try:
            return self.caches[kind]
        except KeyError:
            raise LookupError(
                f"no controller watches {kind.resource}; add it to the watches of the one that asks"
            ) from None


def _name(obj: ReadOnlyObject) -> Name:
    return namespace_of(obj), name_of(obj)


def _has_node(obj: ReadOnlyObject) -> bool:
    spec = obj.get("spec")
    return isinstance(spec, Mapping) and bool(spec.get("nodeName"))


def _selector(obj: ReadOnlyObject) -> Mapping[str, str]:
    return (obj.get("spec") or {}).get("selector") or {}


def _revision(obj: ReadOnlyObject | None) -> str:
    return str(metadata_of(obj or {}).get("resourceVersion") or "")


def _controller_uid(obj: ReadOnlyObject | None) -> str | None:
    """Give the uid of an object's controller, empty if it has none; None without an object."""
    if obj is None:
        return None
    return str((controller_of(obj) or {}).get("uid") or "")
