import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
import pytest

from beamhall.history.history import History
from beamhall.history.protocol import Writing
from beamhall.history.queries import Where
from beamhall.history.records import Run, RunEvent
from beamhall.pipelines.api import events
from beamhall.pipelines.api.access import Access
from beamhall.pipelines.api.application import kfp_application
from beamhall.pipelines.signals import Signals
from beamhall.pipelines.specifications import Specifications
from tests.postgresql import BOTH

both = pytest.mark.parametrize("history", BOTH, indirect=True)
STREAM = {"accept": "text/event-stream"}


@pytest.fixture
async def run(history: History) -> str:
    def add(tx: Writing) -> None:
        for key, namespace in (("r", "default"), ("theirs", "closed")):
            tx.add(Run(id=key, namespace=namespace, experiment_id="e", display_name="r", created_at=1, state="RUNNING"))

    await history.write(add)
    return "r"


async def _happen(history: History, run_id: str, *names: str, state: str = "") -> None:
    def add(tx: Writing) -> None:
        tx.add(
            *(
                RunEvent(
                    namespace="default", run_id=run_id, kind="task", created_at=1_500_000, path=name, data={"n": name}
                )
                for name in names
            )
        )
        if state:
            tx.change(Run, Where("id", "=", run_id), state=state)

    await history.write(add)


class _Stream:
    """A request to the application that is read message by message, as a server would send it."""

    def __init__(self, access: Access, path: str, **headers: str) -> None:
        self._app = kfp_application(access, Specifications())
        self._sent: asyncio.Queue[Any] = asyncio.Queue(1)  # a client that reads one message at a time
        written = [(key.replace("_", "-").encode(), value.encode()) for key, value in {**STREAM, **headers}.items()]
        path, _, query = path.partition("?")
        self._scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1", "method": "GET",
            "path": f"/apis/v2beta1/{path}", "raw_path": path.encode(), "query_string": query.encode(),
            "headers": written, "scheme": "http", "server": ("kfp", 80), "client": None, "root_path": "",
        }  # fmt: skip

    async def serve(self) -> None:
        await self._app(self._scope, _never, self._sent.put)

    async def begin(self) -> int:
        return int((await self._sent.get())["status"])

    async def read(self) -> str:
        """Give the next piece; empty: it is over."""
        async with asyncio.timeout(60):
            message = await self._sent.get()
        return str(message["body"].decode())


async def _never() -> Any:
    await asyncio.Event().wait()


async def _names(api: httpx2.AsyncClient, path: str) -> list[str]:
    answer = await api.get(path)
    assert answer.status_code == 200, answer.text
    return [each["path"] for each in answer.json().get("events", [])]


@both
async def test_events_are_listed_in_order(api: httpx2.AsyncClient, history: History, run: str) -> None:
    assert (await api.get(f"runs/{run}:events")).json() == {}
    await _happen(history, run, "/a", "/b")
    first, second = (await api.get(f"runs/{run}:events")).json()["events"]
    assert first == {
        "id": "1", "run_id": "r", "kind": "task", "path": "/a", "created_at": "1970-01-01T00:00:01.500000Z",
        "data": {"n": "/a"},
    }  # fmt: skip
    assert await _names(api, f"runs/{run}:events?after={first['id']}") == ["/b"]
    assert await _names(api, f"runs/{run}:events?after={second['id']}") == []
    assert await _names(api, f"http://kfp/pipeline/apis/v2beta1/runs/{run}:events") == ["/a", "/b"]


async def test_more_than_a_page_is_given_whole(
    api: httpx2.AsyncClient, history: History, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "EVENTS_AT_ONCE", 3)
    names = [f"/{number}" for number in range(9)]
    await _happen(history, run, *names, state="SUCCEEDED")
    assert await _names(api, f"runs/{run}:events") == names
    answer = await api.get(f"runs/{run}:events", headers=STREAM)
    assert [line for line in answer.text.splitlines() if line.startswith("id:")] == [f"id: {n}" for n in range(1, 10)]


