"""A run's log as one stream, over the files it was rotated into, while it grows and while it is rotated.

    log.1, log.2, …    what was rotated, oldest first; the oldest are removed in time
    log                what is written to

Which lines of it a reader wants is ``criformat``'s business; the shim rotates (``sandbox.child.output``).
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from beamhall.embedded.agent.criformat import tail_offset
from beamhall.embedded.agent.filewatch import FileWatch
from beamhall.embedded.agent.runs import Run
from beamhall.embedded.agent.sandbox import log_files

_BLOCK_BYTES = 262_144
_SMALL_BYTES = 65_536
"""What is no larger is read at once: a thread would take longer."""


class LogReader:
    """Reads a run's log from one place on. At first that is its beginning.

    Args:
        run: The run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._log = run.sandbox.log_path
        self._watch = FileWatch(self._log)
        self._context = ExitStack()
        self._file = _open(log_files(self._log)[0])

    def __enter__(self) -> Self:
        self._context.enter_context(self._watch)
        self._context.enter_context(self._run.telling(self._watch.wake))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.close()
        self._file.close()

    def wake(self) -> None:
        """Have ``blocks`` ask again whether it is to follow."""
        self._watch.wake()

    def to_end(self) -> None:
        """Go to the end of what is written now."""
        self._file.close()
        self._file = _open(self._log)
        self._file.seek(0, os.SEEK_END)

    async def to_tail(self, lines: int) -> None:
        """Go to where the last lines begin."""
        await asyncio.to_thread(self._to_tail, lines)

    def _to_tail(self, lines: int) -> None:
        for path in reversed(log_files(self._log)):
            try:
                file = _open(path)
            except FileNotFoundError:  # removed meanwhile: what is newer is all there is
                return
            self._file.close()
            self._file = file
            offset, lines = _tail(file.fileno(), lines)
            file.seek(offset)
            if lines <= 0:
                return

    async def blocks(self, follows: Callable[[], bool]) -> AsyncIterator[bytes]:
        """Give what comes, in blocks; for as long as it is to be followed, until the run has ended."""
        while True:
            has_ended = self._run.sandbox.exit is not None  # looked at first: what is read next is then the rest
            is_small = os.fstat(self._file.fileno()).st_size <= _SMALL_BYTES
            block, is_newest = self._read() if is_small else await asyncio.to_thread(self._read)
            if block:
                yield block
            elif not is_newest:
                if not await asyncio.to_thread(self._advance):
                    break
            elif has_ended or not follows():
                break
            else:
                await self._watch.changed()

    def _read(self) -> tuple[bytes, bool]:
        is_newest = self._is(self._log)  # looked at first, likewise
        return self._file.read(_BLOCK_BYTES) or b"", is_newest

    def _advance(self) -> bool:
        """Go to the file after this one; where this one was removed, to the oldest that is left. False: none is."""
        while True:
            following = self._next()
            try:
                file = _open(following)
            except FileNotFoundError:
                if self._log.parent.exists():
                    continue  # it is being rotated
                return False  # the Pod was removed
            if os.path.sameopenfile(file.fileno(), self._file.fileno()) or self._is_at(file, self._next()):
                self._file.close()
                self._file = file
                return True
            file.close()  # it was rotated between looking and opening

    def _next(self) -> Path:
        files = log_files(self._log)
        mine = [number for number, path in enumerate(files) if self._is(path)]
        return files[min(mine[0] + 1, len(files) - 1)] if mine else files[0]

    def _is(self, path: Path) -> bool:
        return self._is_at(self._file, path)

    @staticmethod
    def _is_at(file: FileIO, path: Path) -> bool:
        try:
            return os.path.samestat(os.fstat(file.fileno()), path.stat())
        except FileNotFoundError:
            return False


def _tail(fd: int, lines: int) -> tuple[int, int]:
    return tail_offset(lambda at, length: os.pread(fd, length, at), os.fstat(fd).st_size, lines)


def _open(path: Path) -> FileIO:
    return path.open("rb", buffering=0)
