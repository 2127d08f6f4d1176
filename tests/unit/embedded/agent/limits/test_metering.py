"""Usage of containers and of the node, on real processes."""

import asyncio
import dataclasses
import sys

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from beamhall.embedded.agent.limits import machine, metering
from beamhall.embedded.agent.limits.gauges import UsageCollector
from beamhall.embedded.agent.limits.metering import usage_of
from beamhall.kernel.kinds import POD
from tests.unit.embedded.agent.conftest import pod_of
from tests.unit.embedded.agent.limits.conftest import needs_cgroups
from tests.unit.embedded.agent.test_events import HandClock

HOLD = f"{sys.executable} -c 'import time; held = bytearray(100 << 20); time.sleep(60)'"
BURN = "while :; do :; done"
METERED = [pytest.param(True, marks=needs_cgroups, id="cgroups"), pytest.param(False, id="proc")]


@pytest.fixture
def settings(settings, request):
    return dataclasses.replace(settings, cgroups=request.param, usage_period_s=0.05)


async def usage(agent, pod, holds):
    """Ask until the usage of a Pod's containers, cores and MiB by name, is as it should be."""
    async with asyncio.timeout(30):
        while True:
            figures = (await agent.metering.pods()).get(pod["metadata"]["uid"])
            found = {c["name"]: read(c["usage"]) for c in (figures or {}).get("containers", ())}
            if holds(found):
                return figures, found
            await asyncio.sleep(0.1)


def read(usage):
    return int(usage["cpu"].removesuffix("n")) / 1e9, int(usage["memory"].removesuffix("Ki")) / 1024


def sleeper(name, script):
    resources = {"limits": {"cpu": "500m", "memory": "400Mi"}}
    return {"name": name, "image": "python", "command": ["sh", "-c", script], "resources": resources}


@pytest.mark.parametrize("settings", METERED, indirect=True)
async def test_each_container_is_metered_with_all_of_its_processes(agent, cluster):
    pod = pod_of("two", "")
    pod["spec"]["containers"] = [sleeper("hold", f"{HOLD} & {HOLD} & wait"), sleeper("burn", BURN)]
    pod = await cluster.create(POD, pod)
    figures, found = await usage(agent, pod, lambda u: u and u["hold"][1] > 200 and u["burn"][0] > 0.05)
    assert 200 < found["hold"][1] < 260
    assert found["burn"][1] < 20
    assert figures["window"].endswith("s")
    assert figures["timestamp"].endswith("Z")
    await cluster.delete(POD, "two", "default", grace_period_s=0)
    async with asyncio.timeout(30):
        while await agent.metering.pods():
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("settings", METERED, indirect=True)
async def test_processor_time_counts_of_processes_that_have_ended_too(agent, cluster):
    burn = f"{sys.executable} -c 'import time\nwhile time.process_time() < 0.4: pass'"
    pod = pod_of("one", "")
    pod["spec"]["containers"] = [sleeper("main", f"{burn}; echo > $HOME/done; sleep 60")]
    pod = await cluster.create(POD, pod)
    await cluster.phase("one", "Running", timeout_s=60)
    done = agent.worker_of(pod["metadata"]["uid"]).own.home / "done"
    async with asyncio.timeout(30):
        while not done.exists():
            await asyncio.sleep(0.05)
    (running,) = agent.worker_of(pod["metadata"]["uid"]).running()
    _, found = await usage(agent, pod, lambda u: u)
    age_s = (agent.clock.now() - running.started_at).total_seconds()
    assert found["main"][0] * age_s > 0.39


@pytest.mark.parametrize("settings", [False], indirect=True)
async def test_many_who_ask_at_once_cost_one_look(agent, monkeypatch):
    looks = 0
    real = machine.busy_s

    def counted():
        nonlocal looks
        looks += 1
        return real()

    agent.metering._clock = clock = HandClock()
    clock.s = 1000.0
    async with asyncio.timeout(60):
        while not agent.metering._began._waiters:  # it looks no more of itself
            await asyncio.sleep(0.01)
    monkeypatch.setattr(metering, "busy_s", counted)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(20):
            tasks.create_task(agent.metering.pods())
    assert looks == 1
    clock.s += 1
    await agent.metering.pods()
    assert looks == 2


@pytest.mark.parametrize("settings", [False], indirect=True)
async def test_the_node_is_metered_also_when_nothing_runs(agent):
    (name,) = figures = await agent.metering.nodes()
    cpus, memory = read(figures[name]["usage"])
    assert name == "node"
    assert cpus >= 0
    assert memory > 10


@pytest.mark.parametrize("settings", [False], indirect=True)
async def test_what_was_last_read_is_there_for_prometheus(agent, cluster):
    registry = CollectorRegistry()
    registry.register(UsageCollector(agent.metering))
    await cluster.create(POD, pod_of("one", BURN))
    name = 'container_memory_working_set_bytes{container="main",namespace="default",pod="one"} '
    async with asyncio.timeout(30):
        while name not in (text := generate_latest(registry).decode()):
            await asyncio.sleep(0.1)
    assert 'container_cpu_usage_seconds_total{container="main",namespace="default",pod="one"} ' in text


@pytest.mark.parametrize("settings", [False], indirect=True)
async def test_nothing_is_sampled_while_nothing_runs(agent, cluster, monkeypatch):
    samples = 0
    real = machine.busy_s

    def counted():
        nonlocal samples
        samples += 1
        return real()

    monkeypatch.setattr(metering, "busy_s", counted)
    await cluster.create(POD, pod_of("one", "sleep 0.3"))
    await cluster.phase("one", "Succeeded", timeout_s=60)
    assert samples > 1
    async with asyncio.timeout(60):
        while not agent.metering._began._waiters:  # nothing but a start wakes it then
            await asyncio.sleep(0.01)
    before = samples
    await asyncio.sleep(0.2)
    assert samples == before


@pytest.mark.parametrize(
    ("ages_s", "window_s"),
    [((20, 10), 10), ((20, 3), 20), ((3,), 3), ((70, 3), 3), ((70, 0.5), 1), ((), 1)],
)
async def test_the_window_is_the_shortest_of_5_s_and_more(ages_s, window_s, monkeypatch):
    clock = HandClock()
    clock.s = 1000.0
    meter = metering.Metering("n", clock, list, 15.0)
    meter._samples.extend(metering.Sample(1000.0 - age, 0.0, {}) for age in ages_s)

    async def sleep(seconds):
        clock.s += seconds

    monkeypatch.setattr(asyncio, "sleep", sleep)
    assert (await meter.nodes())["n"]["window"] == f"{window_s:.3f}s"


def test_usage_is_written_as_metrics_server_does():
    assert usage_of(0.25, 3 * 2**20) == {"cpu": "250000000n", "memory": "3072Ki"}
