"""Processes of a Pod as a remote client works with them: bytes in, bytes out, the end.

``ExecProcess`` is a command that was started for the client; it implements ``client.protocol.RemoteProcess``. Nothing
is kept in memory: what the client does not take stays in the pipe, and the command waits. Knows no HTTP and no Pods.
Next: ``sandbox.command``; ``remote`` makes these.
"""

import asyncio
import fcntl
import os
import struct
import termios
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from beamhall.client.protocol import ExecOptions, StreamName
from beamhall.embedded.agent.sandbox import Sandbox, Sandboxes, StartFailed
from beamhall.embedded.agent.sandbox.command import Command
from beamhall.embedded.agent.sandbox.pipes import CHUNK_BYTES, Descriptors, any_readable, write_all

_LAST_WORDS_S = 0.5
_EXIT_CODES = {"command-not-found": 127, "permission": 126, "exec": 126}


@dataclass(slots=True)
class Ends:
    """The ends of a command's pipes, or of its terminal.

    Attributes:
        theirs: What its standard input, output and error are.
        outputs: Where its output is read, non-blocking.
        stdin: Where its input is written, non-blocking; -1: it has none.
        terminal: The terminal's own side; -1: there is none.
    """

    theirs: Sequence[int]
    outputs: Mapping[int, StreamName]
    stdin: int = -1
    terminal: int = -1


@dataclass(slots=True)
class ExecProcess:
    """A command with its pipes or its terminal."""

    command: Command
    ends: Ends
    fds: Descriptors

    async def output(self) -> AsyncIterator[tuple[StreamName, bytes]]:
        """Give its output, as ``RemoteProcess.output``. What others hold open after its end is not waited for."""
        left = dict(self.ends.outputs)
        while True:
            has_ended = self.command.has_ended()  # looked at first: what is read next is then the rest
            is_idle = True
            for fd, name in list(left.items()):
                data = _read(fd)
                if data:
                    is_idle = False
                    yield name, data
                elif data is not None:
                    del left[fd]
            if not is_idle:
                continue
            if has_ended and (not left or self.ends.terminal < 0):
                return
            if not has_ended:
                await any_readable(self.command.fileno(), *left)
                continue
            try:  # a terminal hands over its last words in its own time
                async with asyncio.timeout(_LAST_WORDS_S):
                    await any_readable(*left)
            except TimeoutError:
                return

    async def write(self, data: bytes) -> None:
        """Write to its input, as ``RemoteProcess.write``."""
        if self.ends.stdin >= 0:
            await write_all(self.ends.stdin, data)

    async def close_stdin(self) -> None:
        """End its input, as ``RemoteProcess.close_stdin``; a terminal has no end but the user's Ctrl-D."""
        if self.ends.stdin != self.ends.terminal:
            self.fds.close(self.ends.stdin)
            self.ends.stdin = -1

    async def resize(self, rows: int, columns: int) -> None:
        """Resize its terminal, as ``RemoteProcess.resize``."""
        if self.ends.terminal >= 0:
            fcntl.ioctl(self.ends.terminal, termios.TIOCSWINSZ, struct.pack("=HHHH", rows, columns, 0, 0))

    async def wait(self) -> int:
        """Give its exit code, as ``RemoteProcess.wait``."""
        return await self.command.wait()


@dataclass(slots=True)
class FailedProcess:
    """A command that could not be started: its output says why, as a shell would."""

    failure: StartFailed

    async def output(self) -> AsyncIterator[tuple[StreamName, bytes]]:
        """Say why."""
        yield "stderr", f"{self.failure.message}\n".encode()

    async def write(self, data: bytes) -> None:
        """Drop it."""

    async def close_stdin(self) -> None:
        """Do nothing: nobody reads."""

    async def resize(self, rows: int, columns: int) -> None:
        """Do nothing: there is no terminal."""

    async def wait(self) -> int:
        """Give the exit code that a shell has for this."""
        return _EXIT_CODES.get(self.failure.stage, 128)


@asynccontextmanager
async def run_beside(
    sandboxes: Sandboxes, sandbox: Sandbox, options: ExecOptions
) -> AsyncIterator[ExecProcess | FailedProcess]:
    """Run a command in a container for as long as the context is open.

    Raises:
        StartFailed: The container does not run (stage ``gone``), or the machine is at fault (``service``).
    """
    with Descriptors() as fds:
        ends = _terminal(fds) if options.tty else _pipes(fds, options)
        try:
            command = await sandboxes.execute(sandbox, options.command, ends.theirs, tty=options.tty)
        except StartFailed as failure:
            if failure.stage in ("gone", "service"):
                raise
            yield FailedProcess(failure)
            return
        fds.close(*ends.theirs)
        try:
            yield ExecProcess(command, ends, fds)
        finally:
            command.hang_up()


def _terminal(fds: Descriptors) -> Ends:
    ours, theirs = os.openpty()
    fds.own(ours, theirs)
    os.set_blocking(ours, False)
    return Ends((theirs, theirs, theirs), {ours: "stdout"}, ours, ours)


def _pipes(fds: Descriptors, options: ExecOptions) -> Ends:
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    fds.own(null)
    theirs = [null, null, null]
    outputs: dict[int, StreamName] = {}
    stdin = -1
    if options.stdin:
        theirs[0], stdin = os.pipe()
        fds.own(theirs[0], stdin)
        os.set_blocking(stdin, False)
    names: tuple[tuple[int, StreamName, bool], ...] = ((1, "stdout", options.stdout), (2, "stderr", options.stderr))
    for number, name, is_wanted in names:
        if is_wanted:
            ours, theirs[number] = os.pipe()
            fds.own(ours, theirs[number])
            os.set_blocking(ours, False)
            outputs[ours] = name
    return Ends(theirs, outputs, stdin)


def _read(fd: int) -> bytes | None:
    """Read what is there. None: nothing is; empty: nothing will ever be."""
    try:
        return os.read(fd, CHUNK_BYTES)
    except BlockingIOError:
        return None
    except OSError:  # EIO: the last who had the terminal is gone
        return b""
