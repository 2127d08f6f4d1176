"""Keeps the file and its write-ahead log bounded, in steps so small that no write waits long for one.

Changes are forgotten by number and by age; the space of what was forgotten is used again, and given back when there is
much of it. Runs on the writer's thread, on its connection: a little with each group of writes, the rest while none
waits. Ages are measured on a clock that never jumps and begin anew with each start. Next: ``writer``.
"""

import sqlite3
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

_log = structlog.get_logger(__name__)

COMPACT_AT_ONCE = 64
"""Revisions forgotten with each group of writes, on top of two for each write of it."""

COMPACT_CHUNK = 2_000
"""Revisions forgotten at once when nobody waits, or when asked for: some milliseconds."""

FREE_PAGES_KEPT = 2_048
"""Free pages (of 4 KiB) that may always stay in the file; a quarter of the file may too."""

VACUUM_CHUNK = 256
"""Pages given back at once: a megabyte is moved at most."""

STEP_EVERY_S = 0.05
"""Between two steps, so that tidying takes a small part of the time also under load."""

MARKS = 60
"""How finely ages are known: to this part of the longest."""

WAL_LIMIT_BYTES = 64 * 1024 * 1024
"""From this size on the write-ahead log is emptied by force; writes wait for its readers, but not for long."""

_WAIT_FOR_READERS_MS = 200
_TRY_AGAIN_S = 10.0
_BUSY_TIMEOUT_MS = 10_000


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of the past can be watched.

    Attributes:
        revisions: At most so many changes.
        age_s: At most so old.
    """

    revisions: int = 50_000
    age_s: float = 3_600.0


class Compactor:
    """Forgets old changes and gives space back.

    Args:
        connection: The writer's.
        path: The database file.
        compacted: The revision up to which changes are forgotten already.
        retention: What is kept.
        monotonic: Seconds on a clock that never jumps.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        compacted: int,
        retention: Retention,
        monotonic: Callable[[], float],
    ) -> None:
        self.compacted = compacted
        self._connection = connection
        self._wal = path.with_name(path.name + "-wal")
        self._retention = retention
        self._monotonic = monotonic
        self._marks: deque[tuple[float, int]] = deque()
        self._marked = self._aged = 0
        self._next_step = self._next_try = 0.0
        self._wants_vacuum = True

    def forget_some(self, revision: int, n_writes: int) -> None:
        """Inside the transaction of a group that ends at ``revision``: forget a little more than it has added."""
        self._mark(revision)
        self.forget(min(self._target(revision), self.compacted + COMPACT_AT_ONCE + 2 * n_writes))

    def forget(self, to: int) -> None:
        """Inside a transaction, drop what was superseded or deleted up to ``to``; the state at ``to`` stays."""
        if to <= self.compacted:
            return
        span = (self.compacted, to)
        execute = self._connection.execute
        execute(
            "DELETE FROM log WHERE revision IN"
            " (SELECT previous FROM log WHERE revision > ? AND revision <= ? AND previous > 0)",
            span,
        )
        execute("DELETE FROM log WHERE revision > ? AND revision <= ? AND value IS NULL", span)
        execute("UPDATE compacted SET revision = ?", (to,))
        self.compacted = to
        self._wants_vacuum = True

    def step(self, revision: int) -> float | None:
        """Do one small piece of what is left, if it is time, outside of any transaction.

        Returns:
            Seconds until the next piece; None: not before the next write.

        Raises:
            sqlite3.Error: It could not be written; nothing is lost, and ``compacted`` is right.
        """
        now = self._monotonic()
        if now < self._next_step:
            return self._next_step - now
        self._next_step = now + STEP_EVERY_S
        self._mark(revision)
        target = self._target(revision)
        if self.compacted < target:
            self.forget_at_once(target)
            return STEP_EVERY_S
        if self._vacuum():
            return STEP_EVERY_S
        if self._marks:
            return max(STEP_EVERY_S, self._marks[0][0] + self._retention.age_s - now)
        return None

    def forget_at_once(self, target: int) -> None:
        """Forget one chunk on the way to ``target``, in a transaction of its own. Raises ``sqlite3.Error``."""
        before = self.compacted
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self.forget(min(target, before + COMPACT_CHUNK))
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            self.compacted = before
            raise

    def bound_wal(self) -> None:
        """Empty the write-ahead log when it is over its limit: readers have kept it from beginning anew.

        Our own readers are done in milliseconds. Another program can hold an old state for as long as it likes; that is
        said in the log, since the file grows until it lets go.
        """
        with suppress(FileNotFoundError):
            size_bytes = self._wal.stat().st_size
            now = self._monotonic()
            if size_bytes <= WAL_LIMIT_BYTES or now < self._next_try:
                return
            execute = self._connection.execute
            execute(f"PRAGMA busy_timeout={_WAIT_FOR_READERS_MS}")
            try:
                (is_busy, _, _) = execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.OperationalError:
                is_busy = 1
            finally:
                execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
            if is_busy:
                self._next_try = now + _TRY_AGAIN_S
                _log.warning("store_wal_held", file=str(self._wal), size_bytes=size_bytes, mend="end what reads it")

    def _mark(self, revision: int) -> None:
        """Remember when a revision was made, to the end of the present interval."""
        if revision <= self._marked:
            return
        self._marked = revision
        now = self._monotonic()
        if self._marks and now < self._marks[-1][0]:
            self._marks[-1] = (self._marks[-1][0], revision)
        else:
            self._marks.append((now + self._retention.age_s / MARKS, revision))

    def _target(self, revision: int) -> int:
        oldest = self._monotonic() - self._retention.age_s
        while self._marks and self._marks[0][0] <= oldest:
            self._aged = self._marks.popleft()[1]
        return max(revision - self._retention.revisions, min(self._aged, revision))

    def _vacuum(self) -> bool:
        """Give some pages back; tell whether there are more."""
        if not self._wants_vacuum:
            return False
        (free,) = self._connection.execute("PRAGMA freelist_count").fetchone()
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        excess = free - max(FREE_PAGES_KEPT, pages // 4)
        self._wants_vacuum = excess > 0
        if excess > 0:
            self._connection.execute(f"PRAGMA incremental_vacuum({min(excess, VACUUM_CHUNK)})").fetchall()
        return self._wants_vacuum
