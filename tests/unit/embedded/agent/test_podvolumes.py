"""Volumes that follow what they show, on real processes."""

import asyncio
import base64
from dataclasses import replace

import pytest

from beamhall.kernel.kinds import CONFIG_MAP, POD, SECRET
from tests.unit.embedded.agent.conftest import pod_of, running
from tests.unit.embedded.agent.test_agent import log_of, main_of

SOURCES = [
    {"configMap": {"name": "m"}},
    {"secret": {"name": "s", "optional": True}},
    {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
]


@pytest.fixture(autouse=True)
def _needs_mounts(request):
    agent = request.getfixturevalue("agent") if "agent" in request.fixturenames else None
    if agent is not None and not agent.sandboxes.capabilities.mounts.works:
        pytest.skip("no mounts on this machine")


def config_map(name, **data):
    return {"metadata": {"name": name, "namespace": "default"}, "data": data}


def showing(name, script, *volumes, **mount):
    pod = pod_of(name, script, volumes=list(volumes))
    pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "v", "mountPath": "/etc/shown"} | mount]
    return pod


def waiting_for(file, text):
    return f"until grep -qx '{text}' /etc/shown/{file}; do sleep 0.05; done"


async def test_files_follow_what_they_show(agent, cluster):
    await cluster.create(CONFIG_MAP, config_map("m", a="1"))
    steps = [waiting_for("a", 2), waiting_for("k", "s3"), waiting_for("labels", 'l="x"')]
    script = "; ".join(["exec 3< /etc/shown/a", *steps])
    pod = showing("one", f"{script}; cat <&3; ls /etc/shown", {"name": "v", "projected": {"sources": SOURCES}})
    await cluster.create(POD, pod)
    pod = await cluster.phase("one", "Running")
    labels = agent.worker_of(pod["metadata"]["uid"]).own.volumes / "v" / "labels"
    await cluster.patch(POD, "one", "default", {"metadata": {"labels": {"l": "x"}}})
    async with asyncio.timeout(20):
        while labels.read_text() != 'l="x"':
            await asyncio.sleep(0.02)
    await cluster.patch(CONFIG_MAP, "m", "default", {"data": {"a": "2"}})
    secret = {"metadata": {"name": "s", "namespace": "default"}, "data": {"k": base64.b64encode(b"s3").decode()}}
    await cluster.create(SECRET, secret)
    pod = await cluster.phase("one", "Succeeded")
    assert await log_of(agent, pod) == "1a\nk\nlabels\n"


async def test_files_follow_after_a_restart_of_the_service(cluster, catalog, settings, tmp_path):
    await cluster.create(CONFIG_MAP, config_map("m", a="1"))
    async with running(cluster, catalog, tmp_path, settings) as agent:
        if not agent.sandboxes.capabilities.mounts.works:
            pytest.skip("no mounts on this machine")
        script = f"{waiting_for('a', 2)}; touch $HOME/two; {waiting_for('a', 3)}"
        await cluster.create(POD, showing("one", script, {"name": "v", "configMap": {"name": "m"}}))
        pod = await cluster.phase("one", "Running")
        home = agent.worker_of(pod["metadata"]["uid"]).own.home
    await cluster.patch(CONFIG_MAP, "m", "default", {"data": {"a": "2"}})
    async with running(cluster, catalog, tmp_path, settings):
        async with asyncio.timeout(20):
            while not (home / "two").exists():
                await asyncio.sleep(0.02)
        await cluster.patch(CONFIG_MAP, "m", "default", {"data": {"a": "3"}})
        await cluster.phase("one", "Succeeded")


async def test_what_is_missing_keeps_the_files_that_were(agent, cluster):
    await cluster.create(CONFIG_MAP, config_map("m", a="1"))
    script = f"{waiting_for('a', 2)}"
    await cluster.create(POD, showing("one", script, {"name": "v", "configMap": {"name": "m"}}))
    await cluster.phase("one", "Running")
    await cluster.delete(CONFIG_MAP, "m", "default")
    (event,) = await cluster.until(lambda: cluster.events("one", "FailedMount"))
    assert event["message"] == 'MountVolume.SetUp failed for volume "v": configmap "m" not found'
    assert main_of(cluster.pod("one"))["state"]["running"]
    await cluster.create(CONFIG_MAP, config_map("m", a="2"))
    await cluster.phase("one", "Succeeded")


async def test_a_sub_path_shows_what_it_was(agent, cluster):
    await cluster.create(CONFIG_MAP, config_map("m", a="1", b="1"))
    volume = {"name": "v", "configMap": {"name": "m"}}
    pod = showing("one", f"{waiting_for('a', 2)}; cat /etc/part", volume)
    pod["spec"]["containers"][0]["volumeMounts"].append({"name": "v", "mountPath": "/etc/part", "subPath": "b"})
    await cluster.create(POD, pod)
    await cluster.phase("one", "Running")
    await cluster.patch(CONFIG_MAP, "m", "default", {"data": {"a": "2", "b": "2"}})
    assert await log_of(agent, await cluster.phase("one", "Succeeded")) == "1"


async def test_an_emptydir_that_outgrows_its_limit_ends_the_pod(cluster, catalog, settings, tmp_path):
    async with running(cluster, catalog, tmp_path, replace(settings, storage_check_s=0.05)):
        script = "head -c 3000000 /dev/zero > $HOME/../.volumes/v/big; sleep 600"
        volume = {"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}
        await cluster.create(POD, pod_of("one", script, volumes=[volume], policy="Always"))
        pod = await cluster.phase("one", "Failed")
        why = 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '
        assert (pod["status"]["reason"], pod["status"]["message"]) == ("Evicted", why)
        target = {c["type"]: c for c in pod["status"]["conditions"]}["DisruptionTarget"]
        assert (target["status"], target["reason"]) == ("True", "TerminationByKubelet")
        (event,) = await cluster.until(lambda: cluster.events("one", "Evicted"))
        assert (event["type"], event["message"]) == ("Warning", why)


async def test_nothing_is_done_for_the_volumes_of_a_pod_that_has_ended(agent, cluster):
    await cluster.create(CONFIG_MAP, config_map("m", a="1"))
    volumes = [{"name": "v", "configMap": {"name": "m"}}, {"name": "e", "emptyDir": {"sizeLimit": "1Gi"}}]
    await cluster.create(POD, showing("one", "until test -e $HOME/go; do sleep 0.02; done", *volumes))
    pod = await cluster.phase("one", "Running")
    worker = agent.worker_of(pod["metadata"]["uid"])
    assert worker._volumes.is_kept
    assert agent._tools.following._listeners
    (worker.own.home / "go").touch()
    await cluster.phase("one", "Succeeded")
    async with asyncio.timeout(20):
        while worker._volumes.is_kept:
            await asyncio.sleep(0.01)
    assert not agent._tools.following._listeners


async def test_a_pod_without_such_volumes_has_no_work_done_for_it(agent, cluster):
    await cluster.create(POD, pod_of("one", "sleep 600", volumes=[{"name": "e", "emptyDir": {}}]))
    pod = await cluster.phase("one", "Running")
    worker = agent.worker_of(pod["metadata"]["uid"])
    assert not worker._volumes._keeping
    assert not worker._care._cared
