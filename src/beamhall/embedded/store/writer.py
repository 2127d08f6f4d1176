"""The one thread that writes: it takes whatever waits, applies it in one transaction, and syncs once (group commit).

A write is checked against the state that the writes before it in the same group leave behind, so optimistic concurrency
is exact. Nothing is reported before the commit is on disk; if the commit fails, every write of the group fails. While
no write waits, ``compaction`` keeps the file bounded. Read ``store`` for who feeds this.
"""

import queue
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import structlog

from beamhall.embedded.store.compaction import Compactor
from beamhall.embedded.store.failures import write_failure
from beamhall.embedded.store.tables import is_same, owners_in
from beamhall.embedded.store.watch import Change
from beamhall.kernel.errors import AlreadyExists, ApiError, Conflict, NotFound

_log = structlog.get_logger(__name__)

GROUP_LIMIT = 512
"""Writes in one transaction: bounds how long the first of them waits for the last."""

_AFTER_FAILURE_S = 10.0
"""Until what could not be tidied is tried again: the disk is full, as a rule."""


@dataclass(frozen=True, slots=True, eq=False)
class Write:
    """One write that waits. ``future`` is an ``asyncio.Future``; the thread only hands it on.

    Attributes:
        verb: What is wanted.
        key: (resource, namespace, name).
        value: The encoded object; empty for ``delete``.
        expected: The revision that the object must have; None: any.
        future: Gets the ``Result``, or the error.
    """

    verb: Literal["create", "update", "delete"]
    key: tuple[str, str, str]
    value: bytes
    expected: int | None
    future: Any


@dataclass(frozen=True, slots=True, eq=False)
class Compaction:
    """A wish to forget the changes up to a revision; ``future`` gets None when that is done."""

    before: int
    future: Any


@dataclass(frozen=True, slots=True)
class Result:
    """What a write came to: the revision and encoded object that are current now, and the change, if it made one."""

    revision: int
    value: bytes
    change: Change | None


Outcome = tuple[Any, Result | ApiError | None]
"""A future, and what it is to be resolved with."""

Deliver = Callable[[Sequence[Outcome]], None]
"""Takes the outcomes of a group, in order; called on the writer's thread."""


