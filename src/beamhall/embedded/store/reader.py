"""Queries on committed state. They are synchronous and short; each sees one consistent snapshot.

Reads never wait for the writer (WAL). Any thread may call, so that a very long list can leave the loop. A commit is in
the file a moment before it is published; whoever must not see it early says which revision is wanted. Next: ``watch``.
"""

import heapq
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Generic, TypeVar

from beamhall.embedded.store.failures import read_failure
from beamhall.embedded.store.tables import connect
from beamhall.embedded.store.watch import Change
from beamhall.kernel.errors import Expired

_REVISION = "SELECT max(coalesce((SELECT max(revision) FROM log), 0), revision), revision FROM compacted"
_GET = (
    "SELECT l.revision, l.value FROM current c JOIN log l ON l.revision = c.revision"
    " WHERE c.resource = ? AND c.namespace = ? AND c.name = ?"
)
# CROSS JOIN fixes the order of the loops: along the index of ``current``, so that LIMIT ends it early.
_LIST = (
    "SELECT c.namespace, c.name, c.revision, l.value FROM current c CROSS JOIN log l ON l.revision = c.revision"
    " WHERE c.resource = ?{scope} AND c.revision <= ? ORDER BY c.namespace, c.name LIMIT ?"
)
# The versions that were current at a revision and have been superseded or deleted since.
_SINCE_CHANGED = (
    "SELECT p.namespace, p.name, p.revision, p.value FROM log s JOIN log p ON p.revision = s.previous"
    " WHERE s.resource = ? AND s.revision > ? AND s.previous > 0 AND s.previous <= ?"
)
_CHANGES = (
    "SELECT l.revision, l.namespace, l.name, l.previous, l.value, p.value FROM log l"
    " LEFT JOIN log p ON l.previous > 0 AND p.revision = l.previous"
    " WHERE l.resource = ? AND l.revision > ?{scope} ORDER BY l.revision LIMIT ?"
)


_Row = tuple[str, str, int, bytes]
"""namespace, name, revision, value."""

_ChangeRow = tuple[int, str, str, int, bytes | None, bytes | None]
"""revision, namespace, name, previous revision, value, previous value."""

CHANGES_BYTES = 4 * 1024 * 1024
"""How much of the log is read at once."""


@dataclass(frozen=True, slots=True)
class Range:
    """Which part of a resource's objects a listing wants.

    Attributes:
        resource: Such as ``pods``.
        namespace: One namespace; empty: all.
        limit: At most so many; 0: all.
        after: (namespace, name) of the last object of the page before.
        at_revision: The state as it was then; 0: the last one that was published.
        published: The last revision that was published; used where at_revision is 0.
    """

    resource: str
    namespace: str = ""
    limit: int = 0
    after: tuple[str, str] | None = None
    at_revision: int = 0
    published: int = 0


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """Objects in order of namespace and name, all as they were at ``revision``; they belong to the caller.

    Attributes:
        items: The objects, as they were read.
        revision: Watch from here to see every later change.
        continue_: (namespace, name) to go on after, with ``at_revision=revision``; None: this was the last page.
    """

    items: Sequence[T]
    revision: int
    continue_: tuple[str, str] | None = None


