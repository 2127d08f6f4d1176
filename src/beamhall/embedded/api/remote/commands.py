"""A process's streams on the channels of a WebSocket: what ``kubectl exec`` and ``kubectl attach`` speak.

Next: ``channels``; the process is ``client.protocol.RemoteProcess``.
"""

import asyncio

import msgspec

from beamhall.client.channels import (
    CLOSE,
    ERROR,
    RESIZE,
    STDERR,
    STDIN,
    STDOUT,
    Channels,
    exit_status,
    read_size,
)
from beamhall.client.protocol import ExecOptions, RemoteProcess
from beamhall.embedded.api.remote.sessions import until_first
from beamhall.embedded.api.remote.websocket import WebSocket
from beamhall.kernel.errors import ApiError, BadRequest, status_of
from beamhall.kernel.objects import Object

_PROBE_S = 5.0
_CHANNEL_OF = {"stdout": STDOUT, "stderr": STDERR}


class CommandSession:
    """One client with one process.

    Args:
        websocket: The client, accepted.
        channels: How its messages are written.
        process: The process.
        options: What the client wants of it.
    """

    def __init__(self, websocket: WebSocket, channels: Channels, process: RemoteProcess, options: ExecOptions) -> None:
        self._websocket = websocket
        self._channels = channels
        self._process = process
        self._options = options
        self._is_writing = False

    async def run(self, closing: asyncio.Event) -> None:
        """Serve until the process has ended, the client is gone, or the service stops."""
        # A first message, which says nothing: clients may wait for it to know that the streams are there.
        await self._say_nothing()
        await until_first(self._give(), self._take(), self._probe(), closing.wait())

    async def _give(self) -> None:
        """Send the process's output, and then how it ended."""
        try:
            async for name, data in self._process.output():
                await self._send(_CHANNEL_OF[name], data)
            status = exit_status(await self._process.wait())
        except ApiError as error:
            status = status_of(error)
        await self._end(status)

    async def _take(self) -> None:
        """Pass on what the client sends, until it is gone."""
        try:
            while (message := await self._websocket.receive()) is not None:
                channel, data = self._channels.decode(message)
                if channel == STDIN and self._options.stdin:
                    self._is_writing = True
                    await self._process.write(data)
                    self._is_writing = False
                elif channel == CLOSE and data[:1] == bytes((STDIN,)):
                    await self._process.close_stdin()
                elif channel == RESIZE and (size := read_size(data)) is not None:
                    await self._process.resize(*size)
        except BadRequest as error:
            await self._end(status_of(error))

    async def _probe(self) -> None:
        """See that a client has gone while its input is not taken: nothing of it is read then, not even its end."""
        while await asyncio.sleep(_PROBE_S, result=True):
            if self._is_writing and not await self._say_nothing():
                return

    async def _say_nothing(self) -> bool:
        return await self._send(STDOUT if self._options.stdout else STDERR if self._options.stderr else ERROR, b"")

    async def _send(self, channel: int, data: bytes) -> bool:
        """Send a message. False if the client is gone."""
        return await self._websocket.send_on(self._channels, channel, data)

    async def _end(self, status: Object) -> None:
        await self._send(ERROR, msgspec.json.encode(status))
        await self._websocket.close()
