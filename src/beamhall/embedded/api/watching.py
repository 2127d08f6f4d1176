"""Watch: initial objects, changes seen through a selection, bookmarks. ``streams`` writes it to HTTP."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Literal

from beamhall.client.protocol import Selection, WatchEvent
from beamhall.embedded.api.core import Core, as_version
from beamhall.embedded.api.list_options import NOT_OLDER_THAN, ListOptions, WatchOptions, revision_in
from beamhall.embedded.api.reading import Matcher, Reading, matcher_of
from beamhall.embedded.api.resources import Resource
from beamhall.embedded.store.watch import Change, Subscription
from beamhall.kernel.objects import Object, ReadOnlyObject

EventType = Literal["ADDED", "MODIFIED", "DELETED"]


class Watch:
    """One open watch: what has changed, as its selection sees it.

    Args:
        resource: What is watched, in this version.
        initial: Objects that come first, as ``ADDED``.
        changes: The store's changes.
        matches: The selection's test, None if everything passes.
    """

    def __init__(
        self, resource: Resource, initial: Sequence[Object], changes: Subscription, matches: Matcher | None
    ) -> None:
        self._resource = resource
        self._initial = initial
        self._changes = changes
        self._matches = matches
        self._is_stored_version = resource.stored_api_version == resource.kind.api_version

    @property
    def revision(self) -> int:
        """Everything up to this revision has been handed out."""
        return self._changes.revision

    @property
    def has_initial(self) -> bool:
        """Whether objects that were there at the beginning are still to come."""
        return bool(self._initial)

    async def batch(self) -> Sequence[tuple[EventType, ReadOnlyObject, Change | None]] | None:
        """Wait for changes.

        Returns:
            (type, object, the store's change if the object is exactly its) for each; perhaps none of those that came
            concern this watch. None: the watch has ended. The objects are shared: never change them.

        Raises:
            Expired: The changes that follow are no longer kept.
        """
        if self._initial:
            first, self._initial = self._initial, ()
            return [("ADDED", obj, None) for obj in first]
        changes = await self._changes.batch()
        if not changes:
            return None
        return [event for change in changes if (event := self._event(change)) is not None]

    def _event(self, change: Change) -> tuple[EventType, ReadOnlyObject, Change | None] | None:
        """Tell what a change means for this watch; an object that leaves the selection is ``DELETED`` for it."""
        kind: EventType = change.type
        if self._matches is not None:
            is_in = change.type != "DELETED" and self._matches(change.object)
            was_in = change.previous is not None and self._matches(change.previous)
            if not is_in and not was_in:
                return None
            if not is_in and change.type != "DELETED":
                return "DELETED", self._as_it_was(change), None
            kind = "ADDED" if not was_in else "MODIFIED" if is_in else "DELETED"
        if self._is_stored_version:
            return kind, change.object, change
        return kind, as_version(self._resource, change.own_object()), None

    def _as_it_was(self, change: Change) -> Object:
        """Give an object that leaves the selection as it last was in it, with the revision of the change."""
        assert change.previous is not None, "it was in the selection"
        obj = dict(change.previous)
        obj["metadata"] = {**obj["metadata"], "resourceVersion": str(change.revision)}
        return as_version(self._resource, obj)


class Watching:
    """Opens watches.

    Args:
        core: What the verbs share.
        reading: For the objects that come first.
    """

    def __init__(self, core: Core, reading: Reading) -> None:
        self._core = core
        self._reading = reading

    @asynccontextmanager
    async def open(self, resource: Resource, selection: Selection, options: WatchOptions) -> AsyncIterator[Watch]:
        """Open a watch.

        Args:
            resource: What to watch.
            selection: Which of its objects.
            options: From where on, and whether all objects as they are now come first.

        Raises:
            BadRequest: The selection or the revision cannot be read.
            Expired: The revision is no longer kept, or is not of this store.
            Timeout: What comes first is wanted as it will be at a revision that this store has not reached.
        """
        matches = matcher_of(resource, selection)
        since = revision_in(options.revision)
        sends_initial = not since if options.sends_initial is None else options.sends_initial
        initial: Sequence[Object] = ()
        if sends_initial:
            wanted = ListOptions(revision=options.revision, match=NOT_OLDER_THAN)
            page = await self._reading.list(resource, selection, wanted)
            initial, since = page.items, int(page.revision)
        with self._core.store.watch(
            resource.name, selection.namespace, since=since or self._core.store.revision
        ) as changes:
            yield Watch(resource, initial, changes, matches)


async def events_of(watch: Watch) -> AsyncIterator[WatchEvent]:
    """Give a watch's events one by one; their objects are shared by all watchers."""
    while (batch := await watch.batch()) is not None:
        for kind, obj, _ in batch:
            yield WatchEvent(kind, obj)
