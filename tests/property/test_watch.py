"""Lists and watches of the API against a model: every watcher sees every change of its selection once, in order.

Watches are those of HTTP, with bookmarks, begun at any revision or with what is there, closed and resumed at any
moment, while objects enter and leave selections and the log is compacted in between.
"""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from starlette.types import Message

from beamhall.client.protocol import Selection
from beamhall.embedded.api import streams
from beamhall.embedded.api.factory import create_resource_api
from beamhall.embedded.api.list_options import ListOptions
from beamhall.embedded.api.replies import PLAIN
from beamhall.embedded.api.requests import Request
from beamhall.embedded.api.streams import watch_stream
from beamhall.embedded.store import watch
from beamhall.embedded.store.store import Store
from beamhall.kernel.errors import Expired
from beamhall.kernel.kinds import CONFIG_MAP, NAMESPACE
from beamhall.kernel.objects import Object, labels_of, name_of, namespace_of
from tests.api_server import ADMIN, RealClock

NAMESPACES = ("a", "b")
names = st.tuples(st.sampled_from(NAMESPACES), st.sampled_from(("x", "y")))
labels = st.sampled_from(({}, {"app": "one"}, {"app": "two"}))
selections = st.builds(
    Selection,
    namespace=st.sampled_from(("", *NAMESPACES)),
    labels=st.sampled_from(("", "app", "app=one", "app!=one", "!app")),
    fields=st.sampled_from(("", "", "metadata.name=x")),
)


class Entry(NamedTuple):
    """A change, as the model knows it; None: the object was not there."""

    revision: int
    new: Object | None
    old: Object | None


def is_in(selection: Selection, obj: Object | None) -> bool:
    """Tell what a selection means, in the simplest words."""
    if obj is None or selection.namespace not in ("", namespace_of(obj)):
        return False
    if selection.fields and name_of(obj) != "x":
        return False
    app = labels_of(obj).get("app")
    tests = {"": True, "app": app is not None, "app=one": app == "one", "app!=one": app != "one", "!app": app is None}
    return tests[selection.labels]


def seen_by(selection: Selection, entry: Entry) -> tuple[str, Object] | None:
    """Give what a watcher must be told of a change."""
    is_now, was = is_in(selection, entry.new), is_in(selection, entry.old)
    if is_now:
        assert entry.new is not None
        return ("MODIFIED" if was else "ADDED", entry.new)
    if was:
        assert entry.old is not None
        metadata = {**entry.old["metadata"], "resourceVersion": str(entry.revision)}
        return ("DELETED", {**entry.old, "metadata": metadata})
    return None


class Watcher:
    """An open watch, and up to where it has told everything."""

    def __init__(self, selection: Selection, since: int) -> None:
        self.selection = selection
        self.since = since
        self.stream: AbstractAsyncContextManager[AsyncIterator[bytes]]
        self.chunks: AsyncIterator[bytes]


class WatchMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.objects: dict[tuple[str, str], Object] = {}
        self.log: list[Entry] = []
        self.history: dict[int, list[Object]] = {}
        self.watchers: list[Watcher] = []
        self.n_changes = 0

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(30):
                return await main

        return self.runner.run(bounded())

    @initialize()
    def begin(self) -> None:
        async def open_() -> Store:
            return await Store.open(Path(self.directory.name) / "objects.db")

        self.store = self.run(open_())
        self.api = create_resource_api(self.store, RealClock(), Random(1))
        for name in NAMESPACES:
            self.run(self.api.create(ADMIN, NAMESPACE, {"metadata": {"name": name}}))
        self.revision = self.compacted = self.store.revision
        self.run(self.store.compact(self.revision))
        self.history[self.revision] = []

    def teardown(self) -> None:
        for watcher in self.watchers:
            self.close(watcher)
        if hasattr(self, "store"):
            self.run(self.store.close())
        self.runner.close()
        self.directory.cleanup()

    # Writes

    def took_place(self, key: tuple[str, str], new: Object | None) -> None:
        self.revision += 1
        assert self.store.revision == self.revision
        self.log.append(Entry(self.revision, new, self.objects.get(key)))
        if new is None:
            del self.objects[key]
        else:
            assert new["metadata"]["resourceVersion"] == str(self.revision)
            self.objects[key] = new
        self.history[self.revision] = [self.objects[name] for name in sorted(self.objects)]

    @rule(key=names, labels=labels)
    def write(self, key: tuple[str, str], labels: dict[str, str]) -> None:
        """Create an object, or change its labels and content."""
        self.n_changes += 1
        data = {"n": str(self.n_changes)}
        if key in self.objects:
            patch = {"metadata": {"labels": {"app": labels.get("app")}}, "data": data}
            new = self.run(self.api.patch(ADMIN, CONFIG_MAP, key[1], key[0], patch))
        else:
            obj = {"metadata": {"namespace": key[0], "name": key[1], "labels": labels}, "data": data}
            new = self.run(self.api.create(ADMIN, CONFIG_MAP, obj))
        self.took_place(key, new)

    @precondition(lambda self: self.objects)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.objects)))
        self.run(self.api.delete(ADMIN, CONFIG_MAP, key[1], key[0]))
        self.took_place(key, None)

    @rule(back=st.integers(0, 12))
    def compact(self, back: int) -> None:
        self.run(self.store.compact(self.revision - back))
        self.compacted = max(self.compacted, self.revision - back)

    # Lists

    @rule(selection=selections, limit=st.integers(0, 3), back=st.integers(0, 8))
    def list_in_pages(self, selection: Selection, limit: int, back: int) -> None:
        at = max(1, self.revision - back)
        options = ListOptions(limit, revision=str(at), match="Exact")
        if at < self.compacted:
            with pytest.raises(Expired):
                self.run(self.api.list_page(ADMIN, CONFIG_MAP, selection, options))
            return
        found: list[Object] = []
        while True:
            page = self.run(self.api.list_page(ADMIN, CONFIG_MAP, selection, options))
            assert page.revision == str(at)
            assert not limit or len(page.items) <= limit
            found += page.items
            if not page.continue_:
                break
            options = ListOptions(limit, continue_=page.continue_)
        assert found == [obj for obj in self.history[at] if is_in(selection, obj)]

    # Watches

    @rule(selection=selections, back=st.integers(0, 12))
    def watch_from_a_revision(self, selection: Selection, back: int) -> None:
        since = max(1, self.revision - back)  # 0 would mean: what is there comes first
        self.open(Watcher(selection, since), resourceVersion=str(since))

    @rule(selection=selections)
    def watch_what_comes(self, selection: Selection) -> None:
        self.open(
            Watcher(selection, self.revision), sendInitialEvents="false", resourceVersionMatch="NotOlderThan"
        )  # fmt: skip

    @rule(selection=selections)
    def list_and_watch_in_one(self, selection: Selection) -> None:
        """A streaming list gives what is there, then a bookmark that says so."""
        watcher = Watcher(selection, self.revision)
        self.open(watcher, sendInitialEvents="true", resourceVersionMatch="NotOlderThan")
        expected = [("ADDED", obj) for obj in self.history[self.revision] if is_in(selection, obj)]
        while True:
            for event in self.events(watcher):
                if event["type"] == "BOOKMARK":
                    assert event["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
                    assert int(event["object"]["metadata"]["resourceVersion"]) >= watcher.since
                    assert expected == []
                    return
                assert (event["type"], event["object"]) == expected.pop(0)

    def open(self, watcher: Watcher, **query: str) -> None:
        resource = self.api.registry.find(CONFIG_MAP)
        parameters = {"watch": "1", "allowWatchBookmarks": "true", **query}
        request = Request("GET", "/", parameters, {}, ADMIN, never, [])
        watcher.stream = watch_stream(self.api, request, ADMIN, watcher.selection, (resource, PLAIN)).open()
        watcher.chunks = self.run(enter(watcher.stream))
        self.watchers.append(watcher)

    def close(self, watcher: Watcher) -> None:
        self.run(leave(watcher.stream, watcher.chunks))

    @precondition(lambda self: self.watchers)
    @rule(data=st.data(), is_all=st.booleans())
    def read(self, data: st.DataObject, is_all: bool) -> None:
        """Read one chunk, or until nothing is left; what comes is what the model says comes next."""
        watcher = data.draw(st.sampled_from(self.watchers))
        while self.read_chunk(watcher) and is_all and watcher.since < self.revision:
            pass

    def read_chunk(self, watcher: Watcher) -> bool:
        """Check one chunk; tell whether the watch goes on."""
        for event in self.events(watcher):
            if event["type"] == "ERROR":
                assert event["object"]["reason"] == "Expired"
                assert watcher.since < self.compacted
                self.close(watcher)
                self.watchers.remove(watcher)
                return False
            expected = self.next_of(watcher)
            told = int(event["object"]["metadata"]["resourceVersion"])
            if event["type"] == "BOOKMARK":
                assert watcher.since <= told <= self.revision
                assert expected is None or expected[0] > told, "a bookmark must not be ahead of what was told"
            else:
                assert expected is not None, event
                assert (told, (event["type"], event["object"])) == expected
            watcher.since = told
        return True

    def next_of(self, watcher: Watcher) -> tuple[int, tuple[str, Object]] | None:
        for entry in self.log:
            if entry.revision > watcher.since and (told := seen_by(watcher.selection, entry)) is not None:
                return entry.revision, told
        return None

    @precondition(lambda self: self.watchers)
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        """Close a watch and go on where it was: nothing is lost or told twice."""
        watcher = data.draw(st.sampled_from(self.watchers))
        self.close(watcher)
        self.watchers.remove(watcher)
        self.open(Watcher(watcher.selection, watcher.since), resourceVersion=str(watcher.since))

    def events(self, watcher: Watcher) -> Iterator[dict[str, Any]]:
        """Give the events of the next chunk; where nothing happens that is a bookmark."""
        chunk: bytes = self.run(next_of(watcher.chunks))
        yield from (json.loads(line) for line in chunk.splitlines())


async def never() -> Message:
    raise AssertionError("a watch reads no body")


async def enter(stream: AbstractAsyncContextManager[AsyncIterator[bytes]]) -> AsyncIterator[bytes]:
    return await stream.__aenter__()


async def leave(stream: AbstractAsyncContextManager[AsyncIterator[bytes]], chunks: Any) -> None:
    await chunks.aclose()
    await stream.__aexit__(None, None, None)


async def next_of(chunks: AsyncIterator[bytes]) -> bytes:
    return await anext(chunks)


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "QUEUE_LIMIT", 3)
    monkeypatch.setattr(watch, "LOG_CHUNK", 2)
    monkeypatch.setattr(streams, "BOOKMARK_EVERY_S", 0.001)


WatchMachine.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
TestWatch = WatchMachine.TestCase
