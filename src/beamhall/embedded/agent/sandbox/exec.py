"""Running a command in a container to its end, for probes and hooks: its exit code and what it wrote.

    result = await run_command(sandboxes, sandbox, ["sh", "-c", "test -f /tmp/ready"], timeout_s=1)

Streams to a client are ``embedded.agent.streams``'. Next: ``command``.
"""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass

from beamhall.embedded.agent.sandbox.pipes import Descriptors, read_some
from beamhall.embedded.agent.sandbox.sandbox import Sandbox
from beamhall.embedded.agent.sandbox.sandboxes import Sandboxes

OUTPUT_LIMIT_BYTES = 10 * 1024
"""How much of the output of a probe is kept, as a kubelet does."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended.

    Attributes:
        code: Its exit code; 128+n for signal n.
        output: The beginning of what it wrote to its standard output and error, in the order that it came.
        timed_out: Whether it was killed because its time was over; then ``code`` is 137.
    """

    code: int
    output: bytes
    timed_out: bool = False


async def run_command(
    sandboxes: Sandboxes,
    sandbox: Sandbox,
    argv: Sequence[str],
    *,
    timeout_s: float | None,
    limit_bytes: int = OUTPUT_LIMIT_BYTES,
) -> CommandResult:
    """Run a command in a running container, and wait for its end.

    If this is cancelled, or the time is over, the command is killed with everything that it started.

    Args:
        sandboxes: What starts it.
        sandbox: The container.
        argv: The command line; the command is looked up in the container's PATH.
        timeout_s: How long it may take; None: as long as it likes.
        limit_bytes: How much of its output is kept. The rest is read and dropped, so that it never blocks.

    Raises:
        StartFailed: The container does not run (stage ``gone``), or the command cannot be started.
    """
    output = bytearray()
    with Descriptors() as fds:
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        ours, theirs = os.pipe()
        fds.own(null, ours, theirs)
        os.set_blocking(ours, False)
        command = await sandboxes.execute(sandbox, argv, (null, theirs, theirs))
        fds.close(theirs)
        try:
            async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as tasks:
                reader = tasks.create_task(_keep(ours, output, limit_bytes))
                code = await command.wait()
                reader.cancel()
        except TimeoutError:
            return CommandResult(137, bytes(output), timed_out=True)
        finally:
            command.hang_up()
        # What it wrote before its end is in the pipe by now; who it left behind may hold that open for long.
        _drain(ours, output, limit_bytes)
    return CommandResult(code, bytes(output))


async def _keep(fd: int, output: bytearray, limit_bytes: int) -> None:
    while part := await read_some(fd):
        output += part[: limit_bytes - len(output)]


def _drain(fd: int, output: bytearray, limit_bytes: int) -> None:
    try:
        while len(output) < limit_bytes and (part := os.read(fd, limit_bytes - len(output))):
            output += part
    except BlockingIOError:
        pass
