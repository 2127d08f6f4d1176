"""The agent on the real embedded API: what the fake cluster of the other tests only pretends."""

import asyncio
import base64
import contextlib
import json
import random
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest

from beamhall.client.local import LocalClient
from beamhall.client.protocol import LogOptions
from beamhall.embedded.agent.logs import PodLogs
from beamhall.embedded.agent.volumes import memory_root
from beamhall.embedded.api.factory import create_app, create_resource_api
from beamhall.embedded.store.store import Store
from beamhall.kernel.errors import AlreadyExists, NotFound
from beamhall.kernel.identity import ADMIN_GROUP, User
from beamhall.kernel.kinds import EVENT, NODE, POD, SERVICE_ACCOUNT
from tests.unit.embedded.agent.conftest import RealClock, pod_of, running


@asynccontextmanager
async def embedded(tmp_path, catalog, settings):
    store = await Store.open(tmp_path / "objects.db")
    # Uids name directories in the memory of this machine, where other tests have theirs.
    api = create_resource_api(store, RealClock(), random.SystemRandom())
    client = LocalClient(api, User("owner", (ADMIN_GROUP,)))
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(api.run())
        async with running(client, catalog, tmp_path, settings) as agent:
            create_app(api, PodLogs(agent))
            yield client, agent
        task.cancel()
    await store.close()


async def until(get, holds, timeout_s=20):
    async with asyncio.timeout(timeout_s):
        while not holds(found := await get()):
            await asyncio.sleep(0.02)
    return found


async def bound(client, pod):
    """Create a Pod that is not bound, and bind it as the scheduler does."""
    pod["spec"].pop("nodeName")
    created = await client.create(POD, pod)
    name = created["metadata"]["name"]
    conditions = [{"type": "PodScheduled", "status": "True"}]
    await client.patch(POD, name, "default", {"status": {"conditions": conditions}}, subresource="status")
    await client.patch(POD, name, "default", {"spec": {"nodeName": "node"}})

    async def get():
        return await client.get(POD, name, "default")

    return get


def in_phase(*phases):
    return lambda pod: pod.get("status", {}).get("phase") in phases


async def is_gone(client, name):
    try:
        await client.get(POD, name, "default")
    except NotFound:
        return True
    return False


async def test_a_pod_from_creation_to_deletion(tmp_path, catalog, settings):
    async with embedded(tmp_path, catalog, settings) as (client, _):
        assert (await client.get(NODE, "node"))["status"]["conditions"]
        get = await bound(client, pod_of("one", "echo hello"))
        pod = await until(get, in_phase("Succeeded", "Failed"))
        assert pod["status"]["phase"] == "Succeeded"
        assert pod["status"]["qosClass"] == "BestEffort"
        assert {c["type"]: c["status"] for c in pod["status"]["conditions"]}["PodScheduled"] == "True"
        async with client.logs("one", "default", LogOptions()) as blocks:
            assert b"".join([block async for block in blocks]) == b"hello\n"

        async def reasons():
            return {event["reason"] for event in (await client.list(EVENT)).items}

        await until(reasons, lambda found: {"Pulled", "Created", "Started"} <= found)
        await client.delete(POD, "one", "default")
        await until(lambda: is_gone(client, "one"), bool)


async def test_graceful_deletion_and_restart_of_the_service(tmp_path, catalog, settings):
    script = "trap 'exit 0' TERM; while :; do sleep 0.05; done"
    async with embedded(tmp_path, catalog, settings) as (client, _):
        get = await bound(client, pod_of("one", script, terminationGracePeriodSeconds=5))
        before = await until(get, in_phase("Running"))
    async with embedded(tmp_path, catalog, settings) as (client, agent):
        pod = await client.get(POD, "one", "default")
        assert pod["status"] == before["status"]
        await client.delete(POD, "one", "default")
        await until(lambda: is_gone(client, "one"), bool)
        await until(lambda: asyncio.sleep(0, agent.n_running_pods), lambda n: n == 0)


async def test_forced_deletion(tmp_path, catalog, settings):
    async with embedded(tmp_path, catalog, settings) as (client, agent):
        get = await bound(client, pod_of("one", "sleep 600"))
        await until(get, in_phase("Running"))
        await client.delete(POD, "one", "default", grace_period_s=0)
        assert await is_gone(client, "one")
        await until(lambda: asyncio.sleep(0, agent.n_running_pods), lambda n: n == 0)


async def test_a_token_of_the_service_account_can_be_mounted(tmp_path, catalog, settings):
    async with embedded(tmp_path, catalog, settings) as (client, agent):
        if not agent.sandboxes.capabilities.mounts.works:
            pytest.skip("no mounts on this machine")
        with contextlib.suppress(AlreadyExists):
            await client.create(SERVICE_ACCOUNT, {"metadata": {"name": "default", "namespace": "default"}})
        pod = pod_of("one", "cat /var/run/mine/token")
        token = {"serviceAccountToken": {"path": "token", "audience": "vault", "expirationSeconds": 900}}
        pod["spec"]["volumes"] = [{"name": "v", "projected": {"sources": [token]}}]
        pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "v", "mountPath": "/var/run/mine"}]
        pod = await until(await bound(client, pod), in_phase("Succeeded", "Failed"))
        async with client.logs("one", "default", LogOptions()) as blocks:
            text = b"".join([block async for block in blocks])
        assert text.count(b".") == 2, (text, pod["status"])
        _, claims, _ = text.split(b".")
        claims = json.loads(base64.urlsafe_b64decode(claims + b"==="))
        assert claims["aud"] == ["vault"]
        assert claims["sub"] == "system:serviceaccount:default:default"
        assert claims["kubernetes.io"]["pod"]["uid"] == pod["metadata"]["uid"]
        assert claims["exp"] - claims["iat"] == 900
        left = memory_root(str(pod["metadata"]["uid"]))
        await until(lambda: asyncio.sleep(0, left.exists()), lambda is_there: not is_there)


async def test_a_token_is_renewed_in_time(tmp_path, catalog, settings):
    async with embedded(tmp_path, catalog, settings) as (client, agent):
        if not agent.sandboxes.capabilities.mounts.works:
            pytest.skip("no mounts on this machine")
        with contextlib.suppress(AlreadyExists):
            await client.create(SERVICE_ACCOUNT, {"metadata": {"name": "default", "namespace": "default"}})
        copy = "cp /var/run/mine/token $HOME/draft; mv $HOME/draft $HOME/token"
        script = f"{copy}; while cmp -s $HOME/token /var/run/mine/token; do sleep 0.05; done"
        pod = pod_of("one", script)
        pod["spec"]["volumes"] = [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]
        pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "v", "mountPath": "/var/run/mine"}]
        get = await bound(client, pod)
        pod = await until(get, in_phase("Running"))
        worker = agent.worker_of(pod["metadata"]["uid"])
        await until(lambda: asyncio.sleep(0, (worker.own.home / "token").exists()), bool)
        volumes = worker._volumes
        (known,) = volumes._tokens.values()
        hour_s = (known.renew_at - RealClock().now()).total_seconds()
        assert 0.7 * 3600 < hour_s < 0.8 * 3600
        for spec in volumes._tokens:
            volumes._tokens[spec] = replace(known, renew_at=RealClock().now() + timedelta(seconds=0.2))
        volumes.notice(pod | {"metadata": pod["metadata"] | {"labels": {"look": "again"}}})  # it waits anew from here
        await until(get, in_phase("Succeeded"))
