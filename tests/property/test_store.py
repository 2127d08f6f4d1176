"""The store and its watches against a model: a dict of objects and a list of changes."""

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from beamhall.embedded.store import watch
from beamhall.embedded.store.store import Store
from beamhall.embedded.store.watch import Subscription
from beamhall.kernel.errors import AlreadyExists, Conflict, Expired, NotFound
from beamhall.kernel.objects import Object

RESOURCES = ("pods", "jobs.batch")
NAMESPACES = ("a", "b")
Name = tuple[str, str, str]
names = st.tuples(st.sampled_from(RESOURCES), st.sampled_from(NAMESPACES), st.sampled_from(("x", "y", "z")))
specs = st.one_of(st.integers(0, 3), st.text(max_size=3), st.none(), st.booleans())
owners = st.sets(st.sampled_from(("u1", "u2")))
Told = tuple[str, Object, Object | None]


class Watcher:
    """A subscription, and what it should tell."""

    def __init__(self, subscription: Subscription, since: int) -> None:
        self.subscription = subscription
        self.since = since


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "objects.db"
        self.runner = asyncio.Runner()
        self.store = self.run(Store.open(self.path))
        self.objects: dict[Name, Object] = {}
        self.log: list[tuple[int, Name, Told]] = []
        self.compacted = self.revision = self.store.revision
        self.history: dict[int, dict[Name, Object]] = {self.revision: {}}
        self.watchers: list[Watcher] = []

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(main)

    def teardown(self) -> None:
        for watcher in self.watchers:
            watcher.subscription.close()
        self.run(self.store.close())
        self.runner.close()
        self.directory.cleanup()

    def took_place(self, name: Name, told: Told) -> None:
        assert int(told[1]["metadata"]["resourceVersion"]) == self.revision + 1
        self.revision += 1
        self.log.append((self.revision, name, told))
        if told[0] == "DELETED":
            del self.objects[name]
        else:
            self.objects[name] = told[1]
        self.history[self.revision] = dict(self.objects)

    @rule(name=names, spec=specs, owners=owners)
    def create(self, name: Name, spec: Any, owners: set[str]) -> None:
        obj = made(name, spec, owners)
        if name in self.objects:
            with pytest.raises(AlreadyExists):
                self.run(self.store.create(name[0], obj))
        else:
            self.took_place(name, ("ADDED", self.run(self.store.create(name[0], obj)), None))

    @rule(name=names, spec=specs, owners=owners, is_stale=st.booleans())
    def update(self, name: Name, spec: Any, owners: set[str], is_stale: bool) -> None:
        old = self.objects.get(name)
        expected = int(old["metadata"]["resourceVersion"]) - is_stale if old else self.revision
        update = self.store.update(name[0], made(name, spec, owners), expected=expected)
        if old is None:
            with pytest.raises(NotFound):
                self.run(update)
        elif is_stale:
            with pytest.raises(Conflict):
                self.run(update)
        else:
            new = self.run(update)
            if content(new) == content(old):
                assert new == old
            else:
                self.took_place(name, ("MODIFIED", new, old))

    @rule(name=names)
    def delete(self, name: Name) -> None:
        old = self.objects.get(name)
        delete = self.store.delete(*name)
        if old is None:
            with pytest.raises(NotFound):
                self.run(delete)
        else:
            self.took_place(name, ("DELETED", self.run(delete), old))

    @rule(resource=st.sampled_from(RESOURCES), namespace=st.sampled_from(("", *NAMESPACES)), back=st.integers(0, 12))
    def begin_watch(self, resource: str, namespace: str, back: int) -> None:
        since = self.revision - back
        if since < self.compacted:
            with pytest.raises(Expired):
                self.store.watch(resource, namespace, since=since)
        else:
            self.watchers.append(Watcher(self.store.watch(resource, namespace, since=since), since))

    @precondition(lambda self: self.watchers)
    @rule(data=st.data(), number=st.integers(1, 5))
    def read_some(self, data: st.DataObject, number: int) -> None:
        watcher = data.draw(st.sampled_from(self.watchers))
        self.read(watcher, number)

    def read(self, watcher: Watcher, number: int) -> None:
        """Read up to so many changes; they are the next ones of the model's log, each once."""
        subscription = watcher.subscription
        expected = [
            (revision, told)
            for revision, name, told in self.log
            if revision > watcher.since and name[0] == subscription.resource and subscription.namespace in ("", name[1])
        ][:number]
        for revision, told in expected:
            try:
                change = self.run(next_of(subscription))
            except Expired:
                assert watcher.since < self.compacted
                subscription.close()
                self.watchers.remove(watcher)
                return
            assert (change.type, change.object, change.previous) == told
            watcher.since = revision

    @rule(resource=st.sampled_from(RESOURCES), limit=st.integers(1, 3), back=st.integers(0, 8))
    def list_in_pages(self, resource: str, limit: int, back: int) -> None:
        at = max(1, self.revision - back)  # 0 would mean now
        if at < self.compacted:
            with pytest.raises(Expired):
                self.store.list(resource, limit=limit, at_revision=at)
            return
        page = self.store.list(resource, limit=limit, at_revision=at)
        items = list(page.items)
        while page.continue_:
            page = self.store.list(resource, limit=limit, after=page.continue_, at_revision=page.revision)
            assert 0 < len(page.items) <= limit
            items += page.items
        assert items == [obj for name, obj in sorted(self.history[at].items()) if name[0] == resource]

    @rule(back=st.integers(0, 10))
    def compact(self, back: int) -> None:
        self.run(self.store.compact(self.revision - back))
        self.compacted = max(self.compacted, self.revision - back)

    @rule()
    def reopen(self) -> None:
        for watcher in self.watchers:
            watcher.subscription.close()
        self.watchers.clear()
        self.run(self.store.close())
        self.store = self.run(Store.open(self.path))

    @invariant()
    def the_state_is_that_of_the_model(self) -> None:
        assert self.store.revision == self.revision
        for resource in RESOURCES:
            of_it = {name: obj for name, obj in sorted(self.objects.items()) if name[0] == resource}
            listing = self.store.list(resource)
            assert (listing.items, listing.revision) == (list(of_it.values()), self.revision)
            assert self.store.list(resource, "a").items == [obj for name, obj in of_it.items() if name[1] == "a"]
            assert self.store.count(resource) == len(of_it)
        for uid in ("u1", "u2"):
            owned = [name for name, obj in sorted(self.objects.items(), key=lambda item: item[0]) if uid in uids(obj)]
            assert self.store.owned_by(uid) == owned


def made(name: Name, spec: Any, owners: set[str]) -> Object:
    references = [{"uid": uid, "kind": "Job", "name": uid} for uid in sorted(owners)]
    return {"metadata": {"name": name[2], "namespace": name[1], "ownerReferences": references}, "spec": spec}


def uids(obj: Object) -> set[str]:
    return {reference["uid"] for reference in obj["metadata"]["ownerReferences"]}


def content(obj: Object) -> Any:
    # repr tells 1 from true, as the wire does
    return repr((obj["spec"], obj["metadata"]["ownerReferences"]))


async def next_of(subscription: Subscription) -> watch.Change:
    async with asyncio.timeout(10):
        return await anext(subscription)


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "QUEUE_LIMIT", 3)
    monkeypatch.setattr(watch, "LOG_CHUNK", 2)


StoreMachine.TestCase.settings = settings(
    max_examples=50,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
TestStore = StoreMachine.TestCase
