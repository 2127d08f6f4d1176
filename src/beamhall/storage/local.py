"""Files of this machine.

What steps leave is not to be trusted: a FIFO would hold up its reader for ever, and a link may lead to what is none of
the reader's business. So files are opened without waiting, and where it is said which directories may be read, what was
opened is asked where it lies.
"""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from beamhall.kernel.errors import ApiError, BadRequest, Forbidden, NotFound, ServiceUnavailable, TooLarge
from beamhall.storage.locations import Location
from beamhall.storage.protocol import Entry, Stat

_BLOCK = 256 * 1024
_DIRECTORY = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC


class LocalStore:
    """Files of this machine.

    Args:
        roots: Directories that may be used, links resolved; empty: all that this process may.
    """

    def __init__(self, roots: Sequence[Path] = ()) -> None:
        self._roots = tuple(os.path.realpath(root) for root in roots)

    def read(self, at: Location, limit_bytes: int) -> bytes:
        """Read a file whole."""
        with _said(at):
            fd = self._open(at)
            try:
                return _whole(fd, at, limit_bytes)
            finally:
                os.close(fd)

    def read_small(self, at: Location, small_bytes: int, limit_bytes: int) -> bytes | None:
        """Read a file whole if it is small; None: it is not."""
        with _said(at):
            fd = self._open(at)
            try:
                return _whole(fd, at, limit_bytes) if os.fstat(fd).st_size < small_bytes else None
            finally:
                os.close(fd)

    def stat(self, at: Location) -> Stat | None:
        """Give what is known of a place."""
        with _said(at):
            try:
                self._check(at, os.path.realpath(at.path))
                return _stat(os.stat(at.path))  # noqa: PTH116  quicker, and this is asked for each cached artifact
            except (FileNotFoundError, NotADirectoryError):
                return None

    def blocks(self, at: Location, start: int, stop: int | None) -> Iterator[bytes]:
        """Read a file from an offset up to another, or to its end."""
        with _said(at):
            fd = self._open(at)
            try:
                while (stop is None or start < stop) and (
                    block := os.pread(fd, _BLOCK if stop is None else min(_BLOCK, stop - start), start)
                ):
                    start += len(block)
                    yield block
            finally:
                os.close(fd)

    def entries(self, at: Location, limit: int) -> Sequence[Entry]:
        """List a directory."""
        with _said(at):
            self._check(at, os.path.realpath(at.path))
            names = sorted(os.listdir(at.path))[:limit]  # noqa: PTH208
            found = []
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    found.append(Entry(name, _stat(os.lstat(os.path.join(at.path, name)))))  # noqa: PTH118
            return found

    def tree(self, at: Location) -> Iterator[Entry]:
        """List all that is below a directory. Links are given where they lead to something in it, and else left out."""
        with _said(at):
            root = os.path.realpath(at.path)
            self._check(at, root)
            for directory, directories, names in os.walk(root):
                directories.sort()
                for name in sorted((*directories, *names)):
                    path = Path(directory, name)
                    if entry := _entry(path, root):
                        yield entry

    def write(self, at: Location, data: bytes) -> None:
        """Write a file."""
        parent, name = os.path.split(at.path)
        with _said(at), contextlib.ExitStack() as closing:
            directory = self._directory(at, parent)
            closing.callback(os.close, directory)
            draft = f".{os.urandom(16).hex()}"
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=directory)
            with contextlib.ExitStack() as on_failure:
                on_failure.callback(os.unlink, draft, dir_fd=directory)
                _write_whole(fd, data)
                os.replace(draft, name, src_dir_fd=directory, dst_dir_fd=directory)
                on_failure.pop_all()

    def remove(self, at: Location) -> None:
        """Remove a file, or a directory with all that is in it; of a link, the link."""
        path = Path(at.path)
        if len(path.parts) < 3:
            raise BadRequest(f"{at.uri} is too near to the root to be removed")
        with _said(at):
            self._check(at, os.path.join(os.path.realpath(path.parent), path.name))  # noqa: PTH118
            try:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            except (FileNotFoundError, NotADirectoryError):
                return

    def fetch(self, at: Location, target: Path) -> bool:
        """Copy a file or a directory."""
        with _said(at):
            if self.stat(at) is None:
                return False
            _copy(Path(at.path), target)
            return True

    def keep(self, source: Path, at: Location) -> None:
        """Copy a file or a directory here."""
        with _said(at):
            _copy(source, self._target(at))

    def _target(self, at: Location) -> Path:
        target = Path(at.path)
        self._check(at, os.path.realpath(target.parent / target.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _directory(self, at: Location, path: str, below: str = "") -> int:
        """Open a directory, made with all that it is in; nothing is made where ``below`` it may not be used."""
        try:
            return self._checked(at, os.open(path, _DIRECTORY), below)
        except FileNotFoundError:
            parent, name = os.path.split(path)
            above = self._directory(at, parent, f"/{name}{below}")
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=above)
            return self._checked(at, os.open(name, _DIRECTORY, dir_fd=above), below)
        finally:
            os.close(above)

    def _checked(self, at: Location, fd: int, below: str = "") -> int:
        """Give a descriptor back if what it stands for, or lies ``below`` that, may be used; else close it."""
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(os.close, fd)
            if self._roots:
                self._check(at, os.readlink(f"/proc/self/fd/{fd}") + below)  # noqa: PTH115
            on_failure.pop_all()
        return fd

    def _open(self, at: Location) -> int:
        fd = os.open(at.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(os.close, fd)
            mode = os.fstat(fd).st_mode
            if stat.S_ISDIR(mode):
                raise BadRequest(f"{at.uri} is a directory, not a file")
            if not stat.S_ISREG(mode):
                raise BadRequest(f"{at.uri} is no regular file")
            on_failure.pop_all()
        return self._checked(at, fd)

    def _check(self, at: Location, real: str) -> None:
        if self._roots and not any(real == root or real.startswith(root.rstrip("/") + "/") for root in self._roots):
            raise Forbidden(f"{at.uri} lies outside of the directories that this service gives artifacts from")


def _write_whole(fd: int, data: bytes) -> None:
    """Write all of it and close the file."""
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(fd, left) :]
    finally:
        os.close(fd)


def _whole(fd: int, at: Location, limit_bytes: int) -> bytes:
    parts, left = [], limit_bytes + 1
    while left > 0 and (part := os.read(fd, min(left, max(_BLOCK, os.fstat(fd).st_size + 1)))):
        parts.append(part)
        left -= len(part)
    if left <= 0:
        raise TooLarge(f"{at.uri} is larger than {limit_bytes} bytes")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _stat(found: os.stat_result) -> Stat:
    is_directory = stat.S_ISDIR(found.st_mode)
    return Stat(
        size_bytes=0 if is_directory else found.st_size,
        is_directory=is_directory,
        etag=f"{found.st_mtime_ns:x}-{found.st_ino:x}-{found.st_size:x}",
        modified_at=datetime.fromtimestamp(found.st_mtime, UTC),
    )


def _entry(path: Path, root: str) -> Entry | None:
    name = os.path.relpath(path, root)
    try:
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            leads_inside = os.path.realpath(path).startswith(root.rstrip("/") + "/") and path.exists()
            link = str(path.readlink())
            return Entry(name, _stat(found), link) if leads_inside and not link.startswith("/") else None
    except FileNotFoundError:
        return None
    is_plain = stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)
    return Entry(name, _stat(found)) if is_plain else None


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, target)


@contextlib.contextmanager
def _said(at: Location) -> Iterator[None]:
    """Turn what the operating system says into errors with the URI."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"there is nothing at {at.uri}{_where(error, at)}") from error
    except PermissionError as error:
        raise Forbidden(f"{at.uri}: permission denied{_where(error, at)}") from error
    except shutil.Error as error:
        raise ServiceUnavailable(f"{at.uri} cannot be copied: {error.args[0][0][2]}") from error
    except OSError as error:
        raise _refusal(error, at) from error


def _refusal(error: OSError, at: Location) -> ApiError:
    words = f"{at.uri}: {error.strerror or error}{_where(error, at)}"
    if error.errno in (errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR, errno.EEXIST, errno.ENXIO):
        return BadRequest(words)
    return ServiceUnavailable(words)


def _where(error: OSError, at: Location) -> str:
    """Name the file that it is about, where that is another one."""
    return f" ({error.filename})" if error.filename and str(error.filename) != at.path else ""
