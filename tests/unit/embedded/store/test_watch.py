"""Following the log: order, exactly once, from the past and live, slow readers, and the end."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from beamhall.embedded.store import watch
from beamhall.embedded.store.store import Store
from beamhall.embedded.store.watch import Change, Subscription
from beamhall.kernel.errors import Expired, ServiceUnavailable
from beamhall.kernel.objects import Object


def pod(name: str, namespace: str = "a", spec: object = None) -> Object:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "objects.db")
    yield opened
    await opened.close()


async def take(subscription: Subscription, number: int) -> list[Change]:
    async with asyncio.timeout(10):
        return [await anext(subscription) for _ in range(number)]


async def test_the_past_then_the_present(store: Store) -> None:
    since = store.revision
    made = await store.create("pods", pod("x", spec=1))
    await store.create("services", pod("x"))
    with store.watch("pods", since=since) as changes:
        (added,) = await take(changes, 1)
        changed = await store.update("pods", pod("x", spec=2), expected=None)
        gone = await store.delete("pods", "a", "x")
        modified, deleted = await take(changes, 2)
    assert [change.type for change in (added, modified, deleted)] == ["ADDED", "MODIFIED", "DELETED"]
    assert [added.object, modified.object, deleted.object] == [made, changed, gone]
    assert [added.previous, modified.previous, deleted.previous] == [None, made, changed]
    assert msgspec.json.decode(deleted.encoded) == gone
    assert deleted.own_object() == gone


async def test_a_watch_of_one_namespace_sees_no_other(store: Store) -> None:
    with store.watch("pods", "b", since=store.revision) as changes:
        await store.create("pods", pod("x", "a"))
        await store.create("pods", pod("x", "b"))
        await store.create("pods", pod("y", "a"))
        await store.create("pods", pod("y", "b"))
        names = [(c.namespace, c.name) for c in await take(changes, 2)]
        assert names == [("b", "x"), ("b", "y")]
        assert changes.revision == store.revision


async def test_a_slow_reader_holds_little_and_loses_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "QUEUE_LIMIT", 5)
    monkeypatch.setattr(watch, "LOG_CHUNK", 7)
    await store.create("pods", pod("x", spec=-1))
    with store.watch("pods", since=store.revision) as changes:
        await store.update("pods", pod("x", spec=0), expected=None)
        seen = [change.object["spec"] for change in await take(changes, 1)]
        for number in range(1, 40):
            await store.update("pods", pod("x", spec=number), expected=None)
        assert len(changes._queue) == 5
        seen += [change.object["spec"] for change in await take(changes, 30)]
        for number in range(40, 60):
            await store.update("pods", pod("x", spec=number), expected=None)
        seen += [change.object["spec"] for change in await take(changes, 29)]
    assert seen == list(range(60))


async def test_a_reader_that_compaction_passes_is_cut_off(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "QUEUE_LIMIT", 2)
    await store.create("pods", pod("x", spec=-1))
    with store.watch("pods", since=store.revision) as changes:
        await store.update("pods", pod("x", spec=0), expected=None)
        await take(changes, 1)
        for number in range(1, 10):
            await store.update("pods", pod("x", spec=number), expected=None)
        await store.compact(store.revision)
        assert [change.object["spec"] for change in await take(changes, 2)] == [1, 2]
        with pytest.raises(Expired):
            await anext(changes)


async def test_a_wait_that_times_out_loses_nothing(store: Store) -> None:
    with store.watch("pods", since=store.revision) as changes:
        for number in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await changes.batch()
            await store.create("pods", pod(f"p{number}"))
            assert [change.name for change in await changes.batch()] == [f"p{number}"]


async def test_a_revision_of_another_life_is_refused(store: Store) -> None:
    with pytest.raises(Expired, match="not of this store"):
        store.watch("pods", since=store.revision + 1)


async def test_closing_the_store_ends_its_watches(store: Store) -> None:
    ended: list[Change] = []

    async def follow() -> None:
        with store.watch("pods", since=store.revision) as changes:
            ended.extend([change async for change in changes])

    async with asyncio.TaskGroup() as group:
        group.create_task(follow())
        await asyncio.sleep(0)
        await store.create("pods", pod("x"))
        await store.close()
    with pytest.raises(ServiceUnavailable, match="closed"):
        store.watch("pods", since=store.revision)


async def test_two_hundred_watchers_see_the_same(store: Store) -> None:
    since = store.revision
    seen: list[list[str]] = []

    async def follow(delay: int) -> None:
        for _ in range(delay):
            await asyncio.sleep(0)
        with store.watch("pods", since=since) as changes:
            seen.append([change.name for change in await take(changes, 30)])

    async with asyncio.TaskGroup() as group:
        for number in range(200):
            group.create_task(follow(number % 17))
        for number in range(30):
            await store.create("pods", pod(f"p{number}"))
    assert seen == [[f"p{number}" for number in range(30)]] * 200
