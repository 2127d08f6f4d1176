"""Reading and writing descriptors from the event loop, no more than is asked for: back-pressure is the pipe's own.

Knows nothing of what goes through them.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator

CHUNK_BYTES = 64 * 1024
"""The most that is read at a time: what a pipe holds."""


@contextlib.contextmanager
def closed_at_exit() -> Iterator[list[int]]:
    """Give a list whose descriptors are closed when the context ends."""
    fds: list[int] = []
    try:
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


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


async def _ready(fd: int, add: Callable[..., None], remove: Callable[[int], object]) -> None:
    ready = asyncio.Event()
    add(fd, ready.set)
    try:
        await ready.wait()
    finally:
        remove(fd)
