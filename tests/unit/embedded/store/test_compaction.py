"""The file stays bounded: by number, by age, in space given back, and in its write-ahead log."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from beamhall.embedded.store import compaction
from beamhall.embedded.store.compaction import Retention
from beamhall.embedded.store.store import Store
from beamhall.kernel.errors import Expired


class Seconds:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


async def until(condition: Callable[[], Any], timeout_s: float = 30) -> Any:
    async with asyncio.timeout(timeout_s):
        while not (found := condition()):
            await asyncio.sleep(0.005)
    return found


def thing(name: str, spec: object) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "a"}, "spec": spec}


async def change_often(store: Store, times: int, size: int = 10) -> int:
    """Change one object so many times; give the revision then."""
    if store.get("things", "a", "x") is None:
        await store.create("things", thing("x", "first"))
    for number in range(times):
        await store.update("things", thing("x", str(number).ljust(size)), expected=None)
    return store.revision


async def test_old_changes_are_forgotten_by_age(tmp_path: Path) -> None:
    seconds = Seconds()
    store = await Store.open(tmp_path / "objects.db", keep=Retention(age_s=600), monotonic=seconds)
    old = await change_often(store, 10)
    seconds.now += 500
    young = await change_often(store, 10)
    store.watch("things", since=old - 5).close()
    seconds.now += 150
    last = await change_often(store, 1)
    await until(lambda: store._reader.revisions()[1] >= old - 10)
    with pytest.raises(Expired):
        store.watch("things", since=2)
    store.watch("things", since=young - 1).close()
    assert [obj["spec"].strip() for obj in store.list("things").items] == ["0"]
    assert store.revision == last
    await store.close()


async def test_what_nobody_writes_after_is_forgotten_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store at rest wakes by itself when its changes have become old enough."""
    monkeypatch.setattr(compaction, "STEP_EVERY_S", 0.001)
    store = await Store.open(tmp_path / "objects.db", keep=Retention(age_s=0.2))
    last = await change_often(store, 10)
    await until(lambda: store._reader.revisions()[1] == last)
    await store.close()


async def test_age_begins_anew_with_each_start(tmp_path: Path) -> None:
    seconds = Seconds()
    store = await Store.open(tmp_path / "objects.db", keep=Retention(age_s=600), monotonic=seconds)
    first = await change_often(store, 10)
    await store.close()
    seconds.now = 5.0  # the machine was started again
    store = await Store.open(tmp_path / "objects.db", keep=Retention(age_s=600), monotonic=seconds)
    await change_often(store, 1)
    store.watch("things", since=first - 5).close()
    seconds.now += 611
    await change_often(store, 1)
    await until(lambda: store._reader.revisions()[1] >= first)
    await store.close()


async def test_space_is_given_back_while_nobody_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "FREE_PAGES_KEPT", 64)
    monkeypatch.setattr(compaction, "STEP_EVERY_S", 0.001)
    store = await Store.open(tmp_path / "objects.db")
    await store.create("things", thing("stays", "there"))
    last = await change_often(store, 400, size=20_000)

    def pages() -> int:
        with closing(sqlite3.connect(tmp_path / "objects.db")) as connection:
            return int(connection.execute("PRAGMA page_count").fetchone()[0])

    large = pages()
    await store.compact(last)
    await until(lambda: pages() < large / 5)
    assert [obj["spec"].strip() for obj in store.list("things").items] == ["there", "399"]
    await store.close()
    assert (tmp_path / "objects.db").stat().st_size < large * 4096 / 5


async def test_a_reader_that_stalls_is_outlived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another program holds an old state the log grows; as soon as it lets go, the log is emptied by force."""
    monkeypatch.setattr(compaction, "WAL_LIMIT_BYTES", 1_000_000)
    monkeypatch.setattr(compaction, "_WAIT_FOR_READERS_MS", 1)
    seconds = Seconds()
    wal = tmp_path / "objects.db-wal"
    store = await Store.open(tmp_path / "objects.db", monotonic=seconds)
    await change_often(store, 1)
    with closing(sqlite3.connect(tmp_path / "objects.db", isolation_level=None)) as stalled:
        stalled.execute("BEGIN")
        stalled.execute("SELECT count(*) FROM log").fetchone()
        await change_often(store, 300, size=10_000)
        held = wal.stat().st_size
        assert held > 3_000_000
        stalled.execute("ROLLBACK")
    seconds.now += 11
    await change_often(store, 300, size=10_000)
    await until(lambda: wal.stat().st_size <= 1_100_000)
    assert store.list("things").items[0]["spec"].strip() == "299"
    await store.close()


async def test_the_log_is_bounded_under_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers that overlap, so that some state is always being read, cannot keep the log growing."""
    monkeypatch.setattr(compaction, "WAL_LIMIT_BYTES", 2_000_000)
    store = await Store.open(tmp_path / "objects.db")
    for number in range(200):
        await store.create("things", thing(f"t{number}", "x" * 2_000))
    is_done = False
    largest = 0

    async def read() -> None:
        while not is_done:
            await asyncio.to_thread(store.list, "things")

    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(read())
        for _ in range(30):
            await change_often(store, 20, size=10_000)
            largest = max(largest, (tmp_path / "objects.db-wal").stat().st_size)
        is_done = True
    assert largest < 10_000_000
    await store.close()
