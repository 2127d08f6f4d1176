"""Putting a backup back into a data directory.

First everything is checked and unpacked beside what is there, and the store is made ready (``snapshots``); only then is
anything replaced, by renames. Those are written so that they can be done again: a restore that was interrupted in the
middle of them is finished by the next start (``finish_restore``). What is replaced is kept. Next: ``archive``.
"""

import os
import shutil
import sqlite3
import tarfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO

from beamhall.app.archive import (
    DIRECTORIES,
    FILES,
    HISTORY,
    MANIFEST,
    STORE,
    TREES,
    BackupUnusable,
    Manifest,
    checked_members,
    examine,
    reading,
)
from beamhall.app.datadir import claimed
from beamhall.embedded.store.snapshots import begin_new_life, last_revision
from beamhall.embedded.store.tables import StoreUnusable
from beamhall.kernel.errors import UserError

_READY = "restoring"
_DRAFT = ".restore-draft"
_IN_ORDER = (*TREES, *DIRECTORIES, *FILES, HISTORY, STORE)
_BESIDE_DATABASE = ("-wal", "-shm")


class RestoreRefused(UserError):
    """Nothing was changed; the message says why."""


class Restored:
    """What a restore did.

    Attributes:
        manifest: What the backup says of itself.
        revision: The revision from which the store goes on.
        replaced: Where what was there before is kept; None: there was nothing.
    """

    def __init__(self, manifest: Manifest, revision: int, replaced: Path | None) -> None:
        self.manifest = manifest
        self.revision = revision
        self.replaced = replaced


def restore_backup(file: Path, data: Path, now: datetime, *, force: bool) -> Restored:
    """Put a backup into a data directory.

    Args:
        file: The backup.
        data: The directory; made if absent. What the backup does not have stays.
        now: The time, in UTC.
        force: Replace what is there.

    Raises:
        DataDirectoryInUse: A service runs on it.
        RestoreRefused: There is data already, or too little room.
        BackupUnusable: The file, or the store in it, is damaged or of a newer Beamhall, or it is no backup.
    """
    content = examine(file)
    with claimed(data):
        there = [name for name in _IN_ORDER if (data / name).exists()]
        if there and not force:
            raise RestoreRefused(
                f"{data} has data ({', '.join(there)}): name another directory with --data, or replace it with --force"
                " (what is there is kept beside it)"
            )
        free_bytes = shutil.disk_usage(data).free
        if content.size_bytes > free_bytes:
            raise RestoreRefused(
                f"the backup needs {content.size_bytes / 2**20:.0f} MiB, and {free_bytes / 2**20:.0f} MiB are free"
                f" in {data}"
            )
        draft = data / _DRAFT
        shutil.rmtree(draft, ignore_errors=True)
        try:
            draft.mkdir(mode=0o700)
            _unpack(file, draft)
            revision = _make_store_ready(draft, data, now)
            shutil.rmtree(data / _READY, ignore_errors=True)  # of a restore that was interrupted before
            _sync(draft)
            draft.rename(data / _READY)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        replaced = finish_restore(data, now)
    return Restored(content.manifest, revision, replaced)


def finish_restore(data: Path, now: datetime) -> Path | None:
    """Put what was unpacked in its place; again is harmless. Called with the directory claimed, at each start.

    Returns:
        Where what was there before is kept; None: nothing was.
    """
    ready = data / _READY
    if not ready.exists():
        return None
    aside = data / f"replaced-{now:%Y%m%d-%H%M%S}"
    for name in _IN_ORDER:
        if not (ready / name).exists():
            continue
        if name in (HISTORY, STORE):  # a log of the old file must not be taken for one of the new file: it goes first
            for ending in _BESIDE_DATABASE:
                _put_aside(data / f"{name}{ending}", aside)
        _put_aside(data / name, aside)
        (ready / name).rename(data / name)
    _sync(data)
    shutil.rmtree(ready)
    return aside if aside.exists() else None


def _put_aside(path: Path, aside: Path) -> None:
    if path.exists():
        aside.mkdir(mode=0o700, exist_ok=True)
        path.rename(aside / path.name)


def _make_store_ready(draft: Path, data: Path, now: datetime) -> int:
    store = draft / STORE
    try:
        revision = begin_new_life(store, last_revision(data / STORE), int(now.timestamp() * 1e6))
    except (StoreUnusable, sqlite3.DatabaseError) as err:
        raise BackupUnusable(f"the {STORE} in the backup cannot be used: {err}") from err
    for leftover in draft.glob(f"{STORE}?*"):  # the file before it was brought up to date
        leftover.unlink()
    return revision


def _unpack(file: Path, draft: Path) -> None:
    """Unpack a backup that was examined; it is checked again while it is read, since it may be another file by now."""
    links: list[tuple[Path, str]] = []
    directories: list[tuple[Path, tarfile.TarInfo]] = []
    with reading(file) as archive:
        for member in checked_members(archive):
            target = draft / member.name
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if member.isdir():
                target.mkdir(exist_ok=True, mode=0o700)
                directories.append((target, member))
            elif member.issym():
                links.append((target, member.linkname))
            elif member.name != MANIFEST:
                _unpack_file(archive, member, target)
    for path, to in links:  # last, so that nothing is written through one
        if path.exists() or path.is_symlink():
            raise BackupUnusable(f"the backup has {path.relative_to(draft)} twice")
        path.symlink_to(to)
    for path, member in reversed(directories):
        if path.relative_to(draft).parts[0] in TREES:
            path.chmod(member.mode & 0o777)


def _unpack_file(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    source = archive.extractfile(member)
    assert source is not None, "checked to be a file"
    in_tree = member.name.partition("/")[0] in TREES
    with suppress(FileExistsError), _new(target) as stream:
        shutil.copyfileobj(source, stream, 1024 * 1024)
        stream.flush()
        os.fsync(stream.fileno())
        if in_tree:
            os.fchmod(stream.fileno(), member.mode & 0o777)
            os.utime(stream.fileno(), (member.mtime, member.mtime))
        return
    raise BackupUnusable(f"the backup has {member.name!r} twice")


def _new(target: Path) -> IO[bytes]:
    return os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
