"""Events are forgotten after their time."""

import asyncio

from beamhall.client.local import LocalClient
from beamhall.embedded.api.expiry import EventExpiry
from beamhall.kernel.kinds import EVENT
from tests.unit.embedded.api.conftest import ADMIN, running_api, until, until_gone


def event(name, **fields):
    about = {"kind": "Pod", "name": "p", "namespace": "default"}
    return {"metadata": {"name": name, "namespace": "default"}, "involvedObject": about, "reason": "R", **fields}


async def test_old_events_of_an_earlier_run_go_and_recent_ones_stay(tmp_path, clock):
    async with running_api(tmp_path, clock) as api:
        client = LocalClient(api, ADMIN)
        await client.create(EVENT, event("old", lastTimestamp="2026-01-02T03:04:05Z"))
        await client.create(EVENT, event("recent", lastTimestamp="2026-01-02T04:04:00Z"))
    clock.advance(3_601)
    async with running_api(tmp_path, clock) as api:
        client = LocalClient(api, ADMIN)
        await until_gone(client, EVENT, "old", "default")
        assert [item["metadata"]["name"] for item in (await client.list(EVENT)).items] == ["recent"]


async def test_an_event_that_is_written_again_lives_on(api, client, clock):
    expiry = EventExpiry(api.core, lifetime_s=10)
    api.core.observers.append(expiry)
    await client.create(EVENT, event("a"))
    await client.create(EVENT, event("b"))
    clock.advance(6)
    await client.patch(EVENT, "a", "default", {"count": 2})
    clock.advance(6)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(expiry.run())
        await until(lambda: api.core.store.get("events", "default", "b") is None)
        running.cancel()
    assert (await client.get(EVENT, "a", "default"))["count"] == 2
