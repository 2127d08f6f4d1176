"""Following the log: changes, subscriptions, and the hub that feeds them from each commit.

A subscription reads the log while it is behind and is fed from memory once it has caught up. Its queue is bounded, in
changes and in bytes: one that fills up is left as it is, and the subscription goes on from the log afterwards. So a
slow reader costs a bounded amount of memory, loses nothing, and is cut off (``Expired``) only when compaction passes
it. All of this runs on the loop.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Literal

from beamhall.embedded.store.tables import decode, whole
from beamhall.kernel.objects import Object, ReadOnlyObject

QUEUE_LIMIT = 1_000
"""Changes that wait in memory for one slow subscriber before it is sent back to the log."""

QUEUE_LIMIT_BYTES = 4 * 1024 * 1024
"""The same in bytes of their objects."""

LATEST = 128
"""Changes that are kept for those that follow them: many an object changes several times in a moment."""

LOG_CHUNK = 256
"""Changes read from the log at once: a few milliseconds of the loop's time."""


class Change:
    """One revision of one object. Shared by all subscribers, so read-only; what is derived is made once, on demand."""

    __slots__ = (
        "_encoded",
        "_object",
        "_old",
        "_previous",
        "_value",
        "name",
        "namespace",
        "resource",
        "revision",
        "type",
    )

    type: Literal["ADDED", "MODIFIED", "DELETED"]

    def __init__(
        self, resource: str, namespace: str, name: str, new: tuple[int, bytes | None], old: tuple[int, bytes | None]
    ) -> None:
        """Take a row of the log: ``new`` and ``old`` are (revision, encoded value) of it and of what it supersedes."""
        self.resource = resource
        self.namespace = namespace
        self.name = name
        self.revision = new[0]
        self.type = "ADDED" if old[1] is None else "DELETED" if new[1] is None else "MODIFIED"
        self._value: bytes = new[1] or old[1] or b""
        self._old = old
        self._object: Object | None = None
        self._previous: Object | None = None
        self._encoded: bytes | None = None

    def follow(self, earlier: "Change | None") -> None:
        """Take what was read of the change before this one, if it was and is what this one supersedes."""
        if earlier is not None and earlier.revision == self._old[0]:
            self._previous = earlier._object

    def __repr__(self) -> str:
        return f"<{self.type} {self.resource} {self.namespace}/{self.name} at {self.revision}>"

    @property
    def object(self) -> ReadOnlyObject:
        """The object after the change; of a deleted one the last state, with the deletion's resourceVersion."""
        if self._object is None:
            if self.type == "DELETED" and self._previous is not None:
                last = self._previous
                self._object = {**last, "metadata": {**last["metadata"], "resourceVersion": str(self.revision)}}
            else:
                self._object = decode(self._value, self.revision)
        return self._object

    @property
    def previous(self) -> ReadOnlyObject | None:
        """The object before the change; None for a created one."""
        if self._previous is None and self._old[1] is not None:
            self._previous = decode(self._old[1], self._old[0])
        return self._previous

    @property
    def encoded(self) -> bytes:
        """The JSON of ``object``, made once for all watchers."""
        if self._encoded is None:
            self._encoded = whole(self._value, self.revision)
        return self._encoded

    @property
    def value(self) -> bytes:
        """The object as it lies in the log; of a deleted one the last state."""
        return self._value

    def own_object(self) -> Object:
        """Give a copy of ``object`` that belongs to the caller."""
        return decode(self._value, self.revision)


ReadLog = Callable[[str, str, int, int], tuple[Sequence[Change], int]]
"""(resource, namespace, since, limit) -> the first changes, and the revision up to which they are complete."""


