"""Commands beside a container's program: what they see, how they end, and that nothing of them is left."""

import asyncio
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from beamhall.embedded.agent.sandbox import Capability, Mount, Sandboxes, StartFailed
from beamhall.embedded.agent.sandbox.exec import run_command
from tests.unit.embedded.agent.sandbox.conftest import PATH, PYTHON, alive, until

SLEEP = ("sleep", "600")


async def run(sandboxes, sandbox, *argv, timeout_s=60.0, **options):
    return await run_command(sandboxes, sandbox, argv, timeout_s=timeout_s, **options)


async def test_exit_code_and_output_are_the_commands(sandboxes, spec):
    sandbox = await sandboxes.launch(spec(*SLEEP))
    done = await run(sandboxes, sandbox, "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.code, done.output, done.timed_out) == (3, b"out\nerr\n", False)
    assert (await run(sandboxes, sandbox, "sh", "-c", "kill -TERM $$")).code == 128 + signal.SIGTERM
    assert sandbox.exit is None


async def test_a_command_sees_what_the_program_sees(sandboxes, spec, tmp_path, capabilities):
    if not capabilities.mounts.works:
        pytest.skip(capabilities.mounts.reason)
    data = tmp_path / "data"
    data.mkdir()
    (data / "file").write_text("there")
    given = spec(
        *SLEEP,
        env={"PATH": PATH, "A": "b c"},
        mounts=[Mount(data, "/data-of-this-test")],
        hostname="pod-1",
        umask=0o077,
    )
    sandbox = await sandboxes.launch(given)
    done = await run(sandboxes, sandbox, "sh", "-c", "cat /data-of-this-test/file; echo; uname -n; pwd; umask; env")
    text = done.output.decode().splitlines()
    assert text[0] == "there"
    if capabilities.hostname.works:
        assert text[1] == "pod-1"
    assert text[2:4] == [str(tmp_path), "0077"]
    assert {"A=b c", f"PATH={PATH}", f"BEAMHALL_SANDBOX={given.id}"} <= set(text[4:])
    assert not Path("/data-of-this-test").exists()


async def test_a_command_enters_a_user_namespace_too(capabilities, spec, tmp_path):
    by_user = Capability(works=True, how="user namespace")
    async with Sandboxes(capabilities=replace(capabilities, mounts=by_user, hostname=by_user)) as sandboxes:
        try:
            sandbox = await sandboxes.launch(spec(*SLEEP, mounts=[Mount(tmp_path, "/data-of-this-test")]))
        except StartFailed as failure:
            pytest.skip(f"this machine permits no user namespaces: {failure}")
        inner = await run(sandboxes, sandbox, "sh", "-c", "ls -d /data-of-this-test; readlink /proc/self/ns/user")
        assert inner.output.decode().splitlines() == [
            "/data-of-this-test", str(Path(f"/proc/{sandbox.pid}/ns/user").readlink()),
        ]  # fmt: skip
        assert Path("/proc/self/ns/user").readlink() != Path(f"/proc/{sandbox.pid}/ns/user").readlink()
        await sandbox.kill(0)


async def test_a_command_has_the_address_of_its_pod(sandboxes, spec, capabilities):
    if not capabilities.network.works:
        pytest.skip(capabilities.network.reason)
    sandbox = await sandboxes.launch(spec(*SLEEP, address="127.77.1.2"))
    code = "import socket; s = socket.create_server(('', 0)); print(s.getsockname()[0])"
    done = await run(sandboxes, sandbox, PYTHON, "-c", code)
    assert done.output == b"127.77.1.2\n"


async def test_a_command_that_is_not_there_says_so(sandboxes, spec):
    sandbox = await sandboxes.launch(spec(*SLEEP))
    with pytest.raises(StartFailed, match="'no-such-command' was not found") as failure:
        await run(sandboxes, sandbox, "no-such-command")
    assert failure.value.stage == "command-not-found"


async def test_a_container_that_has_ended_runs_no_command(sandboxes, spec):
    sandbox = await sandboxes.launch(spec("true"))
    await sandbox.wait()
    with pytest.raises(StartFailed) as failure:
        await run(sandboxes, sandbox, "true")
    assert failure.value.stage == "gone"


async def test_a_command_whose_time_is_over_is_killed_with_its_children(sandboxes, spec, tmp_path):
    sandbox = await sandboxes.launch(spec(*SLEEP))
    script = f"setsid sleep 600 & echo $! >> {tmp_path}/pids; echo $$ >> {tmp_path}/pids; echo so far; wait"
    done = await run(sandboxes, sandbox, "sh", "-c", script, timeout_s=1.0)
    assert (done.code, done.timed_out) == (137, True)
    pids = [int(line) for line in (tmp_path / "pids").read_text().split()]
    await until(lambda: not any(alive(pid) for pid in pids))
    assert sandbox.exit is None


async def test_what_a_command_leaves_behind_ends_with_the_container(sandboxes, spec):
    sandbox = await sandboxes.launch(spec(*SLEEP))
    done = await run(sandboxes, sandbox, "sh", "-c", "setsid sleep 600 & echo $!")
    left = int(done.output)
    assert alive(left)
    await sandbox.kill(0)
    await until(lambda: not alive(left))


async def test_a_command_is_killed_when_the_container_ends(sandboxes, spec, tmp_path):
    sandbox = await sandboxes.launch(spec(*SLEEP))
    async with asyncio.TaskGroup() as tasks:
        script = f"echo $$ > {tmp_path}/pid; exec sleep 600"
        running = tasks.create_task(run(sandboxes, sandbox, "sh", "-c", script, timeout_s=None))
        await until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        await sandbox.kill(0)
    assert running.result().code == 137
    assert not alive(int((tmp_path / "pid").read_text()))


async def test_output_beyond_the_limit_is_dropped_and_blocks_nobody(sandboxes, spec):
    sandbox = await sandboxes.launch(spec(*SLEEP))
    done = await run(sandboxes, sandbox, "sh", "-c", "yes | head -c 1000000; exit 4", limit_bytes=100)
    assert (done.code, done.output) == (4, b"y\n" * 50)


async def test_commands_run_in_a_container_that_was_adopted(capabilities, spec):
    given = spec(*SLEEP, env={"PATH": PATH, "A": "kept"})
    async with Sandboxes(capabilities=capabilities) as before:
        await before.launch(given)
    async with Sandboxes(capabilities=capabilities) as after:
        sandbox = await after.adopt(given.directory)
        assert sandbox is not None
        assert (await run(after, sandbox, "sh", "-c", "echo $A")).output == b"kept\n"
        await sandbox.kill(0)


async def test_no_descriptor_is_left_open(sandboxes, spec):
    sandbox = await sandboxes.launch(spec(*SLEEP))
    await run(sandboxes, sandbox, "true")
    before = len(list(Path("/proc/self/fd").iterdir()))
    await run(sandboxes, sandbox, "true")
    with pytest.raises(StartFailed):
        await run(sandboxes, sandbox, "no-such-command")
    await run(sandboxes, sandbox, *SLEEP, timeout_s=0.2)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
