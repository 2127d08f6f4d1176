"""The laws of ``Client`` on lists, watches and the reflector that stands on them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

import pytest

from beamhall.client.protocol import Client, Selection, WatchEvent
from beamhall.client.reflector import Change, Removed, Replaced, Synced, Upserted, reflect
from beamhall.kernel.errors import BadRequest
from beamhall.kernel.kinds import CONFIG_MAP
from beamhall.kernel.objects import Object, ReadOnlyObject, name_of


@pytest.fixture
async def here(namespace: str) -> Selection:
    """The test's own ConfigMaps: a real cluster puts one more into each namespace, without our label."""
    return Selection(namespace, labels="beamhall.test")


async def make(client: Client, namespace: str, *names: str, **labels: str) -> list[Object]:
    return [
        await client.create(
            CONFIG_MAP,
            {"metadata": {"name": name, "namespace": namespace, "labels": {"beamhall.test": "1"} | labels}},
        )
        for name in names
    ]


async def names(client: Client, selection: Selection) -> list[str]:
    return sorted(map(name_of, (await client.list(CONFIG_MAP, selection)).items))


async def taken(events: AsyncIterator[WatchEvent], count: int) -> list[tuple[str, str]]:
    """Take so many changes, without bookmarks."""
    found: list[tuple[str, str]] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            event = await anext(events)
            if event.type != "BOOKMARK":
                found.append((event.type, name_of(event.object)))
    return found


async def test_a_list_gives_whole_objects(client: Client, namespace: str, here: Selection) -> None:
    made = await make(client, namespace, "a", "b")
    page = await client.list(CONFIG_MAP, here)
    assert sorted(page.items, key=name_of) == made
    assert page.revision
    assert page.continue_ == ""
    page.items[0]["metadata"]["labels"] = None
    assert sorted((await client.list(CONFIG_MAP, here)).items, key=name_of) == made


async def test_a_list_of_nothing_can_be_watched_from(client: Client, namespace: str, here: Selection) -> None:
    page = await client.list(CONFIG_MAP, here)
    assert (list(page.items), page.continue_) == ([], "")
    async with client.watch(CONFIG_MAP, here, revision=page.revision) as events:
        await make(client, namespace, "a")
        assert await taken(events, 1) == [("ADDED", "a")]


async def test_lists_come_in_pages(client: Client, namespace: str, here: Selection) -> None:
    await make(client, namespace, *"abcde")
    first = await client.list(CONFIG_MAP, here, limit=2)
    await make(client, namespace, "aa")
    found, revisions, continue_ = list(first.items), {first.revision}, first.continue_
    while continue_:
        page = await client.list(CONFIG_MAP, here, limit=2, continue_=continue_)
        assert len(page.items) <= 2
        found += page.items
        revisions.add(page.revision)
        continue_ = page.continue_
    assert sorted(map(name_of, found)) == list("abcde")
    assert len(revisions) == 1


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("app=x", ["a", "b"]),
        ("app==x,tier=front", ["b"]),
        ("app!=x,beamhall.test", ["c"]),
        ("tier in (front,back),beamhall.test", ["b", "c"]),
        ("tier notin (front),beamhall.test", ["a", "c"]),
        ("!tier,beamhall.test", ["a"]),
        ("tier,beamhall.test", ["b", "c"]),
    ],
)
async def test_labels_select(client: Client, namespace: str, labels: str, expected: Sequence[str]) -> None:
    await make(client, namespace, "a", app="x")
    await make(client, namespace, "b", app="x", tier="front")
    await make(client, namespace, "c", app="y", tier="back")
    assert await names(client, Selection(namespace, labels=labels)) == list(expected)


async def test_fields_select(client: Client, namespace: str, here: Selection) -> None:
    await make(client, namespace, "a", "b")
    assert await names(client, Selection(namespace, fields="metadata.name=b")) == ["b"]
    assert await names(client, Selection(namespace, here.labels, "metadata.name!=b")) == ["a"]
    everywhere = Selection(labels=here.labels, fields=f"metadata.namespace={namespace},metadata.name=a")
    assert await names(client, everywhere) == ["a"]


@pytest.mark.parametrize("selection", [Selection(labels="a=b=c"), Selection(fields="nonsense")])
async def test_a_selector_that_cannot_be_read_is_refused(client: Client, selection: Selection) -> None:
    with pytest.raises(BadRequest):
        await client.list(CONFIG_MAP, selection)