class Subscription:
    """Every change of a resource after a revision, once and in order: an async iterator for one consumer.

    Ends when the store closes; raises ``Expired`` when the log no longer reaches back far enough. A wait that is
    cancelled (``asyncio.timeout``) loses nothing. Close it, or use it as ``with``, to stop being fed.
    """

    def __init__(self, resource: str, namespace: str, since: int, hub: "Hub") -> None:
        self.resource = resource
        self.namespace = namespace
        self._hub = hub
        self._queue: deque[Change] = deque()
        self._queued_bytes = 0
        self._seen = since  # every change up to here has been queued or does not concern us
        self._is_behind = True
        self._is_closed = False
        self._wake = asyncio.Event()

    def __enter__(self) -> "Subscription":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Change:
        if not await self._filled():
            raise StopAsyncIteration
        change = self._queue.popleft()
        self._queued_bytes -= len(change.value)
        return change

    async def batch(self) -> Sequence[Change]:
        """Wait for a change and give all that are at hand; none at all means the end. Raises as iterating does."""
        await self._filled()
        changes = list(self._queue)
        self._queue.clear()
        self._queued_bytes = 0
        return changes

    @property
    def revision(self) -> int:
        """Every change up to this revision has been handed out; for bookmarks."""
        if self._queue:
            return self._queue[0].revision - 1
        return self._seen if self._is_behind else max(self._seen, self._hub.revision)

    def close(self) -> None:
        """Stop; waiting and further reads end the iteration."""
        self._is_closed = True
        self._queue.clear()
        self._wake.set()
        self._hub.remove(self)

    def offer(self, change: Change) -> None:
        """Take a change from the hub, unless the log will give it anyway."""
        if self._is_behind or change.revision <= self._seen:
            return
        if self.namespace and change.namespace != self.namespace:
            return
        if len(self._queue) >= QUEUE_LIMIT or self._queued_bytes >= QUEUE_LIMIT_BYTES:
            self._is_behind = True
            return
        self._queue.append(change)
        self._queued_bytes += len(change.value)
        self._seen = change.revision
        self._wake.set()

    async def _filled(self) -> bool:
        while not self._queue:
            if self._is_closed:
                return False
            if self._is_behind:
                self._read_log()
                await asyncio.sleep(0)  # a long way to catch up must not hold the loop
            else:
                self._wake.clear()
                await self._wake.wait()
        return True

    def _read_log(self) -> None:
        changes, complete_to = self._hub.read_log(self.resource, self.namespace, self._seen, LOG_CHUNK)
        self._queue.extend(changes)
        self._queued_bytes += sum(len(change.value) for change in changes)
        self._seen = max(self._seen, complete_to)
        # What was committed and not published yet is in the log already: who has read up to there is not behind.
        self._is_behind = bool(changes) and complete_to == changes[-1].revision < self._hub.revision


class Hub:
    """Feeds subscriptions with what was committed. ``revision`` is the last one that was fed."""

    def __init__(self, read_log: ReadLog, revision: int) -> None:
        self.read_log = read_log
        self.revision = revision
        self._subscriptions: dict[str, set[Subscription]] = {}
        self._latest: OrderedDict[tuple[str, str, str], Change] = OrderedDict()

    def add(self, resource: str, namespace: str, since: int) -> Subscription:
        """Begin a subscription; it must be closed."""
        subscription = Subscription(resource, namespace, since, self)
        self._subscriptions.setdefault(resource, set()).add(subscription)
        return subscription

    def remove(self, subscription: Subscription) -> None:
        """Forget a subscription; again is harmless."""
        self._subscriptions.get(subscription.resource, set()).discard(subscription)

    def publish(self, change: Change) -> None:
        """Feed a committed change; they come in order of revision."""
        self.revision = change.revision
        key = (change.resource, change.namespace, change.name)
        change.follow(self._latest.pop(key, None))
        if change.type != "DELETED":
            self._latest[key] = change
            if len(self._latest) > LATEST:
                self._latest.popitem(last=False)
        for subscription in self._subscriptions.get(change.resource, ()):
            subscription.offer(change)

    def close(self) -> None:
        """End every subscription."""
        for subscriptions in self._subscriptions.values():
            for subscription in tuple(subscriptions):
                subscription.close()
