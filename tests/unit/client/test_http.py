"""What the HTTP client sends, and what it makes of answers, good and bad."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response, StreamingResponse

from beamhall.client.http import HttpClient, HttpSettings
from beamhall.client.kubeconfig import load_kubeconfig
from beamhall.client.protocol import LogOptions, Selection, WatchEvent
from beamhall.kernel.errors import (
    AlreadyExists,
    ApiError,
    BadRequest,
    Conflict,
    Expired,
    InternalError,
    Invalid,
    NotFound,
    ServiceUnavailable,
    Timeout,
    TooManyRequests,
    Unauthorized,
)
from beamhall.kernel.kinds import CONFIG_MAP, NODE, POD, TF_JOB
from tests.unit.client.conftest import FakeServer, Naps, refusal, write_kubeconfig

OBJECT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}}


async def test_reading_asks_for_one_object(client: HttpClient, server: FakeServer) -> None:
    server.says(OBJECT)
    assert await client.get(CONFIG_MAP, "a", "n") == OBJECT
    asked = server.last
    assert (asked.method, asked.path) == ("GET", "/k8s/api/v1/namespaces/n/configmaps/a")
    assert (asked.headers["authorization"], asked.headers["accept"]) == ("Bearer secret", "application/json")


async def test_names_cannot_leave_their_place(client: HttpClient, server: FakeServer) -> None:
    server.says(OBJECT)
    await client.get(NODE, "a/../b?c=d")
    assert server.last.path == "/k8s/api/v1/nodes/a%2F..%2Fb%3Fc%3Dd"
    assert server.last.query == {}


async def test_lists_say_what_is_selected(client: HttpClient, server: FakeServer) -> None:
    item = {"metadata": {"name": "j"}}
    server.says({"kind": "TFJobList", "metadata": {"resourceVersion": "7", "continue": "more"}, "items": [item]})
    page = await client.list(TF_JOB, Selection("n", "a in (b,c)", "metadata.name=j"), limit=3, continue_="here")
    assert (page.revision, page.continue_) == ("7", "more")
    assert page.items == [{"metadata": {"name": "j"}, "apiVersion": "kubeflow.org/v1", "kind": "TFJob"}]
    assert server.last.path == "/k8s/apis/kubeflow.org/v1/namespaces/n/tfjobs"
    assert server.last.query == {
        "labelSelector": "a in (b,c)", "fieldSelector": "metadata.name=j", "limit": "3", "continue": "here",
    }  # fmt: skip


async def test_a_list_of_all_namespaces(client: HttpClient, server: FakeServer) -> None:
    server.says({"metadata": {"resourceVersion": "1"}, "items": None})
    assert list((await client.list(POD)).items) == []
    assert (server.last.path, server.last.query) == ("/k8s/api/v1/pods", {})


async def test_writes_carry_kind_and_version(client: HttpClient, server: FakeServer) -> None:
    server.says(OBJECT)
    bare = {"metadata": {"name": "a", "namespace": "n"}}
    await client.create(CONFIG_MAP, bare)
    assert (server.last.method, server.last.path) == ("POST", "/k8s/api/v1/namespaces/n/configmaps")
    assert json.loads(server.last.body) == OBJECT
    await client.replace(CONFIG_MAP, bare, subresource="status")
    assert (server.last.method, server.last.path) == ("PUT", "/k8s/api/v1/namespaces/n/configmaps/a/status")
    assert json.loads(server.last.body) == OBJECT
    assert bare == {"metadata": {"name": "a", "namespace": "n"}}


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [("merge", "merge-patch"), ("json", "json-patch"), ("strategic", "strategic-merge-patch")],
)
async def test_patches_say_their_type(client: HttpClient, server: FakeServer, kind: Any, media_type: str) -> None:
    server.says(OBJECT)
    await client.patch(CONFIG_MAP, "a", "n", {"data": None}, type=kind, subresource="status")
    assert (server.last.method, server.last.path) == ("PATCH", "/k8s/api/v1/namespaces/n/configmaps/a/status")
    assert server.last.headers["content-type"] == f"application/{media_type}+json"
    assert server.last.body == b'{"data":null}'


async def test_deletes_carry_options(client: HttpClient, server: FakeServer) -> None:
    server.says({"kind": "Status", "status": "Success"})
    await client.delete(CONFIG_MAP, "a", "n", uid="1", grace_period_s=0, propagation="Foreground")
    assert json.loads(server.last.body) == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": "1"},
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Foreground",
    }
    await client.delete(CONFIG_MAP, "a", "n")
    assert json.loads(server.last.body) == {"apiVersion": "v1", "kind": "DeleteOptions"}


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (401, "Unauthorized", Unauthorized),
        (404, "NotFound", NotFound),
        (409, "AlreadyExists", AlreadyExists),
        (409, "Conflict", Conflict),
        (410, "Expired", Expired),
        (422, "Invalid", Invalid),
        (500, "InternalError", InternalError),
    ],
)
async def test_a_status_becomes_an_error(
    client: HttpClient, server: FakeServer, code: int, reason: str, error: type[ApiError]
) -> None:
    causes = [{"reason": "FieldValueInvalid", "field": "spec.a", "message": "no"}]
    server.says(refusal(code, reason=reason, message="why", details={"name": "a", "causes": causes}))
    with pytest.raises(error, match="why") as caught:
        await client.get(CONFIG_MAP, "a", "n")
    assert type(caught.value) is error
    assert caught.value.causes[0].field == "spec.a"
    assert len(server.asked) == 1


async def test_what_is_no_status_is_shown(client: HttpClient, server: FakeServer) -> None:
    server.says(Response("<html>no such page</html>", 404))
    with pytest.raises(NotFound, match="answered 404: <html>no such page"):
        await client.get(CONFIG_MAP, "a", "n")
    server.says(Response("<html>hello</html>", 200))
    with pytest.raises(InternalError, match="is that a kube-apiserver"):
        await client.get(CONFIG_MAP, "a", "n")
    server.says(JSONResponse({"detail": "other"}, 403))
    with pytest.raises(ApiError, match="answered 403"):
        await client.get(CONFIG_MAP, "a", "n")


async def test_a_full_server_is_asked_again_when_it_said(client: HttpClient, server: FakeServer, naps: Naps) -> None:
    server.says(
        refusal(429, {"Retry-After": "3"}, reason="TooManyRequests", message="storage is (re)initializing"), OBJECT
    )
    assert await client.create(CONFIG_MAP, OBJECT) == OBJECT
    assert naps.taken == [3.0]


async def test_a_server_that_stays_full_is_left(client: HttpClient, server: FakeServer, naps: Naps) -> None:
    server.says(refusal(429, {"Retry-After": "1"}))
    with pytest.raises(TooManyRequests) as caught:
        await client.get(CONFIG_MAP, "a", "n")
    assert (len(server.asked), naps.taken, caught.value.retry_after_s) == (4, [1.0] * 3, 1)
    server.says(refusal(429, {"Retry-After": "60"}))
    with pytest.raises(TooManyRequests):
        await client.get(CONFIG_MAP, "a", "n")
    assert len(server.asked) == 5


@pytest.mark.parametrize("code", [503, 504])
async def test_reading_is_tried_again_and_writing_is_not(
    client: HttpClient, server: FakeServer, naps: Naps, code: int
) -> None:
    server.says(refusal(code), refusal(code), OBJECT)
    assert await client.get(CONFIG_MAP, "a", "n") == OBJECT
    assert len(naps.taken) == 2
    assert naps.taken[0] < naps.taken[1] * 1.5
    server.says(refusal(code), OBJECT)
    with pytest.raises((ServiceUnavailable, Timeout)):
        await client.create(CONFIG_MAP, OBJECT)
    assert len(server.asked) == 4


async def test_what_json_cannot_hold_is_not_sent(client: HttpClient, server: FakeServer) -> None:
    with pytest.raises(BadRequest, match="cannot be written as JSON"):
        await client.create(CONFIG_MAP, {"metadata": {"name": object()}})
    assert server.asked == []


def event(kind: str, name: str, revision: str) -> dict[str, Any]:
    return {"type": kind, "object": {"metadata": {"name": name, "resourceVersion": revision}}}


def stream(parts: Iterable[bytes]) -> StreamingResponse:
    async def body() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    return StreamingResponse(body(), media_type="application/json")


def lines(*events: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in events)


async def watched(client: HttpClient) -> list[WatchEvent]:
    async with client.watch(POD, Selection("n", labels="a=b"), revision="5") as events:
        return [each async for each in events]


async def test_watches_are_asked_for(client: HttpClient, server: FakeServer) -> None:
    server.says(stream([]))
    assert await watched(client) == []
    query = dict(server.last.query)
    assert 240 <= int(query.pop("timeoutSeconds")) <= 300
    assert query == {"labelSelector": "a=b", "watch": "1", "resourceVersion": "5", "allowWatchBookmarks": "true"}
    assert server.last.path == "/k8s/api/v1/namespaces/n/pods"
    assert server.last.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_events_are_read_however_they_are_cut(client: HttpClient, server: FakeServer, size: int) -> None:
    whole = (
        lines(event("ADDED", "ä" * 50, "6"), event("MODIFIED", "b", "7")) + b"\n" + lines(event("BOOKMARK", "", "8"))
    )
    server.says(stream(whole[i : i + size] for i in range(0, len(whole), size)))
    found = await watched(client)
    assert [(each.type, each.object["metadata"]["resourceVersion"]) for each in found] == [
        ("ADDED", "6"), ("MODIFIED", "7"), ("BOOKMARK", "8"),
    ]  # fmt: skip
    assert found[0].object["metadata"]["name"] == "ä" * 50


async def test_events_are_given_as_they_come(client: HttpClient, server: FakeServer) -> None:
    more = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield lines(event("ADDED", "a", "6"))
        await more.wait()
        yield lines(event("DELETED", "a", "7"))

    server.says(StreamingResponse(body()))
    async with asyncio.timeout(20), client.watch(POD, revision="5") as events:
        assert (await anext(events)).type == "ADDED"
        more.set()
        assert (await anext(events)).type == "DELETED"


async def test_an_error_event_is_raised(client: HttpClient, server: FakeServer) -> None:
    gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}
    server.says(stream([lines(event("ADDED", "a", "6"), gone)]))
    with pytest.raises(Expired, match="too old"):
        await watched(client)


async def test_a_watch_may_be_refused(client: HttpClient, server: FakeServer) -> None:
    server.says(refusal(410, reason="Gone", message="too old"))
    with pytest.raises(Expired):
        await watched(client)


async def test_an_event_that_cannot_be_read_is_told(client: HttpClient, server: FakeServer) -> None:
    server.says(stream([b'{"type": "NEWS", "object": {}}\n']))
    with pytest.raises(InternalError, match="cannot be read"):
        await watched(client)


@asynccontextmanager
async def raw_server(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """Serve one connection by hand; gives the address. The client has to be closed first."""
    handled = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handle(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            handled.set()

    async with asyncio.timeout(20), await asyncio.start_server(answer, "127.0.0.1", 0) as listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        await handled.wait()


async def test_a_connection_that_breaks_off_is_unavailability(tmp_path: Path) -> None:
    async def promise_too_much(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        writer.write(lines(event("ADDED", "a", "6")) + b'{"type"')
        await writer.drain()

    async with raw_server(promise_too_much) as url:
        config = load_kubeconfig(write_kubeconfig(tmp_path / "k", url))
        async with HttpClient(config) as client, client.watch(POD, revision="5") as events:
            assert (await anext(events)).type == "ADDED"
            with pytest.raises(ServiceUnavailable, match="broke off"):
                await anext(events)


async def test_who_leaves_a_watch_closes_it(client: HttpClient, server: FakeServer) -> None:
    closed = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        try:
            while True:
                yield lines(event("ADDED", "a", "6"))
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    server.says(StreamingResponse(body()))
    async with client.watch(POD, revision="5") as events:
        await anext(events)
    async with asyncio.timeout(20):
        await closed.wait()


async def test_logs_are_streamed(client: HttpClient, server: FakeServer) -> None:
    server.says(stream([b"one\n", b"two\n"]))
    options = LogOptions("c", follow=True, previous=True, timestamps=True, tail_lines=0, since_s=1.2, limit_bytes=9)
    async with client.logs("p", "n", options) as parts:
        assert b"".join([part async for part in parts]) == b"one\ntwo\n"
    assert server.last.path == "/k8s/api/v1/namespaces/n/pods/p/log"
    assert server.last.query == {
        "container": "c", "follow": "true", "previous": "true", "timestamps": "true", "tailLines": "0",
        "sinceSeconds": "2", "limitBytes": "9",
    }  # fmt: skip


async def test_a_log_may_be_refused(client: HttpClient, server: FakeServer) -> None:
    server.says(refusal(400, reason="BadRequest", message="container is waiting to start"))
    with pytest.raises(BadRequest, match="waiting to start"):
        async with client.logs("p", "n", LogOptions()):
            pass
    assert server.last.query == {}


async def test_a_server_that_is_not_there(tmp_path: Path, naps: Naps, unused_port: int) -> None:
    config = load_kubeconfig(write_kubeconfig(tmp_path / "k", f"http://127.0.0.1:{unused_port}"))
    async with HttpClient(config, HttpSettings(sleep=naps.sleep)) as client:
        with pytest.raises(ServiceUnavailable, match=f"127.0.0.1:{unused_port} cannot be reached"):
            await client.create(CONFIG_MAP, OBJECT)
        assert len(naps.taken) == 3, "nothing was sent, so even a write is tried again"
        with pytest.raises(ServiceUnavailable, match="cannot be reached"):
            async with client.watch(POD, revision="1"):
                pass


async def test_a_server_that_does_not_answer(tmp_path: Path, naps: Naps) -> None:
    async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_server(stay_silent) as url:
        config = load_kubeconfig(write_kubeconfig(tmp_path / "k", url))
        async with HttpClient(config, HttpSettings(sleep=naps.sleep, answer_timeout_s=0.05)) as silent:
            with pytest.raises(Timeout, match="whether the request was done is unknown"):
                await silent.create(CONFIG_MAP, OBJECT)
            assert naps.taken == []