class Reader:
    """Reads from a few connections, one for each reading thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._is_closed = False

    def close(self) -> None:
        """Close every connection; one that is still reading closes its own at its end."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = connect(self._path)
        try:
            yield connection
        except sqlite3.Error as err:
            raise read_failure(err) from err
        finally:
            self._idle.append(connection)
            if self._is_closed:
                self.close()

    @contextmanager
    def _snapshot(self) -> Iterator[tuple[sqlite3.Connection, int, int]]:
        """Give a connection inside a read transaction, the revision that it sees, and the compacted revision."""
        with self._connection() as connection:
            connection.execute("BEGIN")
            try:
                revision, compacted = connection.execute(_REVISION).fetchone()
                yield connection, revision, compacted
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def revisions(self) -> tuple[int, int]:
        """Give the last committed revision, and the revision before which changes are no longer kept."""
        with self._connection() as connection:
            revision, compacted = connection.execute(_REVISION).fetchone()
            return revision, compacted

    def get(self, resource: str, namespace: str, name: str) -> tuple[int, bytes] | None:
        """Give an object's revision and encoded value, or None."""
        with self._connection() as connection:
            row: tuple[int, bytes] | None = connection.execute(_GET, (resource, namespace, name)).fetchone()
            return row

    def list(self, wanted: Range, read: Callable[[bytes, int], T | None]) -> Listing[T]:
        """Give a range of objects as they are, or were at ``wanted.at_revision``.

        Args:
            wanted: Which.
            read: What is made of each value and its revision; None leaves it out.

        Raises:
            Expired: That revision is no longer kept, or is not of this store.
        """
        scope, arguments = _scope(wanted)
        with self._snapshot() as (connection, revision, compacted):
            at = wanted.at_revision or max(wanted.published, compacted)
            check_kept(at, revision, compacted)
            limit = wanted.limit + 1 if wanted.limit else -1
            query = _LIST.format(scope=scope)
            rows = connection.execute(query, (wanted.resource, *arguments, at, limit)).fetchall()
            if at < revision:
                rows = _merged(rows, self._changed_since(connection, wanted, at))
        if not wanted.limit or len(rows) <= wanted.limit:
            return Listing(_read_all(rows, read), at)
        del rows[wanted.limit :]
        return Listing(_read_all(rows, read), at, (rows[-1][0], rows[-1][1]))

    def _changed_since(self, connection: sqlite3.Connection, wanted: Range, at: int) -> Sequence[_Row]:
        def is_wanted(row: _Row) -> bool:
            in_namespace = not wanted.namespace or row[0] == wanted.namespace
            return in_namespace and (wanted.after is None or (row[0], row[1]) > wanted.after)

        return sorted(filter(is_wanted, connection.execute(_SINCE_CHANGED, (wanted.resource, at, at))))

    def owned_by(self, uid: str) -> Sequence[tuple[str, str, str]]:
        """Give (resource, namespace, name) of every object that has an owner reference with this uid."""
        with self._connection() as connection:
            query = "SELECT resource, namespace, name FROM owners WHERE uid = ? ORDER BY 1, 2, 3"
            return connection.execute(query, (uid,)).fetchall()

    def counts(self) -> Sequence[tuple[str, str, int]]:
        """Give the number of objects of each resource in each namespace."""
        with self._connection() as connection:
            return connection.execute("SELECT resource, namespace, count(*) FROM current GROUP BY 1, 2").fetchall()

    def resources(self) -> Sequence[str]:
        """Give the resources that have objects, in order."""
        with self._connection() as connection:
            return [row[0] for row in connection.execute("SELECT DISTINCT resource FROM current ORDER BY 1")]

    def changes(self, resource: str, namespace: str, since: int, limit: int) -> tuple[Sequence[Change], int]:
        """Give the first changes after a revision, and the revision up to which that is complete.

        There are fewer than ``limit`` also where they are large: at most ``CHANGES_BYTES``, but for the last one.

        Raises:
            Expired: Changes since then are no longer kept, or the revision is not of this store.
        """
        scope, arguments = (" AND l.namespace = ?", (namespace,)) if namespace else ("", ())
        with self._snapshot() as (connection, revision, compacted):
            check_kept(since, revision, compacted)
            cursor = connection.execute(_CHANGES.format(scope=scope), (resource, since, *arguments, limit))
            rows, is_whole = _up_to(cursor, CHANGES_BYTES)
            cursor.close()
        changes = [Change(resource, row[1], row[2], (row[0], row[4]), (row[3], row[5])) for row in rows]
        return changes, revision if is_whole and len(changes) < limit else changes[-1].revision


def check_kept(wanted: int, revision: int, compacted: int) -> None:
    """Refuse a revision that is too old, or that this store has not reached.

    A revision ahead of ours comes from a client that knew an earlier life of the data directory: it has to list afresh.

    Raises:
        Expired: As said.
    """
    if wanted < compacted:
        raise Expired(f"too old resource version: {wanted} ({compacted}); list afresh")
    if wanted > revision:
        raise Expired(f"resource version {wanted} is not of this store, which is at {revision}; list afresh")


def _read_all(rows: Iterable[_Row], read: Callable[[bytes, int], T | None]) -> Sequence[T]:
    return [item for _, _, number, value in rows if (item := read(value, number)) is not None]


def _up_to(rows: Iterable[_ChangeRow], limit_bytes: int) -> tuple[list[_ChangeRow], bool]:
    """Take rows until there are so many bytes; tell whether these were all."""
    taken: list[_ChangeRow] = []
    size = 0
    for row in rows:
        if size >= limit_bytes:
            return taken, False
        taken.append(row)
        size += len(row[4] or b"") + len(row[5] or b"")
    return taken, True


def _scope(wanted: Range) -> tuple[str, tuple[str, ...]]:
    if wanted.namespace and wanted.after:
        return " AND c.namespace = ? AND c.name > ?", (wanted.namespace, wanted.after[1])
    if wanted.namespace:
        return " AND c.namespace = ?", (wanted.namespace,)
    if wanted.after:
        return " AND (c.namespace, c.name) > (?, ?)", wanted.after
    return "", ()


_position: Callable[[_Row], tuple[str, str]] = itemgetter(0, 1)


def _merged(rows: Sequence[_Row], others: Sequence[_Row]) -> list[_Row]:
    return list(heapq.merge(rows, others, key=_position))
