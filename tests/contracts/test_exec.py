"""Commands in containers, through every transport and a real agent."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from beamhall.client.http import HttpClient
from beamhall.client.kubeconfig import load_kubeconfig
from beamhall.client.local import LocalClient
from beamhall.client.protocol import Client, ExecOptions, RemoteProcess
from beamhall.embedded.agent.remote import PodStreams
from beamhall.embedded.agent.settings import AgentSettings
from beamhall.kernel.errors import BadRequest, NotFound
from beamhall.kernel.kinds import POD
from tests.contracts.conftest import ADMIN, CLUSTER, embedded, over_http
from tests.unit.embedded.agent.conftest import FakeCatalog, running

NAME = "beamhall-test-exec"
MEGABYTE = 1_000_000


@dataclass
class Shell:
    """A running Pod, and the client to reach into it."""

    client: Client
    transport: str

    def run(self, script: str, **options: object) -> "contextlib.AbstractAsyncContextManager[RemoteProcess]":
        return self.client.exec(NAME, "default", ExecOptions(["sh", "-c", script], **options))  # type: ignore[arg-type]


async def outputs(process: RemoteProcess) -> dict[str, bytes]:
    """Read everything."""
    found = {"stdout": b"", "stderr": b""}
    async for name, data in process.output():
        found[name] += data
    return found


@pytest.fixture(params=["local", "http", *(["cluster"] if CLUSTER else [])])
async def shell(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shell]:
    """Give a running Pod on each transport."""
    if request.param == "cluster":
        async with HttpClient(load_kubeconfig(Path(CLUSTER))) as real, _pod(real, "busybox", ""):
            yield Shell(real, request.param)
        return
    async with embedded(tmp_path) as api:
        local = LocalClient(api, ADMIN)
        async with running(local, FakeCatalog(), tmp_path, AgentSettings(node_name="node")) as agent:
            api.streams_of = PodStreams(agent, agent.sandboxes)
            async with _pod(local, "python", "node"):
                if request.param == "local":
                    yield Shell(local, request.param)
                else:
                    async with over_http(api, tmp_path) as http:
                        yield Shell(http, request.param)
            async with asyncio.timeout(20):
                while agent.n_running_pods:
                    await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def _pod(client: Client, image: str, node: str) -> AsyncIterator[None]:
    container = {"name": "main", "image": image, "command": ["sleep", "600"]}
    spec = {"containers": [container], "restartPolicy": "Never"} | ({"nodeName": node} if node else {})
    await client.create(POD, {"metadata": {"name": NAME, "namespace": "default"}, "spec": spec})
    try:
        async with asyncio.timeout(60):
            while (await client.get(POD, NAME, "default")).get("status", {}).get("phase") != "Running":
                await asyncio.sleep(0.02)
        yield
    finally:
        await client.delete(POD, NAME, "default", grace_period_s=0)


async def test_outputs_and_exit_code_come_apart(shell: Shell) -> None:
    async with shell.run("echo out; echo err >&2; exit 3") as process:
        assert await outputs(process) == {"stdout": b"out\n", "stderr": b"err\n"}
        assert await process.wait() == 3
    async with shell.run("true") as process:
        assert await process.wait() == 0


async def test_an_output_that_is_not_wanted_is_not_given(shell: Shell) -> None:
    async with shell.run("echo out; echo err >&2", stdout=False) as process:
        assert await outputs(process) == {"stdout": b"", "stderr": b"err\n"}


async def test_input_is_read_to_its_end(shell: Shell) -> None:
    async with shell.run("cat; echo done", stdin=True) as process:
        await process.write(b"one\n")
        await process.write(b"two\n")
        await process.close_stdin()
        assert (await outputs(process))["stdout"] == b"one\ntwo\ndone\n"
        assert await process.wait() == 0


async def test_a_command_without_input_reads_nothing(shell: Shell) -> None:
    async with shell.run("cat; echo done") as process:
        assert (await outputs(process))["stdout"] == b"done\n"


async def test_much_passes_in_both_directions_at_once(shell: Shell) -> None:
    data = bytes(range(256)) * (8 * MEGABYTE // 256)
    async with shell.run("cat", stdin=True) as process, asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(outputs(process))
        await process.write(data)
        await process.close_stdin()
    assert reading.result()["stdout"] == data


async def test_a_terminal_has_the_size_it_is_told(shell: Shell) -> None:
    async with shell.run("read line; stty size; echo $TERM; exit 4", stdin=True, tty=True, stderr=False) as process:
        await process.resize(40, 120)
        await process.write(b"\n")
        text = (await outputs(process))["stdout"]
        assert text.split() == [b"40", b"120", b"xterm"]
        assert await process.wait() == 4


async def test_a_command_ends_with_its_context(shell: Shell) -> None:
    async with shell.run("echo $$; exec sleep 600") as process:
        async for _, data in process.output():
            pid = int(data)
            break
    async with (
        shell.run(f"while kill -0 {pid} 2>/dev/null; do sleep 0.05; done; echo gone") as process,
        asyncio.timeout(60),
    ):
        assert (await outputs(process))["stdout"] == b"gone\n"


async def test_a_command_that_is_not_there_ends_as_in_a_shell(shell: Shell) -> None:
    if shell.transport == "cluster":
        pytest.skip("what a container runtime says is its own")
    async with shell.client.exec(NAME, "default", ExecOptions(["no-such-command"])) as process:
        assert b"no-such-command" in (await outputs(process))["stderr"]
        assert await process.wait() == 127


async def test_what_is_not_there_is_refused(shell: Shell) -> None:
    with pytest.raises(NotFound, match="no-such-pod"):
        async with shell.client.exec("no-such-pod", "default", ExecOptions(["ls"])):
            pass
    with pytest.raises(BadRequest, match="container other is not valid"):
        async with shell.run("ls", container="other"):
            pass
