"""Bringing a file of an older format up to date, and looking whether a file is sound, before the store opens it.

A file is never changed in place: a copy is brought up to date, checked and synced, and then takes the file's name. The
old file stays beside it as ``objects.db.format-N``, so that the Beamhall that wrote it can be used again. Whatever goes
wrong before that last step leaves everything as it was. ``tables`` has the newest format.

    format 1   the first
    format 2   the same tables in a file that gives space back (auto_vacuum), which only a copy can have
"""

import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from beamhall.embedded.store.tables import FORMAT, StoreUnusable, unusable

Step = Callable[[sqlite3.Connection], None]
"""Changes the tables of one format into those of the next, inside a transaction."""

CHECK_AT_OPEN_BYTES = 32 * 1024 * 1024
"""A file up to this size is checked whole at each start (some tens of milliseconds); ``inspect`` checks any."""


def _same_tables(_: sqlite3.Connection) -> None:
    """Format 2 differs in the file around the tables, which the copy has."""


STEPS: Mapping[int, Step] = {1: _same_tables}
"""By the format that a step starts from."""


@dataclass(frozen=True, slots=True)
class Condition:
    """How a store's file is.

    Attributes:
        format: Its format.
        size_bytes: Size of the database file.
        wal_bytes: Size of the write-ahead log beside it.
        problems: What is damaged, in SQLite's words; empty: it is sound.
    """

    format: int
    size_bytes: int
    wal_bytes: int
    problems: tuple[str, ...] = ()


def inspect(path: Path) -> Condition:
    """Check a whole file, also one that a service uses at this moment; takes a second for some 500 MB.

    Raises:
        FileNotFoundError: There is no such file.
        StoreUnusable: It cannot even be read as a database.
    """
    size_bytes = path.stat().st_size
    wal = path.with_name(path.name + "-wal")
    wal_bytes = wal.stat().st_size if wal.exists() else 0
    try:
        with closing(_open(path)) as connection:
            return Condition(_format_of(connection), size_bytes, wal_bytes, _problems_in(connection))
    except sqlite3.DatabaseError as err:
        raise unusable(path, str(err)) from err


def prepare_file(path: Path) -> None:
    """Bring a file up to date if it is of an older format; make sure that a small one is sound. None there: nothing.

    Raises:
        StoreUnusable: It is damaged, of a newer format, or could not be brought up to date; then it is as it was.
    """
    if not path.exists() or path.stat().st_size == 0:
        return
    try:
        with closing(_open(path)) as connection:
            version = _format_of(connection)
            if path.stat().st_size <= CHECK_AT_OPEN_BYTES and (problems := _problems_in(connection)):
                raise unusable(path, problems[0])
    except sqlite3.DatabaseError as err:
        raise unusable(path, str(err)) from err
    if version > FORMAT:
        raise StoreUnusable(
            f"{path} has format {version}, of a newer Beamhall, and this one reads up to format {FORMAT}: use the newer"
            f" one, or the file from before its first start ({path.name}.format-{FORMAT}, if it is still there)"
        )
    if 0 < version < FORMAT:
        _upgrade(path, version)


def _upgrade(path: Path, version: int) -> None:
    draft = path.with_name(path.name + ".upgrading")
    try:
        draft.unlink(missing_ok=True)
        copy_to(path, draft)
        _bring_up_to_date(draft, version)
        _sync(draft)
        _require_alone(path)
        kept = path.with_name(f"{path.name}.format-{version}")
        kept.unlink(missing_ok=True)
        os.link(path, kept)
        draft.replace(path)
        _sync(path.parent)
    except (sqlite3.Error, OSError) as err:
        raise StoreUnusable(
            f"{path} could not be brought from format {version} to format {FORMAT} ({err}); it is as it was: make room"
            " for a copy of it on its disk and start again, or use the Beamhall that wrote it"
        ) from err
    finally:
        draft.unlink(missing_ok=True)
        draft.with_name(draft.name + "-journal").unlink(missing_ok=True)


def copy_to(path: Path, target: Path) -> None:
    """Write one consistent state of a store into a new file, while others read and write the store.

    Raises:
        sqlite3.Error: It could not be read or written.
    """
    with closing(_open(path)) as connection:
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("VACUUM INTO ?", (str(target),))


def _bring_up_to_date(draft: Path, version: int) -> None:
    with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for number in range(version, FORMAT):
            STEPS[number](connection)
        connection.execute(f"PRAGMA user_version={FORMAT}")
        connection.execute("COMMIT")
        if problems := _problems_in(connection):
            raise sqlite3.DatabaseError(problems[0])


def _require_alone(path: Path) -> None:
    """Make sure that all of the old file is in it: its write-ahead log must not be taken for the new one's.

    Raises:
        OSError: Another program has it open.
    """
    wal = path.with_name(path.name + "-wal")
    if wal.exists() and wal.stat().st_size:
        raise OSError(f"another program has {path} open")


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=10, isolation_level=None)


def _format_of(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _problems_in(connection: sqlite3.Connection) -> tuple[str, ...]:
    found = connection.execute("PRAGMA quick_check(10)").fetchall()
    return tuple(str(row[0]) for row in found if row[0] != "ok")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
