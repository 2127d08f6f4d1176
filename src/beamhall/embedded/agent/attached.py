"""A container's own program as a client is attached to it: followed by its log, which keeps every byte of its output.

So a client that is slow holds up nobody, several may be attached, and all of it outlives a restart of the service.
Implements ``client.protocol.RemoteProcess``. Next: ``logs``; ``sandbox.child.console`` is the other end of the input.
"""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from beamhall.client.protocol import StreamName
from beamhall.embedded.agent.criformat import LogOutputs
from beamhall.embedded.agent.logfiles import LogReader
from beamhall.embedded.agent.runs import Run
from beamhall.embedded.agent.sandbox.pipes import Descriptors, write_all


class AttachedProcess:
    """One client's view of a container's program.

    Args:
        run: The run of the container.
        container: The container as the Pod states it.
        reader: Its log, where the output begins that is wanted.
        fds: Takes charge of what is opened.
    """

    def __init__(self, run: Run, container: Mapping[str, Any], reader: LogReader, fds: Descriptors) -> None:
        self._run = run
        self._comes_once = bool(container.get("stdinOnce")) and not container.get("tty")
        self._reader = reader
        self._fds = fds
        self._stdin = -1
        self._is_detached = False

    async def output(self) -> AsyncIterator[tuple[StreamName, bytes]]:
        """Give its output, as ``RemoteProcess.output``."""
        outputs = LogOutputs()
        async for block in self._reader.blocks(lambda: not self._is_detached):
            for name, data in outputs.feed(block):
                yield name, data

    async def write(self, data: bytes) -> None:
        """Write to its input, as ``RemoteProcess.write``."""
        if self._stdin < 0:
            try:
                self._stdin = os.open(self._run.sandbox.stdin_path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:  # it has no input, or has ended
                return
            self._fds.own(self._stdin)
        await write_all(self._stdin, data)

    async def close_stdin(self) -> None:
        """End the client's part of its input.

        If the container's input comes once (``stdinOnce``), its program sees the end, and is followed to its own. Else
        the client is detached, and the next one may write.
        """
        self.end_input()
        if not self._comes_once:
            self._is_detached = True
            self._reader.wake()

    def end_input(self) -> None:
        """Write no more; the program sees the end of an input that comes once."""
        self._fds.close(self._stdin)
        self._stdin = -1
        if self._comes_once:
            self._run.sandbox.end_input()

    async def resize(self, rows: int, columns: int) -> None:
        """Resize its terminal, as ``RemoteProcess.resize``."""
        self._run.sandbox.resize(rows, columns)

    async def wait(self) -> int:
        """Give 0: how the program ended is in the Pod's status."""
        return 0


@asynccontextmanager
async def attached(run: Run, container: Mapping[str, Any], *, stdin: bool) -> AsyncIterator[AttachedProcess]:
    """Attach to a container's program for as long as the context is open.

    The output begins now. For the first who gives input to a container that waits for it once, as ``kubectl run -i``
    does, it begins at its beginning: a prompt that came before is not missed.
    """
    with Descriptors() as fds, LogReader(run) as reader:
        if run.was_attached or not (stdin and container.get("stdinOnce")):
            reader.to_end()
        run.was_attached = True
        process = AttachedProcess(run, container, reader, fds)
        try:
            yield process
        finally:
            if stdin:
                process.end_input()