async def test_a_watch_gives_every_change_once_and_in_order(client: Client, namespace: str, here: Selection) -> None:
    await make(client, namespace, "before")
    revision = (await client.list(CONFIG_MAP, here)).revision
    async with client.watch(CONFIG_MAP, here, revision=revision) as events:
        await make(client, namespace, "a", "b")
        await client.patch(CONFIG_MAP, "a", namespace, {"data": {"k": "1"}})
        await client.delete(CONFIG_MAP, "b", namespace)
        await make(client, namespace, "b")
        assert await taken(events, 5) == [
            ("ADDED", "a"),
            ("ADDED", "b"),
            ("MODIFIED", "a"),
            ("DELETED", "b"),
            ("ADDED", "b"),
        ]


async def test_a_watch_goes_on_from_any_revision(client: Client, namespace: str, here: Selection) -> None:
    first, second, _ = await make(client, namespace, "a", "b", "c")
    for obj, expected in ((first, ["b", "c"]), (second, ["c"])):
        async with client.watch(CONFIG_MAP, here, revision=obj["metadata"]["resourceVersion"]) as events:
            assert await taken(events, len(expected)) == [("ADDED", name) for name in expected]


async def test_what_leaves_a_selection_is_deleted_from_it(client: Client, namespace: str) -> None:
    await make(client, namespace, "a", app="x")
    selection = Selection(namespace, labels="app=x")
    revision = (await client.list(CONFIG_MAP, selection)).revision
    async with client.watch(CONFIG_MAP, selection, revision=revision) as events:
        await client.patch(CONFIG_MAP, "a", namespace, {"metadata": {"labels": {"app": "y"}}})
        await client.patch(CONFIG_MAP, "a", namespace, {"data": {"seen": "no"}})
        await client.patch(CONFIG_MAP, "a", namespace, {"metadata": {"labels": {"app": "x"}}})
        assert await taken(events, 2) == [("DELETED", "a"), ("ADDED", "a")]


def without_owners(obj: ReadOnlyObject) -> ReadOnlyObject:
    """Watches may leave out whose the fields are, and reflectors do."""
    return {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k != "managedFields"}}


async def test_what_a_write_or_a_get_gives_is_not_what_watchers_see(
    client: Client, namespace: str, here: Selection
) -> None:
    revision = (await client.list(CONFIG_MAP, here)).revision
    async with (
        client.watch(CONFIG_MAP, here, revision=revision) as one,
        client.watch(CONFIG_MAP, here, revision=revision) as other,
    ):
        (made,) = await make(client, namespace, "a")
        first = await anext(one)
        assert without_owners(first.object) == without_owners(made)
        for own in (made, await client.get(CONFIG_MAP, "a", namespace)):
            own["metadata"]["labels"]["beamhall.test"] = "spoilt"
        assert first.object["metadata"]["labels"]["beamhall.test"] != "spoilt"
        assert (await anext(other)).object == first.object
    assert without_owners(await client.get(CONFIG_MAP, "a", namespace)) == without_owners(first.object)


async def test_the_reflector_follows(client: Client, namespace: str, here: Selection) -> None:
    await make(client, namespace, "a")
    seen: list[Change] = []

    async def until(count: int) -> None:
        async with asyncio.timeout(20):
            while len(seen) < count:
                change = await anext(changes)
                if not isinstance(change, Synced):
                    seen.append(change)

    async with aclosing(reflect(client, CONFIG_MAP, here)) as changes:
        await until(1)
        (made,) = await make(client, namespace, "b")
        changed = await client.patch(CONFIG_MAP, "b", namespace, {"data": {"k": "1"}})
        await client.delete(CONFIG_MAP, "b", namespace)
        await until(4)
    assert isinstance(seen[0], Replaced)
    assert [name_of(obj) for obj in seen[0].objects] == ["a"]
    assert isinstance(seen[1], Upserted)
    assert (seen[1].object, seen[1].revision) == (without_owners(made), made["metadata"]["resourceVersion"])
    assert isinstance(seen[2], Upserted)
    assert seen[2].object == without_owners(changed)
    assert isinstance(seen[3], Removed)
    assert name_of(seen[3].object) == "b"
