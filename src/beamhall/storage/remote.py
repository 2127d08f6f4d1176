"""Any store that ``fsspec`` has a file system for. How one is made is ``adapters``' business.

A directory is what has keys below it: object stores know no others. Nothing is remembered of what was listed, since
steps write while this reads.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from beamhall.kernel.errors import ApiError, BadRequest, Forbidden, NotFound, ServiceUnavailable, TooLarge
from beamhall.storage.locations import Location
from beamhall.storage.protocol import Entry, Stat

_BLOCK = 4 * 1024 * 1024
_NO_BUCKET = ("NoSuchBucket", "InvalidBucketName")


@dataclass(frozen=True, slots=True)
class FileSystem:
    """What ``fsspec`` reaches a store with.

    Attributes:
        fs: The file system.
        errors: What it raises besides ``OSError`` when a store refuses or is not there.
        advice: Where its credentials come from, for messages.
    """

    fs: Any
    errors: tuple[type[Exception], ...] = ()
    advice: str = ""


class RemoteStore:
    """A store behind a file system of ``fsspec``."""

    def __init__(self, system: FileSystem) -> None:
        self._advice = system.advice
        self._fs = system.fs
        self._errors: tuple[type[Exception], ...] = (OSError, ValueError, *system.errors)

    def read(self, at: Location, limit_bytes: int) -> bytes:
        """Read a file whole."""
        with self._said(at):
            found = self._file(at)
            if found.size_bytes > limit_bytes:
                raise TooLarge(f"{at.uri} is larger than {limit_bytes} bytes")
            return bytes(self._fs.cat_file(_path(at), start=0, end=found.size_bytes)) if found.size_bytes else b""

    def stat(self, at: Location) -> Stat | None:
        """Give what is known of a place."""
        with self._said(at):
            try:
                return self._info(at)
            except FileNotFoundError as error:
                if _code(error) in _NO_BUCKET:
                    raise
                return None

    def blocks(self, at: Location, start: int, stop: int | None) -> Iterator[bytes]:
        """Read a file from an offset up to another, or to its end."""
        with self._said(at):
            size = self._file(at).size_bytes
            end = size if stop is None else min(stop, size)
            while start < end:
                block = bytes(self._fs.cat_file(_path(at), start=start, end=min(end, start + _BLOCK)))
                if not block:
                    return
                start += len(block)
                yield block

    def entries(self, at: Location, limit: int) -> Sequence[Entry]:
        """List a directory."""
        with self._said(at):
            if not self._info(at).is_directory:
                raise BadRequest(f"{at.uri} is a file, not a directory")
            base = _path(at)
            found = {name: info for info in self._fs.ls(base, detail=True) if (name := _below(base, info))}
            return [Entry(name, _stat(found[name])) for name in sorted(found)[:limit]]

    def tree(self, at: Location) -> Iterator[Entry]:
        """List all that is below a directory. Object stores have no empty directories, and no links."""
        with self._said(at):
            if not self._info(at).is_directory:
                raise BadRequest(f"{at.uri} is a file, not a directory")
            base = _path(at)
            found = self._fs.find(base, detail=True)
            seen: set[PurePosixPath] = set()
            for path in sorted(found):
                name = PurePosixPath(_below(base, found[path]))
                if not name.parts or ".." in name.parts:  # a key can be anything; a path on this machine may not
                    continue
                for parent in reversed(name.parents[:-1]):
                    if parent not in seen:
                        seen.add(parent)
                        yield Entry(str(parent), Stat(0, is_directory=True))
                if not str(found[path]["name"]).endswith("/"):
                    yield Entry(str(name), _stat(found[path]))

    def write(self, at: Location, data: bytes) -> None:
        """Write a file."""
        with self._said(at):
            self._fs.pipe_file(_path(at), data)

    def remove(self, at: Location) -> None:
        """Remove a file, or a directory with all that is in it."""
        if not at.path:
            raise BadRequest(f"{at.uri} is a bucket; name what is to be removed in it")
        with self._said(at):
            try:
                self._fs.rm(_path(at), recursive=True)
            except FileNotFoundError as error:
                if _code(error) in _NO_BUCKET:
                    raise

    def fetch(self, at: Location, target: Path) -> bool:
        """Copy a file or a directory to this machine."""
        found = self.stat(at)
        if found is None:
            return False
        if not found.is_directory:
            self._fetch_file(at, target)
            return True
        target.mkdir(parents=True, exist_ok=True)
        for entry in self.tree(at):
            if not entry.stat.is_directory:
                self._fetch_file(at.below(entry.name), target / entry.name)
        return True

    def keep(self, source: Path, at: Location) -> None:
        """Copy a file or a directory of this machine here. Links to files are followed, since there are none here."""
        if not source.is_dir():
            self._keep_file(source, at)
            return
        for path in sorted(source.rglob("*")):
            if path.is_file():
                self._keep_file(path, at.below(str(path.relative_to(source))))

    def _fetch_file(self, at: Location, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._said(at):
            self._fs.get_file(_path(at), str(target))

    def _keep_file(self, source: Path, at: Location) -> None:
        with self._said(at):
            self._fs.put_file(str(source), _path(at))

    def _file(self, at: Location) -> Stat:
        found = self._info(at)
        if found.is_directory:
            raise BadRequest(f"{at.uri} is a directory, not a file")
        return found

    def _info(self, at: Location) -> Stat:
        return _stat(self._fs.info(_path(at)))

    @contextlib.contextmanager
    def _said(self, at: Location) -> Iterator[None]:
        """Turn what a store says into errors with the URI."""
        try:
            yield
        except self._errors as error:
            raise self._error(error, at) from error

    def _error(self, error: Exception, at: Location) -> ApiError:
        code, name = _code(error), type(error).__name__
        if code in _NO_BUCKET:
            return NotFound(f"{at.uri}: there is no bucket {at.bucket!r} in this store; make it, or name another")
        if isinstance(error, FileNotFoundError):
            return NotFound(f"there is nothing at {at.uri}")
        if "Credential" in name or name == "RefreshError":
            return Forbidden(f"{at.uri}: there are no credentials for this store; {self._advice}")
        if isinstance(error, PermissionError):
            why = f" ({code})" if code else ""
            return Forbidden(f"{at.uri}: the store refuses with the credentials given{why}; {self._advice}")
        words = str(error).splitlines()
        return ServiceUnavailable(f"{at.uri}: {words[0] if words else name}")


def _path(at: Location) -> str:
    return f"{at.bucket}/{at.path}" if at.path else at.bucket


def _below(base: str, info: Mapping[str, Any]) -> str:
    path = str(info["name"]).strip("/")
    return path.removeprefix(f"{base}/") if path.startswith(f"{base}/") else ""


def _stat(info: Mapping[str, Any]) -> Stat:
    if info["type"] == "directory":
        return Stat(0, is_directory=True)
    modified = info.get("LastModified") or info.get("updated") or info.get("created")
    if isinstance(modified, str):
        modified = datetime.fromisoformat(modified)
    etag = str(info.get("ETag") or info.get("etag") or "").strip('"')
    return Stat(int(info["size"] or 0), etag=etag, modified_at=modified if isinstance(modified, datetime) else None)


def _code(error: BaseException | None) -> str:
    """Give the code that S3 answered with, of an error or of what caused it."""
    while error is not None:
        response = getattr(error, "response", None)
        if isinstance(response, Mapping):
            return str((response.get("Error") or {}).get("Code") or "")
        error = error.__cause__ or error.__context__
    return ""
