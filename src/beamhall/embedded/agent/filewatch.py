"""Waiting until a file was written to, by Linux' inotify: no polling while a reader follows a log."""

import asyncio
import ctypes
import os
from pathlib import Path
from types import TracebackType
from typing import Self

_IN_MODIFY = 0x2
_IN_MOVED_TO = 0x80
_CHANGES = _IN_MODIFY | _IN_MOVED_TO
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC
_POLL_S = 0.25


class FileWatch:
    """Tells when a file was written to or replaced, or another one in its directory.

    It begins when somebody first waits, who may have missed something, and so is told at once. Where inotify is used
    up, it says so every quarter of a second.

    Args:
        path: The file; its directory must exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._has_begun = False
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Self:
        return self

    def _begin(self) -> None:
        self._has_begun = True
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(_FLAGS)
        if self._fd >= 0 and libc.inotify_add_watch(self._fd, os.fsencode(self._path.parent), _CHANGES) >= 0:
            self._loop.add_reader(self._fd, self._drain)
        elif self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)

    def wake(self) -> None:
        """Let ``changed`` return although nothing was written."""
        self._changed.set()

    async def changed(self) -> None:
        """Wait until the file was written to since the last call; the first one returns at once."""
        if not self._has_begun:
            self._begin()
            return
        if self._fd < 0:
            await asyncio.sleep(_POLL_S)
            return
        await self._changed.wait()
        self._changed.clear()

    def _drain(self) -> None:
        try:
            os.read(self._fd, 65536)
        except BlockingIOError:
            return
        self._changed.set()
