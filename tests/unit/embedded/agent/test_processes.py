"""Commands with their streams: nothing is read ahead of who listens."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from beamhall.client.protocol import ExecOptions
from beamhall.embedded.agent.processes import run_beside
from beamhall.embedded.agent.sandbox import StartFailed
from tests.unit.embedded.agent.sandbox.conftest import *  # noqa: F403  its fixtures


@asynccontextmanager
async def command(sandboxes, spec, *argv, **options):
    sandbox = await sandboxes.launch(spec("sleep", "600"))
    async with run_beside(sandboxes, sandbox, ExecOptions(list(argv), **options)) as process:
        yield process
    await sandbox.kill(0)


@pytest.mark.parametrize("tty", [False, True])
async def test_output_that_nobody_takes_stays_with_the_command(sandboxes, spec, tty):
    async with command(sandboxes, spec, "yes", tty=tty, stderr=not tty) as process:
        output = process.output()
        for _ in range(3):
            assert (await anext(output))[1].lstrip().startswith(b"y")  # a block may begin within a line's end
        loop = asyncio.get_running_loop()
        # A descriptor that is watched while it is not read would keep the loop busy.
        assert not any(loop.remove_reader(fd) for fd in (*process.ends.outputs, process.command.fileno()))


async def test_input_that_is_not_taken_makes_the_writer_wait(sandboxes, spec):
    async with command(sandboxes, spec, "sh", "-c", "read line; echo got; cat | wc -c", stdin=True) as process:
        output = process.output()
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(process.write(b"line\n" + b"x" * 1_000_000))
            assert await anext(output) == ("stdout", b"got\n")
            await writing
            await process.close_stdin()
        assert (await anext(output))[1].strip() == b"1000000"


async def test_what_is_left_behind_is_not_waited_for(sandboxes, spec):
    async with command(sandboxes, spec, "sh", "-c", "sleep 600 & echo done") as process:
        assert [data async for _, data in process.output()] == [b"done\n"]
        assert await process.wait() == 0


async def test_the_last_words_of_a_terminal_are_heard(sandboxes, spec):
    for _ in range(10):
        async with command(sandboxes, spec, "sh", "-c", "echo last; exit 3", tty=True, stderr=False) as process:
            assert b"".join([data async for _, data in process.output()]) == b"last\r\n"
            assert await process.wait() == 3


async def test_a_command_that_is_killed_has_the_code_of_its_signal(sandboxes, spec):
    async with command(sandboxes, spec, "sh", "-c", "kill -9 $$") as process:
        assert await process.wait() == 137


async def test_a_container_that_has_ended_takes_no_command(sandboxes, spec):
    sandbox = await sandboxes.launch(spec("true"))
    await sandbox.wait()
    with pytest.raises(StartFailed, match="not running"):
        async with run_beside(sandboxes, sandbox, ExecOptions(["ls"])):
            pass
