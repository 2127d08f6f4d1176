"""Copies of a store for backups, and what makes a store of a copy again.

A copy is one consistent state, taken by any process while the service reads and writes. A store that is put back is at
an older state than its clients may know, and goes on from there with other changes. So that nobody takes the new
changes for those that they missed, its counter jumps to the microsecond of the restore (since 1970), and all before
that is forgotten: whoever comes with a revision of the earlier life is told ``Expired`` and lists afresh. No store
makes a million changes a second, so no two lives of a store give out the same revision. Read ``formats`` next.

Source: the idea is etcd's (``etcdutl snapshot restore --bump-revision --mark-compacted``).
"""

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from beamhall.embedded.store.formats import copy_to, inspect, prepare_file
from beamhall.embedded.store.tables import FORMAT, connect, unusable

_REVISION = "SELECT max(coalesce((SELECT max(revision) FROM log), 0), (SELECT revision FROM compacted))"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a copy holds.

    Attributes:
        format: Its format.
        revision: The last change in it.
    """

    format: int
    revision: int


def take_snapshot(path: Path, target: Path) -> Snapshot:
    """Copy a store that may be in use into a new file that only its owner may read, and check the copy.

    Raises:
        FileNotFoundError: There is no store.
        StoreUnusable: It is damaged.
        OSError: The copy cannot be written; there is no room for it, as a rule.
    """
    path.stat()
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        copy_to(path, target)
    except sqlite3.OperationalError as err:
        raise OSError(f"{path} cannot be copied to {target.parent}: {err}") from err
    except sqlite3.DatabaseError as err:
        raise unusable(path, str(err)) from err
    condition = inspect(target)
    if condition.problems:
        raise unusable(path, condition.problems[0])
    return Snapshot(condition.format, last_revision(target))


def last_revision(path: Path) -> int:
    """Give the last revision that a store has given out; 0 where there is none that can be read."""
    if not path.exists():
        return 0
    try:
        with closing(sqlite3.connect(path)) as connection:
            return int(connection.execute(_REVISION).fetchone()[0])
    except sqlite3.Error:
        return 0


def begin_new_life(path: Path, after: int, now_us: int) -> int:
    """Make a copy into a store that can be opened, whose revisions nobody has seen.

    Args:
        path: The copy; brought up to date where it is of an older format.
        after: A revision that others may have seen.
        now_us: The time, in microseconds since 1970.

    Returns:
        Its revision.

    Raises:
        StoreUnusable: It is no store, is damaged, or is of a newer format.
    """
    prepare_file(path)
    if inspect(path).format != FORMAT:
        raise unusable(path, "it has no tables")
    revision = max(now_us, after + 1, last_revision(path) + 1)
    with closing(connect(path, is_writer=True)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM log WHERE revision NOT IN (SELECT revision FROM current)")
        connection.execute("UPDATE compacted SET revision = ?", (revision,))
        connection.execute("COMMIT")
    return revision
