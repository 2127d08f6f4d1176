"""A WebSocket as the ASGI server gives it, or the answer that refuses it. Knows nothing of what goes through."""

from collections.abc import Sequence
from contextlib import suppress

from starlette.types import Receive, Scope, Send

from beamhall.client.channels import Channels
from beamhall.embedded.api.replies import error_reply
from beamhall.kernel.errors import ApiError


class WebSocket:
    """One WebSocket of a client. Only binary messages count; texts are taken as their bytes.

    Args:
        scope: The ASGI scope.
        receive: The ASGI channel in. The server reads no further than the client's messages are taken.
        send: The ASGI channel out. It waits while the client does not read.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.offered: Sequence[str] = scope.get("subprotocols") or ()
        self._receive = receive
        self._send = send
        self._is_gone = False

    async def accept(self, subprotocol: str) -> None:
        """Begin, with one of the offered subprotocols; empty: with none."""
        await self._receive()  # the request itself
        await self._send({"type": "websocket.accept", "subprotocol": subprotocol or None})

    async def refuse(self, error: ApiError) -> None:
        """Answer the request with an error instead."""
        await self._receive()
        answer = error_reply(error)
        headers = [(b"content-type", answer.media_type.encode()), (b"content-length", b"%d" % len(answer.body))]
        headers += answer.headers
        await self._send({"type": "websocket.http.response.start", "status": answer.code, "headers": headers})
        await self._send({"type": "websocket.http.response.body", "body": answer.body})

    async def receive(self) -> bytes | None:
        """Give the next message; None when the client is gone."""
        if self._is_gone:
            return None
        message = await self._receive()
        if message["type"] != "websocket.receive":
            self._is_gone = True
            return None
        data: bytes | None = message.get("bytes")
        return data if data is not None else str(message.get("text") or "").encode()

    async def send(self, data: bytes) -> None:
        """Send a message. Raises OSError when the client is gone."""
        await self._send({"type": "websocket.send", "bytes": data})

    async def send_on(self, channels: Channels, channel: int, data: bytes) -> bool:
        """Send a message on a channel. False if the client is gone."""
        message = channels.encode(channel, data)
        form = {"text": message.decode("ascii")} if channels.is_base64 else {"bytes": message}
        try:
            await self._send({"type": "websocket.send", **form})
        except OSError:
            return False
        return True

    async def close(self, code: int = 1000) -> None:
        """End it in order, unless the client is gone."""
        with suppress(OSError):
            if not self._is_gone:
                await self._send({"type": "websocket.close", "code": code})
