"""Logs that are rotated while they are written and read."""

import asyncio
from dataclasses import replace

import pytest

from beamhall.client.protocol import LogOptions
from beamhall.embedded.agent.logs import PodLogs
from beamhall.kernel.kinds import POD
from tests.unit.embedded.agent.conftest import pod_of, running
from tests.unit.embedded.agent.test_agent import main_of


@pytest.fixture
def settings(settings):
    return replace(settings, log_max_bytes=2000, log_max_files=1000)


COUNT = "for i in 0 1 2 3 4 5 6 7 8 9; do seq $((i * 100 + 1)) $((i * 100 + 100)); sleep 0.02; done"


async def text_of(agent, subject, **options):
    async with PodLogs(agent).open(subject, LogOptions(**options)) as blocks:
        return b"".join([block async for block in blocks]).decode()


def numbers(first, last):
    return "".join(f"{number}\n" for number in range(first, last + 1))


def files_of(agent, subject):
    (run,) = agent.worker_of(subject["metadata"]["uid"]).runs_of("main")
    return list(run.sandbox.directory.glob("log*"))


async def test_a_follower_loses_nothing_when_a_log_is_rotated(agent, cluster):
    await cluster.create(POD, pod_of("one", COUNT))
    subject = await cluster.phase("one", "Running", "Succeeded")
    assert await text_of(agent, subject, follow=True) == numbers(1, 1000)
    assert len(files_of(agent, subject)) > 5


async def test_a_follower_ends_when_the_pod_is_removed_meanwhile(agent, cluster):
    await cluster.create(POD, pod_of("one", "seq 2000; sleep 600"))
    subject = await cluster.phase("one", "Running")
    directory = agent.worker_of(subject["metadata"]["uid"]).own.path
    async with PodLogs(agent).open(subject, LogOptions(follow=True)) as blocks, asyncio.timeout(20):
        assert (await anext(aiter(blocks))).startswith(b"1\n")
        await cluster.delete(POD, "one", grace_period_s=0, namespace="default")
        while directory.exists():
            await asyncio.sleep(0.01)
        assert b"".join([block async for block in blocks]).decode() in numbers(1, 2000)


async def test_parts_of_a_rotated_log(agent, cluster):
    await cluster.create(POD, pod_of("one", COUNT))
    subject = await cluster.phase("one", "Succeeded")
    assert len(files_of(agent, subject)) > 5
    assert await text_of(agent, subject) == numbers(1, 1000)
    for lines in (1, 30, 300, 999, 1000, 2000):
        assert await text_of(agent, subject, tail_lines=lines) == numbers(max(1, 1001 - lines), 1000)
    assert await text_of(agent, subject, tail_lines=300, follow=True) == numbers(701, 1000)
    assert await text_of(agent, subject, since_s=3600, limit_bytes=6) == "1\n2\n3\n"
    assert await text_of(agent, subject, since_s=-3600) == ""


async def test_the_oldest_parts_are_removed(cluster, catalog, settings, tmp_path):
    async with running(cluster, catalog, tmp_path, replace(settings, log_max_files=3)) as agent:
        await cluster.create(POD, pod_of("one", COUNT))
        subject = await cluster.phase("one", "Succeeded")
        assert len(files_of(agent, subject)) == 3
        text = await text_of(agent, subject)
        assert numbers(1, 1000).endswith(text)
        assert 20 < text.count("\n") < 900


async def test_a_slow_follower_goes_on_with_what_is_left(cluster, catalog, settings, tmp_path):
    async with running(cluster, catalog, tmp_path, replace(settings, log_max_files=2)) as agent:
        await cluster.create(POD, pod_of("one", f"echo first; until test -e $HOME/go; do sleep 0.02; done; {COUNT}"))
        subject = await cluster.phase("one", "Running")
        async with asyncio.timeout(20), PodLogs(agent).open(subject, LogOptions(follow=True)) as blocks:
            text = await anext(blocks)
            (agent.worker_of(subject["metadata"]["uid"]).own.home / "go").touch()
            await cluster.phase("one", "Succeeded")
            async for block in blocks:
                text += block
        assert text.startswith(b"first\n")
        assert text.endswith(b"\n999\n1000\n")


async def test_the_last_words_may_be_in_two_files(cluster, catalog, settings, tmp_path):
    async with running(cluster, catalog, tmp_path, replace(settings, log_max_bytes=300)):
        spec = pod_of("one", "seq 1 50; exit 1")
        spec["spec"]["containers"][0]["terminationMessagePolicy"] = "FallbackToLogsOnError"
        await cluster.create(POD, spec)
        pod = await cluster.phase("one", "Failed")
        assert main_of(pod)["state"]["terminated"]["message"] == numbers(1, 50).rstrip()


async def test_the_log_before_a_restart_has_all_its_parts(cluster, catalog, settings, tmp_path):
    async with running(cluster, catalog, tmp_path, settings) as agent:
        script = "test -e $HOME/again && exec sleep 600; touch $HOME/again; seq 1 500; exit 1"
        await cluster.create(POD, pod_of("one", script, policy="Always"))
        await cluster.until(
            lambda: (
                cluster.pod("one").get("status", {}).get("containerStatuses")
                and main_of(cluster.pod("one"))["restartCount"] == 1
                and main_of(cluster.pod("one"))["state"].get("running")
            )
        )
        assert await text_of(agent, cluster.pod("one"), previous=True) == numbers(1, 500)
        await cluster.delete(POD, "one", "default", grace_period_s=0)
        async with asyncio.timeout(20):
            while agent._workers:  # an agent that stops before leaves the Pod running, as it should
                await asyncio.sleep(0.02)
