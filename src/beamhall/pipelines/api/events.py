"""What happens to a run, as it happens: Server-Sent Events, or a list in JSON for those who do not ask for them.

A follower is given what it has not seen, in order and each event once, until the run has ended: by the id of the last
event that it saw (``Last-Event-ID``, or ``after``) it goes on over lost connections and restarts of the service. Of a
follower that reads slowly nothing is kept but one page of events.

Source: WHATWG HTML, section 9.2, "Server-sent events"; the kinds of events are ``driver``'s.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from beamhall.history.protocol import Reading
from beamhall.history.queries import Order, Where
from beamhall.history.records import Run, RunEvent
from beamhall.kernel.errors import BadRequest
from beamhall.pipelines.api.access import Access
from beamhall.pipelines.api.messages import exact_time_text
from beamhall.pipelines.api.pieces import LiveResponse
from beamhall.pipelines.runs import NOT_ENDED
from beamhall.pipelines.signals import wait_for

EVENTS_AT_ONCE = 500
"""Events that are read, and held for a follower, at once."""

HEARTBEAT_S = 10.0
"""After how many seconds without an event a follower is told that the connection is good."""

LOOK_S = 2.0
"""How often it is looked whether there are events that nobody rang for."""

GATHER_S = 0.05
"""How long after some events the next are read at the earliest: in runs of many short steps reading would else cost a
part of what the steps do."""

_EVENT_STREAM = "text/event-stream"
_UNBUFFERED = {"cache-control": "no-cache", "x-accel-buffering": "no"}


def event_message(event: RunEvent) -> Mapping[str, Any]:
    """Write an event."""
    return {
        "id": str(event.id),
        "run_id": event.run_id,
        "kind": event.kind,
        "path": event.path,
        "created_at": exact_time_text(event.created_at),
        "data": event.data,
    }


class Events:
    """The handler of the events of runs."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def routes(self) -> Sequence[BaseRoute]:
        """Give their path."""
        return (Route("/runs/{run}:events", self._events, methods=["GET"]),)

    async def _events(self, request: Request) -> Response:
        run = await self._access.allowed(request, "get", Run, request.path_params["run"])
        after = _number(request.headers.get("last-event-id") or request.query_params.get("after", ""))
        if _EVENT_STREAM in request.headers.get("accept", ""):
            events = self._follow(run.id, after)
            return LiveResponse(events, self._access.signals.closing, _EVENT_STREAM, _UNBUFFERED)
        return StreamingResponse(self._list(run.id, after), media_type="application/json")

    async def _follow(self, run_id: str, after: int) -> AsyncIterator[bytes]:
        """Give what is new, and wait for more, until the run has ended and all was given."""
        quiet_s = HEARTBEAT_S  # the first answer says that the connection is good
        now_s = asyncio.get_running_loop().time
        while True:
            read_at_s = now_s()
            bell = self._access.signals.follow(run_id)
            events, goes_on = await self._read(run_id, after)
            if events:
                after = events[-1].id
                yield b"".join(map(_sent, events))
            if len(events) == EVENTS_AT_ONCE:
                continue
            if not goes_on:
                return
            quiet_s = 0.0 if events else quiet_s
            if quiet_s >= HEARTBEAT_S:
                yield b": waiting\n\n"
                quiet_s = 0.0
            if not await wait_for(bell, LOOK_S):
                quiet_s += LOOK_S
            await asyncio.sleep(read_at_s + GATHER_S - now_s())

    async def _list(self, run_id: str, after: int) -> AsyncIterator[bytes]:
        """Give all that there are, page by page."""
        before = b'{"events":['
        while True:
            events, _ = await self._read(run_id, after)
            for event in events:
                yield before + msgspec.json.encode(event_message(event))
                before, after = b",", event.id
            if len(events) < EVENTS_AT_ONCE:
                break
        yield b"]}" if before == b"," else b"{}"

    async def _read(self, run_id: str, after: int) -> tuple[Sequence[RunEvent], bool]:
        """Give the next events, and whether there may be others after those that are there now."""

        def read(tx: Reading) -> tuple[Sequence[RunEvent], bool]:
            where = (Where("run_id", "=", run_id), Where("id", ">", after))
            run = tx.get(Run, run_id)
            return tx.find(RunEvent, *where, order=Order("id"), limit=EVENTS_AT_ONCE), (
                run is not None and run.state in NOT_ENDED
            )

        return await self._access.history.read(read)


def _sent(event: RunEvent) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (
        event.id, event.kind.encode(), msgspec.json.encode(event_message(event)),
    )  # fmt: skip


def _number(written: str) -> int:
    if not written:
        return 0
    if not written.isascii() or not written.isdecimal() or len(written) > 18:
        raise BadRequest(f"after: {written[:80]!r} is no id of an event")
    return int(written)
