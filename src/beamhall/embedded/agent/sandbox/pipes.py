"""Reading and writing descriptors from the event loop, no more than is asked for: back-pressure is the pipe's own.

Knows nothing of what goes through them.
"""

import asyncio
import os
from collections.abc import Callable
from types import TracebackType
from typing import Self

CHUNK_BYTES = 64 * 1024
"""The most that is read at a time: what a pipe holds."""


class Descriptors:
    """Descriptors that are each closed once: early, or when the context ends."""

    def __init__(self) -> None:
        self._open: set[int] = set()

    def own(self, *fds: int) -> None:
        """Take charge of descriptors."""
        self._open.update(fds)

    def close(self, *fds: int) -> None:
        """Close those of these that are still open."""
        for fd in self._open.intersection(fds):
            self._open.discard(fd)
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(*self._open)


async def read_some(fd: int, limit_bytes: int = CHUNK_BYTES) -> bytes:
    """Read what is there, waiting for the first of it.

    Args:
        fd: A non-blocking descriptor, of a pipe or a terminal.
        limit_bytes: The most that is wanted.

    Returns:
        Empty at the end. A terminal ends when nobody has its other side any more.
    """
    loop = asyncio.get_running_loop()
    while True:
        try:
            return os.read(fd, limit_bytes)
        except BlockingIOError:
            await _ready(fd, loop.add_reader, loop.remove_reader)
        except OSError:  # EIO: the terminal was hung up
            return b""


async def write_all(fd: int, data: bytes) -> bool:
    """Write everything, waiting for room; False if nobody reads any more.

    Args:
        fd: A non-blocking descriptor.
        data: What to write.
    """
    loop = asyncio.get_running_loop()
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            await _ready(fd, loop.add_writer, loop.remove_writer)
        except OSError:  # EPIPE, or EIO of a terminal
            return False
    return True


async def any_readable(*fds: int) -> None:
    """Wait until one of these can be read.

    They are watched no longer than that: one that stays readable while nobody reads would keep the loop busy.
    """
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    for fd in fds:
        loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        for fd in fds:
            loop.remove_reader(fd)


async def _ready(fd: int, add: Callable[..., None], remove: Callable[[int], object]) -> None:
    ready = asyncio.Event()
    add(fd, ready.set)
    try:
        await ready.wait()
    finally:
        remove(fd)
