"""An answer that is written by whoever has something to say, for as long as there is something to follow."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

Write = Callable[[bytes], Awaitable[None]]
"""Sends a piece; waits while the client does not read, so that nothing piles up."""

UNBUFFERED = {"cache-control": "no-cache", "x-accel-buffering": "no"}


class Stream(Response):
    """Ends with what is followed, when the client goes away, and well-formed when the service stops.

    Args:
        produce: Writes the answer; several tasks of it may write.
        closing: Set when the service stops.
        media_type: The answer's type.
        headers: Its other headers.
    """

    def __init__(
        self,
        produce: Callable[[Write], Awaitable[None]],
        closing: asyncio.Event,
        media_type: str,
        headers: Mapping[str, str] = UNBUFFERED,
    ) -> None:
        super().__init__(media_type=media_type, headers=headers)
        del self.headers["content-length"]
        self._produce = produce
        self._closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, to one ASGI connection."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        turn = asyncio.Lock()

        async def write(piece: bytes) -> None:
            async with turn:
                await send({"type": "http.response.body", "body": piece, "more_body": True})

        async def produce() -> None:
            await self._produce(write)

        async with asyncio.TaskGroup() as tasks:
            ends = [tasks.create_task(_leave(receive)), tasks.create_task(_closed(self._closing))]
            writer = tasks.create_task(produce())
            for end in ends:
                end.add_done_callback(lambda _: writer.cancel())
            writer.add_done_callback(lambda _: [end.cancel() for end in ends])
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _leave(receive: Receive) -> None:
    """Wait until the client goes away."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _closed(event: asyncio.Event) -> None:
    await event.wait()
