"""``exec`` over HTTP: a WebSocket whose messages are channels, on the connection that ``http`` makes.

Bytes are read from the connection when the caller asks for output, and no earlier. Next: ``channels``.
Source: KEP-4006; RFC 6455 by ``wsproto``.
"""

import base64
import os
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from beamhall.client.channels import CLOSE, ERROR, PROTOCOLS, RESIZE, STDERR, STDIN, STDOUT, Channels
from beamhall.client.protocol import ExecOptions, StreamName
from beamhall.kernel.errors import InternalError, ServiceUnavailable, error_of

_READ_BYTES = 64 * 1024
_NAMES: dict[int, StreamName] = {STDOUT: "stdout", STDERR: "stderr"}


def upgrade_headers() -> dict[str, str]:
    """Give the headers that ask for a WebSocket of channels."""
    return {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Protocol": ", ".join(PROTOCOLS[:2]),
    }


def exec_query(options: ExecOptions) -> list[tuple[str, str | int | float | bool | None]]:
    """Write the parameters of exec."""
    flags = {
        "stdin": options.stdin,
        "stdout": options.stdout,
        "stderr": options.stderr and not options.tty,
        "tty": options.tty,
    }
    query: list[tuple[str, str | int | float | bool | None]] = [("command", part) for part in options.command]
    query += [("container", options.container)] if options.container else []
    return query + [(name, "true") for name, is_set in flags.items() if is_set]


class HttpProcess:
    """A ``RemoteProcess`` at the other end of a WebSocket.

    Args:
        answer: The server's answer, 101.
    """

    def __init__(self, answer: httpx2.Response) -> None:
        self._stream: Any = answer.extensions["network_stream"]
        self._channels = Channels(answer.headers.get("Sec-WebSocket-Protocol", ""))
        self._connection = Connection(ConnectionType.CLIENT)
        self._status: dict[str, Any] | None = None
        self._is_over = False

    async def output(self) -> AsyncIterator[tuple[StreamName, bytes]]:
        """Give its output, as ``RemoteProcess.output``.

        Raises:
            ServiceUnavailable: The connection was lost.
        """
        async for channel, data in self._messages():
            if channel == ERROR:
                self._status = msgspec.json.decode(data)
            elif data and channel in _NAMES:
                yield _NAMES[channel], data

    async def _messages(self) -> AsyncIterator[tuple[int, bytes]]:
        part = bytearray()
        while not self._is_over:
            try:
                data = await self._stream.read(_READ_BYTES, timeout=None)
                self._connection.receive_data(data or None)
                events = list(self._connection.events())
            except (httpx2.HTTPError, OSError, RemoteProtocolError, LocalProtocolError) as error:
                raise ServiceUnavailable(f"the connection to the command was lost: {error}") from error
            for event in events:
                if isinstance(event, BytesMessage | TextMessage):
                    part += event.data if isinstance(event, BytesMessage) else event.data.encode()
                    if event.message_finished:
                        yield self._channels.decode(bytes(part))
                        part.clear()
                elif isinstance(event, Ping):
                    await self._send(event.response())
                elif isinstance(event, CloseConnection):
                    self._is_over = True

    async def write(self, data: bytes) -> None:
        """Write to its input, as ``RemoteProcess.write``."""
        view = memoryview(data)
        while view:
            await self._send_on(STDIN, bytes(view[:_READ_BYTES]))
            view = view[_READ_BYTES:]

    async def close_stdin(self) -> None:
        """End its input, as ``RemoteProcess.close_stdin``. Servers before Kubernetes 1.30 have no way to be told."""
        if self._channels.protocol.startswith("v5."):
            await self._send_on(CLOSE, bytes((STDIN,)))

    async def resize(self, rows: int, columns: int) -> None:
        """Resize its terminal, as ``RemoteProcess.resize``."""
        await self._send_on(RESIZE, msgspec.json.encode({"Height": rows, "Width": columns}))

    async def wait(self) -> int:
        """Give its exit code, as ``RemoteProcess.wait``.

        Raises:
            ServiceUnavailable: The connection was lost before it was known.
            ApiError: The server could not run it to its end.
        """
        if self._status is None:
            async for _ in self.output():
                pass
        status = self._status
        if status is None:
            raise ServiceUnavailable("the connection to the command ended before its exit code was told")
        if status.get("status") == "Success":
            return 0
        if status.get("reason") == "NonZeroExitCode":
            for cause in (status.get("details") or {}).get("causes") or ():
                if cause.get("reason") == "ExitCode":
                    return int(cause["message"])
            raise InternalError(f"a status without the exit code: {status.get('message')}")
        raise error_of(status)

    async def hang_up(self) -> None:
        """End the WebSocket; the server then kills the command if it runs."""
        await self._send(CloseConnection(code=1000))

    async def _send_on(self, channel: int, data: bytes) -> None:
        await self._send(Message(data=self._channels.encode(channel, data)))

    async def _send(self, event: Event) -> None:
        try:
            await self._stream.write(self._connection.send(event), timeout=None)
        except (httpx2.HTTPError, OSError, LocalProtocolError):
            self._is_over = self._is_over or isinstance(event, CloseConnection)  # else its reader will see it
