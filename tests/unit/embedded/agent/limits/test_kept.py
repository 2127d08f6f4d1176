"""Limits of Pods as they are kept on this machine: by control groups, and watched."""

import asyncio
import dataclasses
import sys
from pathlib import Path

import pytest

from beamhall.kernel.kinds import POD
from tests.unit.embedded.agent.conftest import pod_of, running
from tests.unit.embedded.agent.limits.conftest import needs_cgroups

# Slowly enough for a look in between, and never more than a machine has.
HOG = f"{sys.executable} -c 'import time; held = [time.sleep(0.1) or bytearray(20 << 20) for _ in range(300)]'"
KEPT = [pytest.param(True, marks=needs_cgroups, id="enforced"), pytest.param(False, id="watched")]


@pytest.fixture
def settings(settings, request):
    return dataclasses.replace(settings, cgroups=getattr(request, "param", True))


def limited(name, script, memory="64Mi", cpu="1", **spec):
    pod = pod_of(name, script, **spec)
    pod["spec"]["containers"][0]["resources"] = {"limits": {"memory": memory, "cpu": cpu}}
    return pod


def ended(pod):
    status = pod["status"]["containerStatuses"][0]
    return (status["state"].get("terminated") or status["lastState"].get("terminated")) or {}


@pytest.mark.parametrize("settings", KEPT, indirect=True)
async def test_a_container_beyond_its_memory_limit_is_killed_and_an_event_says_so(agent, cluster):
    await cluster.create(POD, limited("hog", HOG))
    pod = await cluster.phase("hog", "Failed", "Succeeded", timeout_s=60)
    assert (ended(pod)["exitCode"], ended(pod)["reason"]) == (137, "OOMKilled")
    (event,) = await cluster.until(lambda: cluster.events("hog", "OOMKilled"))
    assert event["type"] == "Warning"
    assert "Container main was killed: it needed more memory than its limit of 64Mi" in event["message"]


@pytest.mark.parametrize("settings", KEPT, indirect=True)
async def test_memory_of_all_processes_counts_and_the_restart_policy_applies(agent, cluster, tmp_path):
    marker = tmp_path / "ran"
    script = f"test -e {marker} && exit 0; touch {marker}; ({HOG}); exit 5"
    await cluster.create(POD, limited("hog", script, policy="OnFailure"))
    pod = await cluster.phase("hog", "Succeeded", timeout_s=60)
    status = pod["status"]["containerStatuses"][0]
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["reason"] == "OOMKilled"


@pytest.mark.parametrize("settings", KEPT, indirect=True)
async def test_who_keeps_within_the_limit_is_left_alone(agent, cluster):
    script = f"{sys.executable} -c 'import time; held = bytearray(20 << 20); time.sleep(1.5)'"
    await cluster.create(POD, limited("one", script, memory="200Mi"))
    await cluster.phase("one", "Succeeded", timeout_s=60)


@pytest.mark.parametrize("settings", KEPT, indirect=True)
async def test_memory_that_processes_share_counts_once(agent, cluster):
    fork = (
        "import os, time; held = bytearray(60 << 20); [os.fork() or (time.sleep(2.5), os._exit(0)) for _ in range(4)]"
    )
    await cluster.create(POD, limited("one", f"{sys.executable} -c '{fork}; time.sleep(2.5)'", memory="200Mi"))
    await cluster.phase("one", "Succeeded", timeout_s=60)


@pytest.mark.parametrize("settings", [pytest.param(True, marks=needs_cgroups)], indirect=True)
async def test_processor_time_and_the_place_of_a_container(agent, cluster):
    pod = limited("one", "grep -h beamhall /proc/self/cgroup > $HOME/groups; sleep 60", cpu="250m")
    pod = await cluster.create(POD, pod)
    await cluster.phase("one", "Running", timeout_s=60)
    (running,) = agent.worker_of(pod["metadata"]["uid"]).running()
    files = {f.name: f for group in running.sandbox.cgroups for f in Path(group).iterdir()}
    if "cpu.max" in files:
        assert files["cpu.max"].read_text() == "25000 100000\n"
    else:
        assert files["cpu.cfs_quota_us"].read_text() == "25000\n"
    for group in running.sandbox.cgroups:
        assert group.endswith(f"/{pod['metadata']['uid']}/main.0")
    await cluster.delete(POD, "one", "default", grace_period_s=0)
    await cluster.until(lambda: cluster.pod("one") is None)
    await running.sandbox.wait()
    assert not any(Path(group).exists() for group in running.sandbox.cgroups)


@pytest.mark.parametrize("settings", [False], indirect=True)
async def test_nothing_is_looked_at_while_no_container_has_a_limit(agent, cluster, monkeypatch):
    looks = []
    monkeypatch.setattr("beamhall.embedded.agent.limits.watching.look", lambda: looks.append(1))
    await cluster.create(POD, pod_of("one", "sleep 1.2"))
    await cluster.phase("one", "Succeeded", timeout_s=60)
    assert looks == []


@needs_cgroups
async def test_a_restart_keeps_the_groups_of_what_runs_and_removes_what_a_dead_service_left(
    cluster, catalog, settings, tmp_path
):
    async with running(cluster, catalog, tmp_path, settings) as agent:
        pod = await cluster.create(POD, limited("one", "sleep 60"))
        await cluster.phase("one", "Running", timeout_s=60)
        (before,) = agent.worker_of(pod["metadata"]["uid"]).running()
        groups = [Path(group) for group in before.sandbox.cgroups]
    left = [group.parent.parent / "gone" / "main.0" for group in groups]
    for group in left:
        group.mkdir(parents=True)
    async with running(cluster, catalog, tmp_path, settings) as agent:
        assert not any(group.parent.exists() for group in left)
        async with asyncio.timeout(20):
            while not (found := list(agent.worker_of(pod["metadata"]["uid"]).running())):
                await asyncio.sleep(0.01)
        (after,) = found
        assert [Path(group) for group in after.sandbox.cgroups] == groups
        assert all((group / "cgroup.procs").read_text() for group in groups)
        await cluster.delete(POD, "one", "default", grace_period_s=0)
        await after.sandbox.wait()
    assert not any(group.parent.parent.exists() for group in groups)


@needs_cgroups
async def test_the_processes_of_a_pod_can_be_counted_and_limited(cluster, catalog, settings, tmp_path):
    settings = dataclasses.replace(settings, pod_pids_limit=20)
    script = "for i in $(seq 40); do sleep 60 & done; echo $(jobs | wc -l) > $HOME/started; exit 0"
    async with running(cluster, catalog, tmp_path, settings) as agent:
        pod = await cluster.create(POD, pod_of("many", script))
        await cluster.phase("many", "Succeeded", "Failed", timeout_s=60)
        home = agent.worker_of(pod["metadata"]["uid"]).own.home
        assert not (home / "started").exists() or int((home / "started").read_text()) < 20
        await cluster.delete(POD, "many", "default", grace_period_s=0)
