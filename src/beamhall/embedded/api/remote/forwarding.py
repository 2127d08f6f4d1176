"""Ports of a Pod on the channels of a WebSocket: what the Python clients' port forwarding speaks.

Port number i has channel 2i for its data and 2i+1 for its error; each begins with the port, two bytes, little-endian.
There is one connection to each port, and the WebSocket ends when they have all ended. Next: ``pumping``.
Source: ``staging/src/k8s.io/kubelet/pkg/cri/streaming/portforward/websocket.go``.
"""

import asyncio
import struct
from collections.abc import Sequence
from contextlib import suppress

from beamhall.client.channels import Channels
from beamhall.embedded.api.pod_streams import PodStreams
from beamhall.embedded.api.remote.pumping import PodConnection
from beamhall.embedded.api.remote.sessions import until_first
from beamhall.embedded.api.remote.websocket import WebSocket
from beamhall.kernel.errors import BadRequest
from beamhall.kernel.objects import ReadOnlyObject

PROTOCOLS = ("v4.channel.k8s.io", "v4.base64.channel.k8s.io")

_PORTS_LIMIT = 100
_PROBE_S = 5.0


def read_ports(values: Sequence[str]) -> list[int]:
    """Read the ports of a request, given as ``ports=80&ports=81`` or ``ports=80,81``.

    Raises:
        BadRequest: There are none, too many, or one is no port.
    """
    texts = [text for value in values for text in value.split(",")]
    if not texts:
        raise BadRequest('query parameter "ports" is required')
    ports = [int(text) if text.isdecimal() else 0 for text in texts]
    if not all(0 < port < 65536 for port in ports) or len(ports) > _PORTS_LIMIT:
        raise BadRequest(f"ports must be 1 to {_PORTS_LIMIT} numbers between 1 and 65535, not {values}")
    return ports


class Forwarding:
    """One client's connections to the ports of one Pod.

    Args:
        websocket: The client, accepted.
        channels: How its messages are written.
        ports: The ports, in the order of their channels.
    """

    def __init__(self, websocket: WebSocket, channels: Channels, ports: Sequence[int]) -> None:
        self._websocket = websocket
        self._channels = channels
        self._connections = [self._connection(2 * i, port) for i, port in enumerate(ports)]
        self._is_waiting = False

    def _connection(self, channel: int, port: int) -> PodConnection:
        return PodConnection(port, lambda data: self._send(channel, data))

    async def run(self, streams: PodStreams, pod: ReadOnlyObject, closing: asyncio.Event) -> None:
        """Serve until all connections have ended, the client is gone, or the service stops."""
        for i, connection in enumerate(self._connections):
            for channel in (2 * i, 2 * i + 1):
                await self._send(channel, struct.pack("<H", connection.port))
        await until_first(self._take(), self._probe(), self._serve(streams, pod), closing.wait())
        await self._websocket.close()

    async def _serve(self, streams: PodStreams, pod: ReadOnlyObject) -> None:
        async with asyncio.TaskGroup() as tasks:
            for i, connection in enumerate(self._connections):
                tasks.create_task(self._serve_one(2 * i + 1, connection, streams, pod))

    async def _serve_one(
        self, error_channel: int, connection: PodConnection, streams: PodStreams, pod: ReadOnlyObject
    ) -> None:
        failure = await connection.run(streams, pod)
        connection.stop()
        connection.drop_incoming()
        if failure:
            await self._send(error_channel, failure.encode())

    async def _take(self) -> None:
        """Pass on what the client sends, until it is gone or sends what is none of it."""
        with suppress(BadRequest):
            while (message := await self._websocket.receive()) is not None:
                channel, data = self._channels.decode(message)
                if channel % 2 or channel // 2 >= len(self._connections):
                    continue
                connection = self._connections[channel // 2]
                self._is_waiting = True
                if data and not connection.is_stopped:
                    await connection.incoming.put(data)
                self._is_waiting = False

    async def _probe(self) -> None:
        """See that a client has gone while a Pod takes nothing of it: nothing is read then, not even its end."""
        while await asyncio.sleep(_PROBE_S, result=True):
            if self._is_waiting and not await self._send(1, b""):
                return

    async def _send(self, channel: int, data: bytes) -> bool:
        """Send a message. False if the client is gone."""
        return await self._websocket.send_on(self._channels, channel, data)
