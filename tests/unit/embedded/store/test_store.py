"""The store through its interface: reads, optimistic writes, listings, compaction, and files it must refuse."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from beamhall.embedded.store.compaction import Retention
from beamhall.embedded.store.lock import StoreLocked
from beamhall.embedded.store.store import Store
from beamhall.embedded.store.tables import StoreUnusable
from beamhall.kernel.errors import AlreadyExists, Conflict, Expired, NotFound, ServiceUnavailable
from beamhall.kernel.objects import Object


def pod(name: str, namespace: str = "a", **fields: object) -> Object:
    return {"kind": "Pod", "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}"}, **fields}


def revision(obj: Object) -> int:
    return int(obj["metadata"]["resourceVersion"])


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "objects.db")
    yield opened
    await opened.close()


async def test_a_created_object_is_read_back_with_its_revision(store: Store) -> None:
    made = await store.create("pods", pod("x", spec={"é": [1, 2.5, None, True]}))
    assert (
        store.get("pods", "a", "x")
        == made
        == {**pod("x", spec={"é": [1, 2.5, None, True]}), "metadata": made["metadata"]}
    )
    assert revision(made) == store.revision > 1
    assert store.get("pods", "b", "x") is None
    assert store.get("services", "a", "x") is None


async def test_what_is_returned_belongs_to_the_caller(store: Store) -> None:
    given = pod("x", spec={"n": 1})
    made = await store.create("pods", given)
    assert "resourceVersion" not in given["metadata"]
    made["spec"]["n"] = 2
    read = store.get("pods", "a", "x")
    assert read is not None
    assert read["spec"] == {"n": 1}


async def test_a_taken_name_is_refused_and_costs_no_revision(store: Store) -> None:
    made = await store.create("pods", pod("x"))
    with pytest.raises(AlreadyExists, match=r'pods "x" already exists'):
        await store.create("pods", pod("x"))
    assert store.revision == revision(made)


async def test_an_update_needs_the_current_revision(store: Store) -> None:
    made = await store.create("pods", pod("x", spec=1))
    changed = await store.update("pods", pod("x", spec=2), expected=revision(made))
    assert revision(changed) > revision(made)
    with pytest.raises(Conflict, match='pods "x"'):
        await store.update("pods", pod("x", spec=3), expected=revision(made))
    assert store.get("pods", "a", "x") == changed


async def test_of_writes_that_race_on_one_revision_one_wins(store: Store) -> None:
    made = await store.create("pods", pod("x", spec=0))
    won: list[int] = []
    lost: list[int] = []

    async def write(number: int) -> None:
        try:
            await store.update("pods", pod("x", spec=number), expected=revision(made))
            won.append(number)
        except Conflict:
            lost.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(1, 21):
            group.create_task(write(number))
    assert len(won) == 1
    assert len(lost) == 19
    read = store.get("pods", "a", "x")
    assert read is not None
    assert read["spec"] == won[0]


async def test_an_update_that_changes_nothing_makes_no_revision(store: Store) -> None:
    made = await store.create("pods", {"kind": "Pod", "metadata": {"name": "x", "namespace": "a"}, "a": 1, "b": 2})
    same = await store.update(
        "pods", {"b": 2, "a": 1, "metadata": {"namespace": "a", "name": "x"}, "kind": "Pod"}, expected=revision(made)
    )
    assert same == made
    assert store.revision == revision(made)


async def test_one_and_true_are_not_the_same(store: Store) -> None:
    made = await store.create("pods", pod("x", spec=[1, False]))
    changed = await store.update("pods", pod("x", spec=[True, 0]), expected=revision(made))
    assert changed["spec"][0] is True


async def test_writes_of_absent_objects_are_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match='pods "x" not found'):
        await store.update("pods", pod("x"), expected=1)
    with pytest.raises(NotFound):
        await store.delete("pods", "a", "x")


async def test_deletion_has_a_revision_of_its_own(store: Store) -> None:
    made = await store.create("pods", pod("x"))
    with pytest.raises(Conflict):
        await store.delete("pods", "a", "x", expected=revision(made) + 7)
    gone = await store.delete("pods", "a", "x", expected=revision(made))
    assert revision(gone) > revision(made)
    assert store.get("pods", "a", "x") is None
    again = await store.create("pods", pod("x"))
    assert revision(again) > revision(gone)


async def test_lists_are_ordered_and_scoped(store: Store) -> None:
    for namespace, name in (("b", "y"), ("a", "z"), ("a", "x"), ("ab", "k")):
        await store.create("pods", pod(name, namespace))
    await store.create("services", pod("s"))
    names = [(o["metadata"]["namespace"], o["metadata"]["name"]) for o in store.list("pods").items]
    assert names == [("a", "x"), ("a", "z"), ("ab", "k"), ("b", "y")]
    assert [o["metadata"]["name"] for o in store.list("pods", "a").items] == ["x", "z"]
    assert store.count("pods") == 4
    assert store.resources() == ["pods", "services"]
    assert store.list("nodes").items == []


@pytest.mark.parametrize("namespace", ["", "a"])
async def test_pages_show_the_state_of_the_first_one(store: Store, namespace: str) -> None:
    for number in range(7):
        await store.create("pods", pod(f"p{number}", spec=number))
    before = store.list("pods", namespace)
    page = store.list("pods", namespace, limit=3)
    items = list(page.items)
    await store.delete("pods", "a", "p4")
    await store.update("pods", pod("p5", spec="changed"), expected=None)
    await store.delete("pods", "a", "p6")
    await store.create("pods", pod("p6", spec="another"))
    await store.create("pods", pod("p35", spec="new"))
    while page.continue_ is not None:
        page = store.list("pods", namespace, limit=3, after=page.continue_, at_revision=before.revision)
        items += page.items
    assert items == before.items


async def test_dependants_are_found_by_the_uid_of_their_owner(store: Store) -> None:
    def owned(name: str, *uids: str) -> Object:
        obj = pod(name)
        obj["metadata"]["ownerReferences"] = [{"uid": uid, "kind": "Job", "name": "j"} for uid in uids]
        return obj

    await store.create("pods", owned("x", "u1", "u2"))
    await store.create("pods", owned("y", "u1"))
    assert store.owned_by("u1") == [("pods", "a", "x"), ("pods", "a", "y")]
    await store.update("pods", owned("x", "u2", "u3"), expected=None)
    await store.delete("pods", "a", "y")
    assert store.owned_by("u1") == []
    assert store.owned_by("u2") == store.owned_by("u3") == [("pods", "a", "x")]


async def test_compaction_keeps_the_state_and_later_changes(store: Store) -> None:
    made = await store.create("pods", pod("x", spec=0))
    await store.create("pods", pod("y"))
    await store.update("pods", pod("x", spec=1), expected=None)
    at = revision(await store.delete("pods", "a", "y"))
    await store.update("pods", pod("x", spec=2), expected=None)
    await store.delete("pods", "a", "x")
    await store.compact(at)
    assert [obj["spec"] for obj in store.list("pods", at_revision=at).items] == [1]
    with store.watch("pods", since=at) as changes:
        batch = await changes.batch()
    assert [change.type for change in batch] == ["MODIFIED", "DELETED"]
    assert batch[0].previous is not None
    assert batch[0].previous["spec"] == 1
    with pytest.raises(Expired, match="too old"):
        store.watch("pods", since=revision(made))
    with pytest.raises(Expired):
        store.list("pods", at_revision=at - 1)


async def test_revisions_go_on_after_the_last_change_was_compacted_away(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "objects.db")
    await store.create("pods", pod("x"))
    gone = revision(await store.delete("pods", "a", "x"))
    await store.compact(gone)
    assert store.list("pods").revision == gone
    await store.close()
    store = await Store.open(tmp_path / "objects.db")
    assert revision(await store.create("pods", pod("y"))) == gone + 1
    await store.close()


async def test_the_log_stays_bounded(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "objects.db", keep=Retention(revisions=50))
    await store.create("pods", pod("still", spec="there"))
    await store.create("pods", pod("x", spec=-1))
    for number in range(500):
        await store.update("pods", pod("x", spec=number), expected=None)
    revision_now = store.revision
    with pytest.raises(Expired):
        store.watch("pods", since=revision_now - 51)
    with store.watch("pods", since=revision_now - 50) as changes:
        assert len(await changes.batch()) == 50
    assert [obj["spec"] for obj in store.list("pods").items] == ["there", 499]
    await store.close()
    with sqlite3.connect(tmp_path / "objects.db") as connection:
        assert connection.execute("SELECT count(*) FROM log").fetchone() == (52,)
    connection.close()


async def test_a_second_store_on_the_same_file_is_refused(tmp_path: Path, store: Store) -> None:
    with pytest.raises(StoreLocked, match="in use by another Beamhall"):
        await Store.open(tmp_path / "objects.db")
    await store.close()
    await (await Store.open(tmp_path / "objects.db")).close()


async def test_a_damaged_file_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "objects.db").write_bytes(b"no database, but long enough to look like one" * 100)
    for _ in range(2):  # the lock was let go
        with pytest.raises(StoreUnusable, match="backup"):
            await Store.open(tmp_path / "objects.db")


async def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "objects.db")
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(StoreUnusable, match="format 99"):
        await Store.open(tmp_path / "objects.db")


async def test_a_full_disk_fails_the_write_and_nothing_else(store: Store) -> None:
    made = await store.create("pods", pod("x"))
    writer = store._writer._connection
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(ServiceUnavailable, match="make room"):
        await store.create("pods", pod("big", spec="x" * 2_000_000))
    writer.execute("PRAGMA max_page_count=1000000")
    after = await store.create("pods", pod("y"))
    assert revision(after) == revision(made) + 1
    assert store.get("pods", "a", "big") is None


async def test_a_cancelled_write_stands_and_disturbs_nobody(store: Store) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(store.create("pods", pod("x")))
        await asyncio.sleep(0)
        task.cancel()
    await store.create("pods", pod("y"))
    assert store.get("pods", "a", "x") is not None


async def test_closing_finishes_writes_and_refuses_later_ones(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "objects.db")
    async with asyncio.TaskGroup() as group:
        writes = [group.create_task(store.create("pods", pod(f"p{n}"))) for n in range(50)]
        await asyncio.sleep(0)
        group.create_task(store.close())
    assert len({revision(write.result()) for write in writes}) == 50
    await store.close()
    with pytest.raises(ServiceUnavailable):
        await store.create("pods", pod("late"))
    store = await Store.open(tmp_path / "objects.db")
    assert store.count("pods") == 50
    await store.close()
