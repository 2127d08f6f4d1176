"""Directories go with their volumes, and nothing else goes."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from beamhall.embedded.agent.reclaiming import FINALIZER, Reclaiming
from beamhall.embedded.agent.volumes import Roots
from beamhall.kernel.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM


@asynccontextmanager
async def reclaiming(cluster, tmp_path):
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(Reclaiming(cluster, Roots(tmp_path / "volumes", True)).run())
        yield
        running.cancel()


def volume(path, *, policy="Delete", finalizers=(FINALIZER,), **metadata):
    metadata = {"name": "v", "uid": "u", "finalizers": list(finalizers), **metadata}
    reference = {"namespace": "default", "name": "c", "uid": "claim"}
    spec = {"hostPath": {"path": path}, "persistentVolumeReclaimPolicy": policy, "claimRef": reference}
    return {"metadata": metadata, "spec": spec}


GOING = {"deletionTimestamp": "2026-01-01T00:00:00Z"}


@pytest.fixture
def data(tmp_path):
    directory = tmp_path / "volumes" / "default" / "c"
    directory.mkdir(parents=True)
    (directory / "precious").write_text("x")
    return directory


def finalizers(cluster):
    return cluster.objects[PERSISTENT_VOLUME, "", "v"]["metadata"]["finalizers"]


async def test_the_directory_goes_before_the_volume(cluster, tmp_path, data):
    await cluster.create(PERSISTENT_VOLUME, volume("volumes/default/c", **GOING))
    (tmp_path / "volumes/.deleted/left").mkdir(parents=True)  # by a service that was killed in the middle
    async with reclaiming(cluster, tmp_path):
        await cluster.until(lambda: not finalizers(cluster))
        assert not data.exists()
        async with asyncio.timeout(10):
            while (tmp_path / "volumes/.deleted").exists():
                await asyncio.sleep(0.01)


async def test_what_is_to_be_retained_is_kept_out_of_the_way(cluster, tmp_path, data):
    await cluster.create(PERSISTENT_VOLUME, volume("volumes/default/c", policy="Retain", **GOING))
    async with reclaiming(cluster, tmp_path):
        await cluster.until(lambda: not finalizers(cluster))
    assert not data.exists()
    assert (tmp_path / "volumes/.retained/v/precious").read_text() == "x"


@pytest.mark.parametrize("path", ["volumes", "volumes/../tls", "{}/tls"])
async def test_nothing_outside_of_the_volumes_is_touched(cluster, tmp_path, data, path):
    (tmp_path / "tls").mkdir()
    await cluster.create(PERSISTENT_VOLUME, volume(path.format(tmp_path), **GOING))
    async with reclaiming(cluster, tmp_path):
        await cluster.until(lambda: not finalizers(cluster))
    assert (data / "precious").exists()
    assert (tmp_path / "tls").exists()


@pytest.mark.parametrize("state", ["alive", "protected", "claimed"])
async def test_a_volume_that_is_still_wanted_is_left_alone(cluster, tmp_path, data, state):
    if state == "claimed":
        metadata = {"name": "c", "namespace": "default", "uid": "claim"}
        await cluster.create(PERSISTENT_VOLUME_CLAIM, {"metadata": metadata})
    keeping = (FINALIZER, "kubernetes.io/pv-protection") if state == "protected" else (FINALIZER,)
    await cluster.create(
        PERSISTENT_VOLUME, volume("volumes/default/c", finalizers=keeping, **({} if state == "alive" else GOING))
    )
    (tmp_path / "volumes/default/other").mkdir()
    async with reclaiming(cluster, tmp_path):
        other = volume("volumes/default/other", **GOING)
        other["metadata"]["name"] = "w"
        other["spec"]["claimRef"]["uid"] = "another"
        await cluster.create(PERSISTENT_VOLUME, other)
        await cluster.until(lambda: not cluster.objects[PERSISTENT_VOLUME, "", "w"]["metadata"]["finalizers"])
    assert finalizers(cluster) == list(keeping)
    assert (data / "precious").exists()
