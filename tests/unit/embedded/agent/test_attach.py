"""Attaching to the programs of Pods."""

import asyncio
from contextlib import suppress

import pytest

from beamhall.client.protocol import ExecOptions
from beamhall.embedded.agent.remote import PodStreams
from beamhall.kernel.errors import BadRequest, NotFound
from beamhall.kernel.kinds import POD
from tests.unit.embedded.agent.conftest import pod_of

ATTACH = ExecOptions((), stdin=True)


@pytest.fixture
def streams(agent):
    return PodStreams(agent, agent.sandboxes)


async def running_pod(cluster, script, **container):
    pod = pod_of("one", script)
    pod["spec"]["containers"][0] |= container
    await cluster.create(POD, pod)
    async with asyncio.timeout(60):
        while True:
            found = await cluster.get(POD, "one", "default")
            if found.get("status", {}).get("phase") == "Running":
                return found
            await asyncio.sleep(0.02)


async def everything(process):
    return b"".join([data async for _, data in process.output()])


async def until_seen(output, text):
    seen = b""
    async with asyncio.timeout(60):
        while text not in seen:
            seen += (await anext(output))[1]
    return seen


async def until_logged(tmp_path, text):
    async with asyncio.timeout(60):
        while not any(text in log.read_bytes() for log in tmp_path.glob("pods/*/main/0/log")):
            await asyncio.sleep(0.02)


async def test_output_is_given_from_now_on_and_ends_with_the_program(cluster, streams, tmp_path):
    pod = await running_pod(
        cluster, f"echo before; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; echo o; echo e >&2"
    )
    await until_logged(tmp_path, b"before")
    async with streams.attach(pod, ExecOptions(())) as process:
        (tmp_path / "go").touch()
        assert sorted([(name, data) async for name, data in process.output()]) == [
            ("stderr", b"e\n"),
            ("stdout", b"o\n"),
        ]
        assert await process.wait() == 0


async def test_an_input_that_comes_once_ends_and_its_program_is_followed(cluster, streams):
    pod = await running_pod(cluster, "echo before; cat; echo after", stdin=True, stdinOnce=True)
    async with streams.attach(pod, ATTACH) as process:
        await process.write(b"text\n")
        await process.close_stdin()
        async with asyncio.timeout(60):
            assert await everything(process) == b"before\ntext\nafter\n"


async def test_a_client_that_vanishes_ends_an_input_that_comes_once(cluster, streams, tmp_path):
    pod = await running_pod(cluster, "cat; echo ended; sleep 600", stdin=True, stdinOnce=True)
    async with streams.attach(pod, ATTACH) as process:
        await process.write(b"text\n")
    await until_logged(tmp_path, b"ended")


async def test_an_input_that_may_come_again_detaches_the_client(cluster, streams):
    pod = await running_pod(cluster, "cat", stdin=True)
    for word in (b"one\n", b"two\n"):
        async with streams.attach(pod, ATTACH) as process:
            output = process.output()
            await process.write(word)
            assert await until_seen(output, word) == word
            await process.close_stdin()
            async with asyncio.timeout(60):
                with suppress(StopAsyncIteration):
                    await anext(output)


async def test_several_clients_see_one_terminal(cluster, streams):
    pod = await running_pod(cluster, "stty -echo; while read line; do echo got $line; done", stdin=True, tty=True)
    async with streams.attach(pod, ATTACH) as one, streams.attach(pod, ATTACH) as two:
        outputs = one.output(), two.output()
        await one.write(b"hello\n")
        for output in outputs:
            await until_seen(output, b"got hello\r\n")


async def test_what_does_not_run_is_refused(cluster, streams):
    pod = await running_pod(cluster, "sleep 600")
    with pytest.raises(BadRequest, match="container other is not valid for pod one"):
        streams.check(pod, "other")
    with pytest.raises(NotFound, match="no longer on its node"):
        streams.check({"metadata": {"name": "one", "uid": "gone"}, "spec": pod["spec"]}, "")
    unbound = {"metadata": {"name": "one", "uid": "new"}, "spec": {**pod["spec"], "nodeName": ""}}
    with pytest.raises(BadRequest, match="does not have a host assigned"):
        streams.check(unbound, "")
