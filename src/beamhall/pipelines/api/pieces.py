"""Answers that are sent in pieces: what is read to its end, and what is followed until somebody has had enough."""

import asyncio
from collections.abc import AsyncIterator, Mapping

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


async def after(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Give a piece, unless it is empty, and those that follow: an error before it then has an answer of its own."""
    if first:
        yield first
    async for piece in rest:
        yield piece


class LiveResponse(StreamingResponse):
    """An answer that may go on for long: it ends when the client goes away, and well-formed when the service stops.

    Args:
        pieces: What is sent.
        closing: Set when the service stops.
        media_type: Its type.
        headers: Other headers.
    """

    def __init__(
        self, pieces: AsyncIterator[bytes], closing: asyncio.Event, media_type: str, headers: Mapping[str, str]
    ) -> None:
        super().__init__(pieces, media_type=media_type, headers=headers)
        self._pieces = pieces
        self._closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, to one ASGI connection."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with asyncio.TaskGroup() as tasks:
            ends = [tasks.create_task(_leave(receive)), tasks.create_task(_wait(self._closing))]
            writer = tasks.create_task(self._send(send))
            for end in ends:
                end.add_done_callback(lambda _: writer.cancel())
            writer.add_done_callback(lambda _: [end.cancel() for end in ends])
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send) -> None:
        async for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _leave(receive: Receive) -> None:
    """Wait until the client goes away."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