async def test_a_run_that_has_ended_is_told_and_the_stream_ends(
    api: httpx2.AsyncClient, history: History, run: str
) -> None:
    await _happen(history, run, "/a", "/b", state="FAILED")
    answer = await api.get(f"runs/{run}:events", headers=STREAM)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    first, second, rest = answer.text.split("\n\n")
    assert rest == ""
    assert first.splitlines()[:2] == ["id: 1", "event: task"]
    assert msgspec.json.decode(second.splitlines()[2].removeprefix("data: "))["path"] == "/b"
    for answer in (
        await api.get(f"runs/{run}:events", headers={**STREAM, "last-event-id": "1"}),
        await api.get(f"runs/{run}:events?after=1", headers=STREAM),
    ):
        assert answer.text.splitlines()[0] == "id: 2"
    assert (await api.get(f"runs/{run}:events?after=2", headers=STREAM)).text == ""


@pytest.fixture
async def follower(access: Access, run: str) -> AsyncIterator[_Stream]:
    async with asyncio.TaskGroup() as group:
        stream = _Stream(access, f"runs/{run}:events")
        serving = group.create_task(stream.serve())
        yield stream
        serving.cancel()


async def test_a_follower_is_told_at_once_until_the_end(
    follower: _Stream, history: History, signals: Signals, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LOOK_S", 1000.0)  # only the bell wakes it
    assert await follower.begin() == 200
    assert await follower.read() == ": waiting\n\n"
    for name, state in (("/a", ""), ("/b", ""), ("/c", "SUCCEEDED")):
        await _happen(history, run, name, state=state)
        signals.publish(run)
        assert f'"path":"{name}"' in await follower.read()
    assert await follower.read() == ""


async def test_a_follower_is_told_though_nobody_rings_and_hears_a_heartbeat(
    follower: _Stream, history: History, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LOOK_S", 0.01)
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.02)
    await follower.begin()
    for _ in range(3):
        assert await follower.read() == ": waiting\n\n"
    await _happen(history, run, "/a")
    while (piece := await follower.read()) == ": waiting\n\n":
        pass
    assert '"path":"/a"' in piece
    await history.write(lambda tx: tx.remove(Run, Where("id", "=", run)))  # deleted while it is followed
    while (piece := await follower.read()) == ": waiting\n\n":
        pass
    assert piece == ""


async def test_of_a_slow_follower_one_page_is_held(
    follower: _Stream, history: History, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "EVENTS_AT_ONCE", 2)
    read: list[int] = []
    unwatched = events.Events._read

    async def watched(self: events.Events, run_id: str, after: int) -> Any:
        read.append(after)
        return await unwatched(self, run_id, after)

    monkeypatch.setattr(events.Events, "_read", watched)
    await _happen(history, run, *(f"/{number}" for number in range(6)), state="SUCCEEDED")
    await follower.begin()
    for _ in range(50):
        await asyncio.sleep(0)
    await history.read(lambda tx: tx.count(Run))  # time for it to read on, if it did
    assert read in ([0], [0, 2])  # one page on its way, and at most one that waits
    pieces = [await follower.read() for _ in range(4)]  # the first, or what comes after the last, has no events
    assert [count for piece in pieces if (count := piece.count("\nevent: "))] == [2, 2, 2], pieces


async def test_what_is_wrong_or_anothers_is_refused(api: httpx2.AsyncClient, run: str) -> None:
    for after in ("x", "-1", "1.5", "9" * 30, "²"):
        answer = await api.get(f"runs/{run}:events", params={"after": after})
        assert answer.status_code == 400, after
        assert "is no id of an event" in answer.json()["message"]
    assert (await api.get("runs/theirs:events", headers=STREAM)).status_code == 403
    assert (await api.get("runs/x:events", headers=STREAM)).status_code == 404


async def test_a_follower_is_let_go_when_the_service_stops(
    follower: _Stream, signals: Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LOOK_S", 1000.0)
    await follower.begin()
    assert await follower.read() == ": waiting\n\n"
    signals.closing.set()
    assert await follower.read() == ""
