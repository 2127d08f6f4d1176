"""Watches and logs over HTTP, on the ASGI application itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.types import Message

from beamhall.embedded.api import streams
from beamhall.embedded.api.factory import create_app
from beamhall.embedded.api.requests import Request
from beamhall.kernel.errors import BadRequest, Expired
from beamhall.kernel.kinds import CONFIG_MAP, POD
from tests.api_server import WrittenLogs
from tests.unit.embedded.api.conftest import ADMIN, config_map, pod

MAPS = "/api/v1/namespaces/default/configmaps"
TABLE = b"application/json;as=Table;v=v1;g=meta.k8s.io"


class Answer:
    """An answer that is still coming."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self.gone = asyncio.Event()
        self.status = 0

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await self._messages.put(message)

    async def chunk(self) -> bytes | None:
        """Give the next bytes, None at the end."""
        async with asyncio.timeout(20):
            while True:
                message = await self._messages.get()
                if message["type"] == "http.response.start":
                    self.status = message["status"]
                elif message.get("body"):
                    return bytes(message["body"])
                elif not message.get("more_body"):
                    return None

    async def events(self) -> list[Any]:
        """Give the next events, as many as came together."""
        return [json.loads(line) for line in (await self.chunk() or b"").splitlines()]


@asynccontextmanager
async def request(app, path: str, query: str = "", accept: bytes = b"") -> AsyncIterator[Answer]:
    """Send a GET request, and go away at the end."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": query.encode(),
        "headers": [(b"accept", accept)] if accept else [],
        "state": {"user": ADMIN},
    }
    answer = Answer()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(app(scope, answer.receive, answer.send))
        yield answer
        answer.gone.set()
        async with asyncio.timeout(20):
            await task


@pytest.fixture
def app(api):
    return create_app(api, WrittenLogs())


async def test_a_watch_writes_a_line_for_each_change(app, client):
    await client.create(CONFIG_MAP, config_map("a"))
    async with request(app, MAPS, "watch=true") as answer:
        assert [(e["type"], e["object"]["metadata"]["name"]) for e in await answer.events()] == [("ADDED", "a")]
        made = await client.create(CONFIG_MAP, config_map("b"))
        assert await answer.events() == [{"type": "ADDED", "object": made}]
        await client.delete(CONFIG_MAP, "a", "default")
        assert [e["type"] for e in await answer.events()] == ["DELETED"]
    assert answer.status == 200


async def test_a_watch_ends_when_its_time_is_over(app):
    async with request(app, MAPS, "watch=1&timeoutSeconds=1&resourceVersion=1") as answer:
        assert await answer.chunk() is None


async def test_bookmarks_come_when_they_are_asked_for(app, client, monkeypatch):
    monkeypatch.setattr(streams, "BOOKMARK_EVERY_S", 0.01)
    await client.create(CONFIG_MAP, config_map())
    revision = (await client.list(CONFIG_MAP)).revision
    async with request(app, MAPS, f"watch=1&allowWatchBookmarks=true&resourceVersion={revision}") as answer:
        event = (await answer.events())[0]
    assert event["type"] == "BOOKMARK"
    assert event["object"]["metadata"]["resourceVersion"] == revision


async def test_initial_events_end_with_a_bookmark(app, client):
    await client.create(CONFIG_MAP, config_map())
    query = "watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    async with request(app, MAPS, query) as answer:
        assert [event["type"] for event in await answer.events()] == ["ADDED"]
        mark = (await answer.events())[0]
    assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_tables_name_their_columns_once(app, client):
    await client.create(POD, pod())
    async with request(app, "/api/v1/pods", "watch=1", TABLE) as answer:
        first = (await answer.events())[0]
        await client.patch(POD, "p", "default", {"metadata": {"labels": {"a": "b"}}})
        second = (await answer.events())[0]
    assert first["object"]["columnDefinitions"][0]["name"] == "Name"
    assert second["object"]["columnDefinitions"] == []
    assert second["object"]["rows"][0]["cells"][0] == "p"


async def test_a_revision_that_is_forgotten_is_an_error_event(app, api, client):
    for number in range(3):
        await client.create(CONFIG_MAP, config_map(f"c{number}"))
    await api.core.store.compact(api.core.store.revision)
    async with request(app, MAPS, "watch=1&resourceVersion=1") as answer:
        (event,) = await answer.events()
        assert answer.status == 200
        assert event["type"] == "ERROR"
        assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
        assert await answer.chunk() is None


async def test_an_error_on_the_way_is_the_last_event(app, monkeypatch):
    async def expired(_):
        raise Expired("the changes are no longer kept")

    monkeypatch.setattr("beamhall.embedded.api.watching.Watch.batch", expired)
    async with request(app, MAPS, "watch=1&resourceVersion=1") as answer:
        event = (await answer.events())[0]
        assert await answer.chunk() is None
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)


async def test_watches_end_with_the_store(app, api, client):
    await client.create(CONFIG_MAP, config_map())
    async with request(app, MAPS, "watch=1") as answer:
        assert len(await answer.events()) == 1
        await api.core.store.close()
        assert await answer.chunk() is None


async def test_logs(app, client):
    await client.create(POD, pod())
    async with request(app, "/api/v1/namespaces/default/pods/p/log", "tailLines=1&container=main") as answer:
        assert await answer.chunk() == b"three\n"
        assert await answer.chunk() is None
    async with request(app, "/api/v1/namespaces/default/pods/p/log", "container=other") as answer:
        assert b"container other is not valid" in (await answer.chunk() or b"")
    assert answer.status == 400
    async with request(app, "/api/v1/namespaces/default/pods/nothing/log") as answer:
        await answer.chunk()
    assert answer.status == 404


def log_request(**query: str) -> Request:
    return Request("GET", "/", query, {}, ADMIN, receive=lambda: asyncio.sleep(0, {"type": ""}), warnings=[])


def test_log_options(api):
    options = streams.log_options(
        api, log_request(container="c", follow="true", previous="false", timestamps="1", tailLines="5", limitBytes="9")
    )
    assert (options.container, options.follow, options.previous, options.timestamps) == ("c", True, False, True)
    assert (options.tail_lines, options.limit_bytes, options.since_s) == (5, 9, None)
    assert streams.log_options(api, log_request(sinceSeconds="7")).since_s == 7
    assert streams.log_options(api, log_request(sinceTime="2026-01-02T03:04:00Z")).since_s == 5


@pytest.mark.parametrize(
    "query",
    [
        {"tailLines": "-1"},
        {"limitBytes": "0"},
        {"sinceSeconds": "0"},
        {"sinceTime": "yesterday"},
        {"sinceTime": "2026-01-02T03:04:00Z", "sinceSeconds": "1"},
    ],
)
def test_log_options_that_cannot_be(api, query):
    with pytest.raises(BadRequest):
        streams.log_options(api, log_request(**query))


async def test_streams_end_when_the_api_stops(app, api, client):
    await client.create(CONFIG_MAP, config_map())
    async with request(app, MAPS, "watch=1") as answer:
        assert len(await answer.events()) == 1
        api.closing.set()
        assert await answer.chunk() is None