class Writer:
    """Owns the writing connection. ``submit`` may be called from anywhere; ``run`` is the thread's body.

    Args:
        connection: Used by nobody else.
        compactor: On the same connection; keeps the file bounded.
        revision: The last committed revision.
        deliver: Told of each group after its commit.
    """

    def __init__(
        self, connection: sqlite3.Connection, compactor: Compactor, revision: int, *, deliver: Deliver
    ) -> None:
        self._connection = connection
        self._compactor = compactor
        self._revision = revision
        self._deliver = deliver
        self._waiting: queue.SimpleQueue[Write | Compaction | None] = queue.SimpleQueue()

    def submit(self, item: Write | Compaction | None) -> None:
        """Queue a write; None ends the thread after what was queued before."""
        self._waiting.put(item)

    def run(self) -> None:
        """Write until told to end."""
        pause_s: float | None = 0.0
        try:
            while True:
                group, is_last = self._next_group(pause_s)
                writes = [item for item in group if isinstance(item, Write)]
                if writes:
                    self._deliver(self._commit(writes))
                    self._compactor.bound_wal()
                for item in group:
                    if isinstance(item, Compaction):
                        self._compact(item, is_last=is_last)
                if is_last:
                    return
                pause_s = 0.0 if self._waiting.qsize() else self._tidy()
        finally:
            self._connection.close()

    def _next_group(self, pause_s: float | None) -> tuple[Sequence[Write | Compaction], bool]:
        """Wait for something to do, then take all that is there, up to the limit. The flag says that it is the last.

        Args:
            pause_s: Wait no longer than this, and then give nothing; None: as long as it takes.
        """
        group: list[Write | Compaction] = []
        with suppress(queue.Empty):
            item = self._waiting.get(timeout=pause_s)
            while item is not None:
                group.append(item)
                if len(group) == GROUP_LIMIT:
                    return group, False
                item = self._waiting.get_nowait()
            return group, True
        return group, False

    def _tidy(self) -> float | None:
        """Do a little of what keeps the file small; give the seconds until there is more of it to do."""
        try:
            return self._compactor.step(self._revision)
        except sqlite3.Error as err:
            self._roll_back()
            _log.warning("store_not_tidied", error=str(err))
            return _AFTER_FAILURE_S

    def _commit(self, writes: Sequence[Write]) -> Sequence[Outcome]:
        revision, compacted = self._revision, self._compactor.compacted
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            outcomes = [(write.future, self._apply(write)) for write in writes]
            self._compactor.forget_some(self._revision, len(writes))
            self._connection.execute("COMMIT")
        except sqlite3.Error as err:
            self._revision, self._compactor.compacted = revision, compacted
            self._roll_back()
            return [(write.future, write_failure(err)) for write in writes]
        return outcomes

    def _roll_back(self) -> None:
        if self._connection.in_transaction:  # SQLite rolls back itself on some errors, such as a full disk
            self._connection.execute("ROLLBACK")

    def _apply(self, write: Write) -> Result | ApiError:
        """Apply one write inside the transaction, or say why not; whoever is refused has changed nothing."""
        row = self._connection.execute(
            "SELECT l.revision, l.value FROM current c JOIN log l ON l.revision = c.revision"
            " WHERE c.resource = ? AND c.namespace = ? AND c.name = ?",
            write.key,
        ).fetchone()
        refusal = _refusal(write, None if row is None else row[0])
        if refusal is not None:
            return refusal
        if write.verb == "create":
            return self._append(write.key, write.value, (0, None))
        old_revision, old_value = row
        if write.verb == "delete":
            return self._append(write.key, None, (old_revision, old_value))
        if is_same(old_value, write.value):
            return Result(old_revision, old_value, None)
        return self._append(write.key, write.value, (old_revision, old_value))

    def _append(self, key: tuple[str, str, str], value: bytes | None, old: tuple[int, bytes | None]) -> Result:
        execute = self._connection.execute
        revision = self._revision + 1
        execute("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)", (revision, *key, old[0], value))
        if value is None:
            execute("DELETE FROM current WHERE resource = ? AND namespace = ? AND name = ?", key)
        else:
            execute("INSERT OR REPLACE INTO current VALUES (?, ?, ?, ?)", (*key, revision))
        owners = owners_in(value) if value else frozenset()
        old_owners = owners_in(old[1]) if old[1] else frozenset()
        for uid in old_owners - owners:
            execute("DELETE FROM owners WHERE uid = ? AND resource = ? AND namespace = ? AND name = ?", (uid, *key))
        for uid in owners - old_owners:
            execute("INSERT INTO owners VALUES (?, ?, ?, ?)", (uid, *key))
        self._revision = revision
        return Result(revision, value or old[1] or b"", Change(*key, (revision, value), old))

    def _compact(self, wish: Compaction, *, is_last: bool) -> None:
        """Forget one chunk, and queue the rest behind the writes that wait."""
        target = min(wish.before, self._revision)
        try:
            self._compactor.forget_at_once(target)
        except sqlite3.Error as err:
            self._roll_back()
            self._deliver([(wish.future, write_failure(err))])
            return
        if self._compactor.compacted >= target or is_last:
            self._deliver([(wish.future, None)])
        else:
            self.submit(wish)


def _refusal(write: Write, current: int | None) -> ApiError | None:
    resource, _, name = write.key
    if write.verb == "create":
        return None if current is None else AlreadyExists(f'{resource} "{name}" already exists')
    if current is None:
        return NotFound(f'{resource} "{name}" not found')
    if write.expected is not None and write.expected != current:
        return Conflict(
            f'Operation cannot be fulfilled on {resource} "{name}": the object has been modified;'
            " please apply your changes to the latest version and try again"
        )
    return None
