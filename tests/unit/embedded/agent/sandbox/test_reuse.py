"""One shim for several containers of a tenant, and containers that are forked before they are asked for."""

import asyncio
import dataclasses
import os
import signal
import time
from pathlib import Path

import pytest

from beamhall.embedded.agent.limits.processes import look
from beamhall.embedded.agent.limits.usage import read_usage
from beamhall.embedded.agent.sandbox import Sandbox, Sandboxes, WarmStart
from beamhall.embedded.agent.sandbox.child import linux
from tests.unit.embedded.agent.sandbox.conftest import alive, until
from tests.unit.embedded.agent.sandbox.test_zygotes import modules

__all__ = ["modules"]


class Runs:
    """Runs one program again and again."""

    def __init__(self, sandboxes, given) -> None:
        self.sandboxes = sandboxes
        self.given = given
        self.number = 0

    async def start(self, tenant: str = "lab", **fields) -> Sandbox:
        self.number += 1
        directory = self.given.directory.with_name(f"r{self.number}")
        identity = f"{self.given.id}r{self.number}"
        spec = dataclasses.replace(self.given, directory=directory, id=identity, tenant=tenant, **fields)
        sandbox: Sandbox = await self.sandboxes.launch(spec)
        return sandbox

    async def through(self, tenant: str = "lab", **fields) -> Sandbox:
        sandbox = await self.start(tenant, **fields)
        assert (await sandbox.wait()).code == 0
        return sandbox


@pytest.fixture(params=["cold", "warm"])
def runs(request, modules, sandboxes, spec) -> Runs:
    if request.param == "cold":
        return Runs(sandboxes, spec("python", "-c", "pass"))
    warm = WarmStart(modules, ("fine",), {})
    return Runs(sandboxes, spec("python", "-c", "import fine", env={"PATH": str(modules.parent)}, warm=warm))


async def ahead(shim: int) -> int:
    """Give the container that a shim has forked ahead."""
    await until(lambda: linux.children(shim))
    (pid,) = linux.children(shim)
    return pid


def open_files(pid: int) -> list[str]:
    """Give what a process has open: paths, or kinds such as sockets."""
    return sorted(str(fd.readlink()).split(":")[0] for fd in Path(f"/proc/{pid}/fd").iterdir())


async def settled(pid: int) -> list[str]:
    """Give the open files of a process once they no longer change."""
    seen: list[str] = []
    while seen != (seen := open_files(pid)):
        await asyncio.sleep(0.2)
    return seen


async def test_a_shim_keeps_one_container_of_its_tenant_after_the_other(runs):
    shim = (await runs.through()).shim_pid
    for _ in range(3):
        await ahead(shim)
        assert (await runs.through()).shim_pid == shim
    assert (await runs.through("other")).shim_pid != shim
    alone = (await runs.through("")).shim_pid
    assert (await runs.through("")).shim_pid not in (shim, alone)


async def test_a_container_is_there_before_it_is_asked_for(runs):
    shim = (await runs.through()).shim_pid
    expected = await ahead(shim)
    assert (await runs.through()).pid == expected


async def test_what_was_forked_ahead_and_killed_is_missed_by_nobody(runs):
    shim = (await runs.through()).shim_pid
    killed = await ahead(shim)
    os.kill(killed, signal.SIGKILL)
    await until(lambda: linux.stat_fields(killed)[0] == "Z")
    second = await runs.through()
    assert (second.shim_pid, second.pid != killed) == (shim, True)
    await ahead(shim)
    os.kill(shim, signal.SIGKILL)
    await until(lambda: not alive(shim))
    assert (await runs.through()).shim_pid != shim


async def test_all_that_waits_goes_with_the_zygote(runs):
    shim = (await runs.through()).shim_pid
    waiting = await ahead(shim)
    os.kill(int(linux.stat_fields(shim)[1]), signal.SIGKILL)
    await until(lambda: not alive(shim) and not alive(waiting))


async def test_after_many_at_once_one_waits_for_the_next(runs):
    several = [await runs.start(argv=("python", "-c", "input()"), stdin=True) for _ in range(3)]
    zygote = int(linux.stat_fields(several[0].shim_pid)[1])
    for sandbox in several:
        sandbox.end_input()
    for sandbox in several:
        await sandbox.wait()
    shims = {sandbox.shim_pid for sandbox in several}
    assert len(shims) == 3
    await until(lambda: len(shims & set(linux.children(zygote))) == 1)


async def test_a_shim_whose_service_is_gone_ends_with_its_container(runs, capabilities):
    before = Sandboxes(capabilities=capabilities)
    await before.start()
    runs.sandboxes = before
    sleeper = await runs.start(argv=("python", "-c", "import time; time.sleep(600)"))
    await before.close()
    async with Sandboxes(capabilities=capabilities) as after:
        found = await after.adopt(sleeper.directory)
        assert found is not None
        os.kill(found.pid or 0, signal.SIGTERM)
        assert (await found.wait()).signal == signal.SIGTERM
        await until(lambda: not alive(found.shim_pid))


async def test_a_shim_keeps_nothing_of_what_it_kept(runs):
    shim = (await runs.through()).shim_pid
    await ahead(shim)
    before = await settled(shim)
    for _ in range(5):
        await runs.through()
        failed = await runs.start(argv=("/bin/sh", "-c", "exit 3"))
        assert (await failed.wait()).code == 3
    await ahead(shim)
    await until(lambda: open_files(shim) == before)


async def test_an_input_or_a_terminal_is_no_reason_to_fork_another_shim(runs):
    shim = (await runs.through()).shim_pid
    waiting = await ahead(shim)
    talker = await runs.start(argv=("python", "-c", "import sys; sys.stdin.read()"), stdin=True)
    assert (talker.shim_pid, talker.pid != waiting) == (shim, True)
    talker.end_input()
    assert (await talker.wait()).code == 0
    await ahead(shim)
    assert (await runs.through()).shim_pid == shim


async def test_what_earlier_containers_used_is_not_counted(runs):
    burn = "import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass"
    shim = (await runs.through(argv=("python", "-c", burn))).shim_pid
    await ahead(shim)
    sleeper = await runs.start(argv=("python", "-c", "import time; time.sleep(600)"))
    assert sleeper.shim_pid == shim
    until_s = time.monotonic() + 1
    while time.monotonic() < until_s:
        assert read_usage(sleeper, look).cpu_s < 0.4
    await sleeper.kill(0)
