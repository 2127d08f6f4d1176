"""Making a backup of a data directory, whether or not a service runs on it. Next: ``archive``, ``restore``."""

import os
import shutil
import sqlite3
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import IO

import msgspec

from beamhall import __version__
from beamhall.app.archive import DIRECTORIES, FILES, FORMAT, HISTORY, MANIFEST, STORE, TREES, Content, Manifest, examine
from beamhall.embedded.store.snapshots import take_snapshot
from beamhall.kernel.clock import format_time
from beamhall.kernel.errors import UserError

_COPY = ".backup-"


class NothingToBackUp(UserError):
    """There is no store in the data directory."""


def make_backup(data: Path, file: Path, now: datetime, *, with_volumes: bool) -> Content:
    """Write a backup that only its owner may read; the file has its name once it is whole, synced and checked.

    The objects are those of one moment; a service that runs is not held up. Volumes are read file by file while Pods
    may write them.

    Args:
        data: The data directory.
        file: The backup; one of that name is replaced.
        now: The time, in UTC.
        with_volumes: Whether the content of PersistentVolumeClaims, and artifacts, are put in.

    Raises:
        NothingToBackUp: There is no store.
        StoreUnusable: The store is damaged.
        OSError: The file cannot be written.
    """
    # The copy lies beside the store: a slow target must not hold up the store's own tidying.
    _remove_leftovers(_existing(data))
    with tempfile.TemporaryDirectory(prefix=f"{_COPY}{os.getpid()}-", dir=data) as directory:
        copy = Path(directory) / STORE
        try:
            snapshot = take_snapshot(data / STORE, copy)
        except FileNotFoundError:
            raise NothingToBackUp(f"there is no {STORE} in {data}: nothing was ever stored there") from None
        manifest = Manifest(
            format=FORMAT, beamhall=__version__, made=format_time(now), store_format=snapshot.format,
            revision=snapshot.revision, has_volumes=with_volumes,
        )  # fmt: skip
        with _replacing(file) as draft:
            with tarfile.open(fileobj=draft, mode="w:gz", compresslevel=3, format=tarfile.PAX_FORMAT) as archive:
                _add_bytes(archive, MANIFEST, msgspec.json.encode(manifest), now)
                _add_file(archive, STORE, copy)
                if (history := _copied_history(data, copy.with_name(HISTORY))) is not None:
                    _add_file(archive, HISTORY, history)
                for path in _kept(data):
                    _add_file(archive, path.relative_to(data).as_posix(), path)
                for tree in TREES if with_volumes else ():
                    _add_tree(archive, tree, data / tree)
            draft.flush()
            os.fsync(draft.fileno())
            found = examine(Path(draft.name))
    return found


def _copied_history(data: Path, copy: Path) -> Path | None:
    """Copy the history while it is in use; None: it is not in this directory.

    It is a moment younger than the objects, which harms nothing: whoever carries runs out looks at both.
    """
    if not (data / HISTORY).exists():
        return None
    try:
        with closing(sqlite3.connect(data / HISTORY)) as connection:
            connection.execute("VACUUM INTO ?", (str(copy),))
    except sqlite3.Error as err:
        raise OSError(f"{data / HISTORY} cannot be copied: {err}") from err
    return copy


def _remove_leftovers(data: Path) -> None:
    """Remove the copies of backups that were killed; the number in a name is that of its process."""
    for path in data.glob(f"{_COPY}*"):
        pid = path.name.removeprefix(_COPY).partition("-")[0]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(path, ignore_errors=True)


def _existing(data: Path) -> Path:
    if not data.is_dir():
        raise NothingToBackUp(f"there is no data directory {data}; name it with --data or BEAMHALL_DATA")
    return data


@contextmanager
def _replacing(file: Path) -> Iterator[IO[bytes]]:
    """Give a draft that takes the file's name at the end, and is gone where something fails."""
    with tempfile.NamedTemporaryFile("w+b", prefix=f".{file.name}.", dir=file.parent, delete=False) as draft:
        try:
            yield draft
            Path(draft.name).replace(file)
        finally:
            Path(draft.name).unlink(missing_ok=True)


def _kept(data: Path) -> Iterator[Path]:
    for name in FILES:
        if (data / name).is_file():
            yield data / name
    for name in DIRECTORIES:
        yield from sorted(path for path in (data / name).glob("*") if path.is_file())


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes, now: datetime) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = len(content), 0o600, int(now.timestamp())
    archive.addfile(member, BytesIO(content))


def _add_file(archive: tarfile.TarFile, name: str, path: Path) -> None:
    """Add a regular file with the size that it has now; one that shrinks meanwhile is filled up with zeros."""
    with path.open("rb") as stream:
        found = os.fstat(stream.fileno())
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = found.st_size, stat.S_IMODE(found.st_mode), found.st_mtime
        archive.addfile(member, _Padded(stream, found.st_size))


class _Padded:
    """A file that gives as many bytes as it was said to have."""

    def __init__(self, stream: IO[bytes], size_bytes: int) -> None:
        self._stream = stream
        self._left = size_bytes

    def read(self, size: int = -1, /) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        found = self._stream.read(wanted)
        self._left -= wanted
        return found.ljust(wanted, b"\0")


def _add_tree(archive: tarfile.TarFile, name: str, directory: Path) -> None:
    """Add a directory with all that is in it; sockets, pipes and what goes away meanwhile are left out."""
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, stat.S_IMODE(directory.stat().st_mode)
    archive.addfile(member)
    for entry in entries:
        inner, path = f"{name}/{entry.name}", directory / entry.name
        try:
            if entry.is_symlink():
                link = tarfile.TarInfo(inner)
                link.type, link.linkname = tarfile.SYMTYPE, str(path.readlink())
                archive.addfile(link)
            elif entry.is_dir(follow_symlinks=False):
                _add_tree(archive, inner, path)
            elif entry.is_file(follow_symlinks=False):
                _add_file(archive, inner, path)
        except FileNotFoundError:
            continue
