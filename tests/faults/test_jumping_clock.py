"""A wall clock that is set by days, forward and back: revisions, watches, Events and restarts stay sane."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from beamhall.client.local import LocalClient
from beamhall.embedded.api.expiry import EVENT_LIFETIME_S
from beamhall.embedded.api.factory import Api, create_resource_api
from beamhall.embedded.store.store import Store
from beamhall.kernel.kinds import CONFIG_MAP, EVENT
from beamhall.kernel.objects import name_of
from tests.api_server import ADMIN
from tests.faults.conftest import JumpingClock

DAYS = (timedelta(days=5), timedelta(days=-9))


@asynccontextmanager
async def running(directory: Path, clock: JumpingClock) -> AsyncIterator[Api]:
    store = await Store.open(directory / "objects.db", monotonic=clock.monotonic)
    try:
        api = create_resource_api(store, clock, Random(1))
        async with asyncio.TaskGroup() as parts:
            task = parts.create_task(api.run())
            async with asyncio.timeout(20):
                await api.begun.wait()
            yield api
            task.cancel()
    finally:
        await store.close()


async def events_in(client: LocalClient) -> list[str]:
    return [name_of(event) for event in (await client.list(EVENT)).items]


async def make_event(client: LocalClient, name: str, clock: JumpingClock) -> None:
    time = clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    about = {"kind": "Pod", "namespace": "default", "name": "p"}
    metadata = {"name": name, "namespace": "default"}
    event = {"metadata": metadata, "involvedObject": about, "reason": "R", "message": "m", "lastTimestamp": time}
    await client.create(EVENT, event)


@pytest.mark.parametrize("step", DAYS)
async def test_revisions_and_watches_go_on(tmp_path: Path, jumping_clock: JumpingClock, step: timedelta) -> None:
    async with running(tmp_path, jumping_clock) as api:
        client = LocalClient(api, ADMIN)
        made = [await client.create(CONFIG_MAP, {"metadata": {"name": "a", "namespace": "default"}})]
        async with client.watch(CONFIG_MAP, revision=made[0]["metadata"]["resourceVersion"]) as events:
            for name in ("b", "c"):
                jumping_clock.jump(step)
                made.append(await client.create(CONFIG_MAP, {"metadata": {"name": name, "namespace": "default"}}))
            async with asyncio.timeout(20):
                assert [name_of((await anext(events)).object) for _ in range(2)] == ["b", "c"]
        revisions = [int(obj["metadata"]["resourceVersion"]) for obj in made]
        assert revisions == sorted(set(revisions))
        # what was made before the jump can still be watched: ages are measured on the other clock
        async with client.watch(CONFIG_MAP, revision=str(revisions[0])) as events:
            assert name_of((await anext(events)).object) == "b"
        await client.delete(CONFIG_MAP, "a", "default")


@pytest.mark.parametrize("step", DAYS)
async def test_events_live_their_hour(tmp_path: Path, jumping_clock: JumpingClock, step: timedelta) -> None:
    async with running(tmp_path, jumping_clock) as api:
        client = LocalClient(api, ADMIN)
        await make_event(client, "news", jumping_clock)
        jumping_clock.jump(step)
        await make_event(client, "later", jumping_clock)
        assert await events_in(client) == ["later", "news"]
        assert min(api._expiry._ends.values()) == jumping_clock.monotonic() + EVENT_LIFETIME_S


async def test_news_from_the_future_is_not_kept_for_ever(tmp_path: Path, jumping_clock: JumpingClock) -> None:
    """The clock was days ahead when an Event was written, was set right, and the service was started again."""
    jumping_clock.jump(timedelta(days=30))
    async with running(tmp_path, jumping_clock) as api:
        await make_event(LocalClient(api, ADMIN), "news", jumping_clock)
    jumping_clock.jump(timedelta(days=-30))
    async with running(tmp_path, jumping_clock) as api:
        async with asyncio.timeout(20):
            while not api._expiry._ends:
                await asyncio.sleep(0.001)
        assert max(api._expiry._ends.values()) <= jumping_clock.monotonic() + EVENT_LIFETIME_S


async def test_ages_are_told(tmp_path: Path, jumping_clock: JumpingClock) -> None:
    async with running(tmp_path, jumping_clock) as api:
        made = await LocalClient(api, ADMIN).create(CONFIG_MAP, {"metadata": {"name": "a", "namespace": "default"}})
        cells = api.registry.find(CONFIG_MAP).rules.cells
        assert cells(made, jumping_clock.now())[-1] == "0s"
        assert cells(made, jumping_clock.now() + timedelta(days=5))[-1] == "5d"
        assert cells(made, jumping_clock.now() - timedelta(days=5))[-1] == "<invalid>"
