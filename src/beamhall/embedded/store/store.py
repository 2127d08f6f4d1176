"""The store as its users see it: synchronous reads, awaited durable writes, watches.

It joins the reader, the writer's thread and the hub, and carries outcomes from the thread to the loop. What objects
mean (uids, timestamps, validation, who may) is the API server's business. Read ``writer`` for how a write is made.
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar

from beamhall.embedded.store.compaction import Compactor, Retention
from beamhall.embedded.store.counts import Counts
from beamhall.embedded.store.formats import prepare_file
from beamhall.embedded.store.lock import FileLock
from beamhall.embedded.store.reader import Listing, Range, Reader, check_kept
from beamhall.embedded.store.recent import Recent
from beamhall.embedded.store.tables import connect, decode, encode
from beamhall.embedded.store.watch import Hub, Subscription
from beamhall.embedded.store.writer import Compaction, Outcome, Result, Write, Writer
from beamhall.kernel.errors import ApiError, ServiceUnavailable, TooManyRequests
from beamhall.kernel.objects import Object, ReadOnlyObject, name_of, namespace_of

T = TypeVar("T")

WAITING_LIMIT = 10_000
"""Writes that may wait for their commit; more are answered ``TooManyRequests``."""

Monotonic = Callable[[], float]
"""Gives seconds on a clock that never jumps."""

KEEP = Retention()
"""How much of the past stays watchable by default."""


class Store:
    """Objects by (resource, namespace, name), for one event loop. Made by ``open``, ended by ``close``.

    ``resource`` is ``Kind.resource``: ``pods``, ``tfjobs.kubeflow.org``. ``namespace`` is empty for cluster-scoped
    objects. Lists may be asked for on any thread; all else belongs to the loop that opened the store.
    """

    def __init__(
        self, opened: tuple[sqlite3.Connection, Reader], path: Path, lock: FileLock, keep: Retention, now: Monotonic
    ) -> None:
        """Use ``open``."""
        connection, self._reader = opened
        self._lock = lock
        self._loop = asyncio.get_running_loop()
        revision, compacted = self._reader.revisions()
        self._recent = Recent()
        self._counts = Counts(self._reader.counts())
        self._hub = Hub(self._reader.changes, revision)
        compactor = Compactor(connection, path, compacted, keep, now)
        self._writer = Writer(connection, compactor, revision, deliver=self._deliver_from_thread)
        self._waiting: set[asyncio.Future[Result]] = set()
        self._is_open = True
        self._thread = threading.Thread(target=self._write, name="store-writer", daemon=True)
        self._thread.start()

    @classmethod
    async def open(cls, path: Path, *, keep: Retention = KEEP, monotonic: Monotonic = time.monotonic) -> "Store":
        """Open or make a store; a file of an older format is brought up to date first.

        Args:
            path: The database file; its directory must exist. A lock file ``<path>.lock`` is made beside it.
            keep: How much of the past stays watchable before it is forgotten.
            monotonic: Seconds on a clock that never jumps.

        Raises:
            StoreLocked: Another process has it open.
            StoreUnusable: The file is no store, is damaged, or is of a newer format.
        """
        lock = FileLock(path.with_name(path.name + ".lock"))
        with ExitStack() as undo:
            lock.acquire()
            undo.callback(lock.release)
            prepare_file(path)
            connection = undo.enter_context(closing(connect(path, is_writer=True)))
            reader = undo.enter_context(closing(Reader(path)))
            store = cls((connection, reader), path, lock, keep, monotonic)
            undo.pop_all()
        return store

    async def close(self) -> None:
        """Finish the writes that wait, end every watch, and let go of the file. Again is harmless."""
        if not self._is_open:
            return
        self._is_open = False
        self._hub.close()
        self._writer.submit(None)
        await asyncio.to_thread(self._thread.join)
        self._reader.close()
        self._lock.release()

    @property
    def revision(self) -> int:
        """The last revision that was published: watchers were told of it, and lists show it."""
        return self._hub.revision

    @property
    def is_settled(self) -> bool:
        """Whether all that is in the file was published, so that ``get`` shows the state at ``revision``."""
        return self._reader.revisions()[0] == self.revision

    # Reads

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        """Give a fresh object with ``metadata.resourceVersion``, or None. Takes some microseconds."""
        key = (resource, namespace, name)
        row = self._recent.get(key)
        if row is None:
            row = self._reader.get(*key)
            if row is None:
                return None
            self._recent.put(key, row)
        return decode(row[1], row[0])

    def list(
        self,
        resource: str,
        namespace: str = "",
        *,
        limit: int = 0,
        after: tuple[str, str] | None = None,
        at_revision: int = 0,
    ) -> Listing[Object]:
        """List objects in order of namespace and name, as one snapshot. A very long list belongs in a thread.

        Args:
            resource: Such as ``pods``.
            namespace: One namespace; empty: all.
            limit: At most so many; 0: all.
            after: ``Listing.continue_`` of the page before.
            at_revision: ``Listing.revision`` of the first page, so that all pages show one state; 0: now.

        Raises:
            Expired: That revision is no longer kept; begin again.
        """
        return self.list_as(Range(resource, namespace, limit, after, at_revision), decode)

    def list_as(self, wanted: Range, read: Callable[[bytes, int], T | None]) -> Listing[T]:
        """List objects as ``list`` does, making of each what ``read`` makes of its value and revision; None: not it.

        Raises:
            Expired: That revision is no longer kept.
        """
        return self._reader.list(replace(wanted, published=self._hub.revision), read)

    def owned_by(self, uid: str) -> Sequence[tuple[str, str, str]]:
        """Give (resource, namespace, name) of each object with an owner reference to this uid."""
        return self._reader.owned_by(uid)

    def count(self, resource: str, namespace: str = "") -> int:
        """Give the number of objects of a resource, in one namespace or (empty) in all; costs nothing."""
        return self._counts.of(resource, namespace)

    def resources(self) -> Sequence[str]:
        """Give the resources that have at least one object."""
        return self._reader.resources()

    # Writes

    async def create(self, resource: str, obj: ReadOnlyObject) -> Object:
        """Store a new object under its ``metadata.namespace`` and ``name``; give it with its revision, durable.

        Raises:
            AlreadyExists: The name is taken.
            ServiceUnavailable: It could not be written; nothing was changed.
        """
        return await self._submit("create", (resource, namespace_of(obj), name_of(obj)), obj, None)

    async def update(self, resource: str, obj: ReadOnlyObject, *, expected: int | None) -> Object:
        """Replace an object. Where nothing would change, make no revision and give the current one.

        Args:
            resource: Such as ``pods``.
            obj: The whole new object; its own resourceVersion is not looked at.
            expected: The revision that it must still have; None: whatever it has.

        Raises:
            NotFound: There is no such object.
            Conflict: It has another revision.
            ServiceUnavailable: It could not be written; nothing was changed.
        """
        return await self._submit("update", (resource, namespace_of(obj), name_of(obj)), obj, expected)

    async def delete(self, resource: str, namespace: str, name: str, *, expected: int | None = None) -> Object:
        """Remove an object; give its last state with the deletion's revision, as the ``DELETED`` event has it.

        Raises:
            NotFound: There is no such object.
            Conflict: It has another revision than ``expected``.
            ServiceUnavailable: It could not be written; nothing was changed.
        """
        return await self._submit("delete", (resource, namespace, name), None, expected)

    async def compact(self, before_revision: int) -> None:
        """Forget changes up to a revision; the state at it and all later changes stay. Older watches expire."""
        future: asyncio.Future[Result] = self._new_future()
        self._writer.submit(Compaction(before_revision, future))
        await future

    # Watches

    def watch(self, resource: str, namespace: str = "", *, since: int) -> Subscription:
        """Follow every change after a revision (a listing's, or the last seen object's), once and in order.

        The caller closes it (``with store.watch(...) as changes``).

        Raises:
            Expired: Changes since then are no longer kept; list afresh. May also come later, while iterating.
            ServiceUnavailable: The store is closed.
        """
        self._require_open()
        check_kept(since, *self._reader.revisions())
        return self._hub.add(resource, namespace, since)

    # Between the loop and the writer's thread

    def _require_open(self) -> None:
        if not self._is_open:
            raise ServiceUnavailable("the object store is closed: the service is stopping", retry_after_s=1)

    def _new_future(self) -> asyncio.Future[Result]:
        self._require_open()
        if len(self._waiting) >= WAITING_LIMIT:
            raise TooManyRequests("too many writes wait for the disk; try again", retry_after_s=1)
        future: asyncio.Future[Result] = self._loop.create_future()
        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)
        return future

    async def _submit(
        self,
        verb: Literal["create", "update", "delete"],
        key: tuple[str, str, str],
        obj: ReadOnlyObject | None,
        expected: int | None,
    ) -> Object:
        value = b"" if obj is None else encode(obj)
        future = self._new_future()
        self._writer.submit(Write(verb, key, value, expected, future))
        result = await future
        return decode(result.value, result.revision)

    def _write(self) -> None:
        try:
            self._writer.run()
        finally:
            with suppress(RuntimeError):  # the loop ended without close(): nobody is left to be told
                self._loop.call_soon_threadsafe(self._writer_ended)

    def _deliver_from_thread(self, outcomes: Sequence[Outcome]) -> None:
        with suppress(RuntimeError):  # as above; the writes are durable all the same
            self._loop.call_soon_threadsafe(self._deliver, outcomes)

    def _deliver(self, outcomes: Sequence[Outcome]) -> None:
        for _, outcome in outcomes:
            if isinstance(outcome, Result) and outcome.change is not None:
                self._recent.take(outcome.change)
                self._counts.take(outcome.change)
                self._hub.publish(outcome.change)
        for future, outcome in outcomes:
            if future.done():  # whoever asked was cancelled; the write stands
                continue
            if isinstance(outcome, ApiError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    def _writer_ended(self) -> None:
        self._is_open = False
        for future in tuple(self._waiting):
            if not future.done():
                future.set_exception(ServiceUnavailable("the object store has stopped", retry_after_s=1))
