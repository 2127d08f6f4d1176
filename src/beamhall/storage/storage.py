"""Bytes by URI for the event loop.

Small files of this machine are read and written at once; all else goes to threads of its own, so that a slow store
holds up nobody who waits for another thing.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from beamhall.storage.archives import archive
from beamhall.storage.locations import locate
from beamhall.storage.options import StoreOptions
from beamhall.storage.protocol import Entry, Stat
from beamhall.storage.stores import Pool, Stores

T = TypeVar("T")

_SMALL_BYTES = 64 * 1024
_LISTED = 10_000
_THREADS = 8


class Storage:
    """Bytes by URI: an absolute path, ``file://``, ``s3://``, ``minio://``, ``gs://``, ``http(s)://``.

    All methods raise the kernel's errors: ``BadRequest`` (no URI, nothing serves its scheme, a directory in place of a
    file), ``NotFound`` (nothing there, no such bucket), ``Forbidden`` (no credentials, or refused), ``TooLarge``,
    ``ServiceUnavailable`` (the store cannot be reached).

    Args:
        options: How stores are reached; the first that is for a place counts.
        local_roots: Directories of this machine that may be used; empty: all that this process may.
        shared: Whose threads, file systems and directories of this machine are used; None: its own.
    """

    def __init__(
        self,
        options: Sequence[StoreOptions] = (),
        local_roots: Sequence[Path] = (),
        shared: "Storage | None" = None,
    ) -> None:
        self._threads: ThreadPoolExecutor = shared._threads if shared else ThreadPoolExecutor(_THREADS, "storage")
        self._pool: Pool = shared._pool if shared else Pool()
        self._local_roots: Sequence[Path] = shared._local_roots if shared else tuple(local_roots)
        self._stores = Stores(options, self._local_roots, self._pool)

    async def read(self, uri: str, limit_bytes: int) -> bytes:
        """Read a file whole.

        Raises:
            TooLarge: It is larger than the limit.
        """
        at = locate(uri)
        if at.is_local:
            small = self._stores.local.read_small(at, _SMALL_BYTES, limit_bytes)
            if small is not None:
                return small
        return await self._run(lambda: self._stores.of(at).read(at, limit_bytes))

    async def stat(self, uri: str) -> Stat | None:
        """Give what is known of a file or a directory; None: there is nothing."""
        at = locate(uri)
        if at.is_local:
            return self._stores.local.stat(at)
        return await self._run(lambda: self._stores.of(at).stat(at))

    async def exists(self, uri: str) -> bool:
        """Tell whether there is a file or a directory."""
        return await self.stat(uri) is not None

    def chunks(self, uri: str, start: int = 0, stop: int | None = None) -> AsyncGenerator[bytes, None]:
        """Read a file from an offset up to (not including) another, or to its end, in pieces."""
        at = locate(uri)
        return self._pieces(lambda: self._stores.of(at).blocks(at, start, stop))

    async def listing(self, uri: str, limit: int = _LISTED) -> Sequence[Entry]:
        """List a directory, by name. Of one with more entries than the limit, the first ones."""
        at = locate(uri)
        return await self._run(lambda: self._stores.of(at).entries(at, limit))

    async def write(self, uri: str, data: bytes) -> None:
        """Write a file, whole or not at all, making the directories that it needs."""
        at = locate(uri)
        if at.is_local and len(data) < _SMALL_BYTES:
            self._stores.local.write(at, data)
            return
        await self._run(lambda: self._stores.of(at).write(at, data))

    async def remove(self, uri: str) -> None:
        """Remove a file, or a directory with all that is in it. What is not there is removed already."""
        at = locate(uri)
        await self._run(lambda: self._stores.of(at).remove(at))

    def archive(self, uri: str) -> AsyncGenerator[bytes, None]:
        """Give a directory as a ``tar.gz``, in pieces; links that leave it are left out."""
        at = locate(uri)
        return self._pieces(lambda: archive(self._stores.of(at), at))

    async def fetch(self, uri: str, target: Path) -> bool:
        """Copy a file or a directory to this machine. False: there is nothing."""
        at = locate(uri)
        return await self._run(lambda: self._stores.of(at).fetch(at, target))

    async def keep(self, source: Path, uri: str) -> None:
        """Copy a file or a directory of this machine to a place."""
        at = locate(uri)
        await self._run(lambda: self._stores.of(at).keep(source, at))

    def close(self) -> None:
        """End the threads; what is under way is finished first."""
        self._threads.shutdown()

    async def _run(self, do: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, do)

    async def _pieces(self, make: Callable[[], Iterator[bytes]]) -> AsyncGenerator[bytes, None]:
        """Iterate on threads. Nothing is read ahead of who takes the pieces."""
        pieces = await self._run(make)
        try:
            while piece := await self._run(lambda: next(pieces, b"")):
                yield piece
        finally:
            # Where the caller was cancelled a thread may still run it; then it is closed when it is collected.
            with contextlib.suppress(ValueError):
                pieces.close()  # type: ignore[attr-defined]
