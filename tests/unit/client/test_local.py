"""The local transport: whose objects are whose, and on whose behalf things are asked."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any, cast

import pytest

from beamhall.client.local import LocalClient
from beamhall.client.protocol import ALL, ExecOptions, LogOptions, Page, RemoteProcess, Selection, WatchEvent
from beamhall.kernel.errors import BadRequest, Expired
from beamhall.kernel.identity import User
from beamhall.kernel.kinds import CONFIG_MAP, POD, Kind
from beamhall.kernel.objects import Object

USER = User("someone", ("some",))


PROCESS = cast("RemoteProcess", object())


class RecordingApi:
    """Notes every call, keeps what it is given, and shares one event among all watchers."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.shared = WatchEvent("ADDED", {"metadata": {"labels": {"a": "1"}}, "list": [{"x": 1}]})
        self.refusal: Exception | None = None

    async def get(self, user: User, kind: Kind, name: str, namespace: str = "") -> Object:
        self.calls.append(("get", user, kind, name, namespace))
        return {"got": name}

    async def list(
        self, user: User, kind: Kind, selection: Selection = ALL, *, limit: int = 0, continue_: str = ""
    ) -> Page:
        self.calls.append(("list", user, kind, selection, limit, continue_))
        return Page([], "1")

    @asynccontextmanager
    async def watch(
        self, user: User, kind: Kind, selection: Selection = ALL, *, revision: str
    ) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        self.calls.append(("watch", user, kind, selection, revision))
        if self.refusal is not None:
            raise self.refusal
        yield self._events()
        self.calls.append(("closed",))

    async def _events(self) -> AsyncIterator[WatchEvent]:
        yield self.shared
        yield self.shared

    async def create(self, *given: Any) -> Object:
        self.calls.append(("create", *given))
        return {"made": True}

    async def create_subresource(self, *given: Any) -> Object:
        self.calls.append(("create_subresource", *given))
        return {"created": True}

    async def replace(self, *given: Any, **named: Any) -> Object:
        self.calls.append(("replace", *given, named))
        return {"replaced": True}

    async def patch(self, *given: Any, **named: Any) -> Object:
        self.calls.append(("patch", *given, named))
        return {"patched": True}

    async def delete(self, *given: Any, **named: Any) -> None:
        self.calls.append(("delete", *given, named))

    async def bind(self, *given: Any, **named: Any) -> Object:
        self.calls.append(("bind", *given, named))
        return {"bound": True}

    @asynccontextmanager
    async def logs(
        self, user: User, name: str, namespace: str, options: LogOptions
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        self.calls.append(("logs", user, name, namespace, options))

        async def parts() -> AsyncIterator[bytes]:
            yield b"text"

        yield parts()

    @asynccontextmanager
    async def exec(self, user: User, name: str, namespace: str, options: ExecOptions) -> AsyncIterator[RemoteProcess]:
        self.calls.append(("exec", user, name, namespace, options))
        yield PROCESS


@pytest.fixture
def api() -> RecordingApi:
    return RecordingApi()


@pytest.fixture
def client(api: RecordingApi) -> LocalClient:
    return LocalClient(api, USER)


async def test_every_verb_is_asked_for_the_user(client: LocalClient, api: RecordingApi) -> None:
    selection = Selection("n", "a=b")
    options = LogOptions("c")
    assert await client.get(POD, "p", "n") == {"got": "p"}
    assert (await client.list(POD, selection, limit=2, continue_="x")).revision == "1"
    assert await client.create(CONFIG_MAP, {"a": 1}) == {"made": True}
    assert await client.create_subresource(POD, "p", "ns", "binding", {"a": 1}) == {"created": True}
    assert await client.replace(CONFIG_MAP, {"a": 1}, subresource="status") == {"replaced": True}
    assert await client.patch(POD, "p", "n", [{"op": "x"}], type="json", subresource="status") == {"patched": True}
    await client.delete(POD, "p", "n", uid="u", grace_period_s=3, propagation="Orphan")
    await client.bind("p", "n", "node", uid="u")
    async with client.logs("p", "n", options) as parts:
        assert [part async for part in parts] == [b"text"]
    command = ExecOptions(["ls"])
    async with client.exec("p", "n", command) as process:
        assert process is PROCESS
    assert api.calls == [
        ("get", USER, POD, "p", "n"),
        ("list", USER, POD, selection, 2, "x"),
        ("create", USER, CONFIG_MAP, {"a": 1}),
        ("create_subresource", USER, POD, ("ns", "p"), "binding", {"a": 1}),
        ("replace", USER, CONFIG_MAP, {"a": 1}, {"subresource": "status"}),
        (
            "patch",
            USER,
            POD,
            "p",
            "n",
            [{"op": "x"}],
            {"type": "json", "subresource": "status"},
        ),
        ("delete", USER, POD, "p", "n", {"uid": "u", "grace_period_s": 3, "propagation": "Orphan"}),
        ("bind", USER, "p", "n", "node", {"uid": "u"}),
        ("logs", USER, "p", "n", options),
        ("exec", USER, "p", "n", command),
    ]


async def test_what_is_given_stays_the_givers(client: LocalClient, api: RecordingApi) -> None:
    given: Mapping[str, Any] = {"data": {"k": "v"}, "list": [{"x": 1}]}
    await client.create(CONFIG_MAP, given)
    await client.replace(CONFIG_MAP, given)
    await client.patch(CONFIG_MAP, "a", "n", given)
    kept = [next(part for part in call if isinstance(part, dict) and "data" in part) for call in api.calls]
    for obj in kept:
        assert obj == given
        obj["data"]["k"] = obj["list"][0]["x"] = "spoilt"
    assert given == {"data": {"k": "v"}, "list": [{"x": 1}]}


async def test_what_nearly_is_json_becomes_json(client: LocalClient, api: RecordingApi) -> None:
    await client.create(CONFIG_MAP, {"a": MappingProxyType({"b": (1, 2)}), "c": {"d": MappingProxyType({})}})
    assert api.calls[0][3] == {"a": {"b": [1, 2]}, "c": {"d": {}}}


@pytest.mark.parametrize("bad", [object(), {("a", "b"): 1}])
async def test_what_is_not_json_is_refused(client: LocalClient, api: RecordingApi, bad: Any) -> None:
    with pytest.raises(BadRequest, match="cannot be written as JSON"):
        await client.create(CONFIG_MAP, {"a": bad})
    assert api.calls == []


async def test_watchers_get_the_object_that_all_share(client: LocalClient, api: RecordingApi) -> None:
    async with client.watch(POD, Selection("n"), revision="7") as events:
        found = [event async for event in events]
    assert [event.object is api.shared.object for event in found] == [True, True]
    assert api.calls == [("watch", USER, POD, Selection("n"), "7"), ("closed",)]


async def test_a_watch_may_be_refused(client: LocalClient, api: RecordingApi) -> None:
    api.refusal = Expired("too old")
    with pytest.raises(Expired):
        async with client.watch(POD, revision="1"):
            pass
