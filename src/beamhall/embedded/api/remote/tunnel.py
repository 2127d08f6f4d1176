"""Ports of a Pod over SPDY in a WebSocket: what ``kubectl port-forward`` speaks.

For each connection the client opens two streams, ``error`` and ``data``, that name the port and share a ``requestid``.
Next: ``spdy`` for the frames, ``pumping`` for one connection.
Source: KEP-4006; ``staging/src/k8s.io/kubelet/pkg/cri/streaming/portforward/httpstream.go``.
"""

import asyncio
from dataclasses import dataclass

from beamhall.embedded.api.pod_streams import PodStreams
from beamhall.embedded.api.remote.pumping import PodConnection
from beamhall.embedded.api.remote.sessions import until_first
from beamhall.embedded.api.remote.spdy import (
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    Data,
    Decoder,
    Encoder,
    Frame,
    GoAway,
    Ping,
    Reset,
    SpdyError,
    SynReply,
    SynStream,
)
from beamhall.embedded.api.remote.websocket import WebSocket
from beamhall.kernel.objects import ReadOnlyObject

PROTOCOL = "SPDY/3.1+portforward.k8s.io"

_PAIRS_LIMIT = 512
_PROBE_S = 5.0


@dataclass(slots=True)
class _Pair:
    """The two streams of one connection, 0 while they are missing."""

    port: int
    error: int = 0
    data: int = 0
    connection: PodConnection | None = None
    task: asyncio.Task[None] | None = None


class Tunnel:
    """One client's tunnel to the ports of one Pod.

    Args:
        websocket: The client, accepted.
        streams: Who reaches into Pods.
        pod: The Pod.
    """

    def __init__(self, websocket: WebSocket, streams: PodStreams, pod: ReadOnlyObject) -> None:
        self._websocket = websocket
        self._streams = streams
        self._pod = pod
        self._encoder = Encoder()
        self._pairs: dict[str, _Pair] = {}
        self._by_data: dict[int, _Pair] = {}
        self._is_waiting = False

    async def run(self, closing: asyncio.Event) -> None:
        """Serve until the client is gone or the service stops."""
        async with asyncio.TaskGroup() as tasks:
            await until_first(self._take(tasks), self._probe(), closing.wait())
            for pair in self._pairs.values():
                if pair.task is not None:
                    pair.task.cancel()

    async def _take(self, tasks: asyncio.TaskGroup) -> None:
        decoder = Decoder()
        try:
            while (message := await self._websocket.receive()) is not None:
                for frame in decoder.feed(message):
                    await self._on_frame(frame, tasks)
        except SpdyError:
            await self._send(GoAway(0, PROTOCOL_ERROR))

    async def _on_frame(self, frame: Frame, tasks: asyncio.TaskGroup) -> None:
        match frame:
            case SynStream():
                await self._on_stream(frame, tasks)
            case Data(stream, data, is_last):
                await self._on_data(stream, data, is_last=is_last)
            case Reset(stream, _):
                self._on_reset(stream)
            case Ping(number) if number % 2:
                await self._send(frame)

    async def _on_stream(self, frame: SynStream, tasks: asyncio.TaskGroup) -> None:
        found = _read_headers(frame)
        if found is None or len(self._pairs) >= _PAIRS_LIMIT:
            await self._send(Reset(frame.stream, PROTOCOL_ERROR if found is None else REFUSED_STREAM))
            return
        request, kind, port = found
        pair = self._pairs.setdefault(request, _Pair(port))
        if getattr(pair, kind) or pair.port != port:
            await self._send(Reset(frame.stream, PROTOCOL_ERROR))
            return
        await self._send(SynReply(frame.stream))
        if kind == "error":
            pair.error = frame.stream
        else:
            pair.data = frame.stream
            self._by_data[frame.stream] = pair
            pair.connection = PodConnection(port, lambda data: self._send(Data(pair.data, data)))
            if frame.is_last:
                pair.connection.incoming.put_nowait(None)
        if pair.error and pair.connection is not None:
            pair.task = tasks.create_task(self._serve(request, pair, pair.connection))

    async def _serve(self, request: str, pair: _Pair, connection: PodConnection) -> None:
        try:
            failure = await connection.run(self._streams, self._pod)
            await self._send(Data(pair.error, failure.encode(), is_last=True))
            await self._send(Data(pair.data, b"", is_last=True))
        finally:
            self._pairs.pop(request, None)
            self._by_data.pop(pair.data, None)
            connection.drop_incoming()

    async def _on_data(self, stream: int, data: bytes, *, is_last: bool) -> None:
        pair = self._by_data.get(stream)
        if pair is None or pair.connection is None:  # an error stream, or a connection that has ended
            return
        incoming = pair.connection.incoming
        self._is_waiting = True
        if data:
            await incoming.put(data)
        if is_last:
            await incoming.put(None)
        self._is_waiting = False

    def _on_reset(self, stream: int) -> None:
        pair = self._by_data.get(stream)
        if pair is not None and pair.connection is not None:
            pair.connection.stop()

    async def _probe(self) -> None:
        """See that a client has gone while a Pod takes nothing of it: nothing is read then, not even its end."""
        number = 0
        while await asyncio.sleep(_PROBE_S, result=True):
            number += 2
            if self._is_waiting and not await self._send(Ping(number)):
                return

    async def _send(self, frame: Frame) -> bool:
        """Send a frame. False if the client is gone."""
        try:
            await self._websocket.send(self._encoder.encode(frame))
        except OSError:
            return False
        return True


def _read_headers(frame: SynStream) -> tuple[str, str, int] | None:
    """Give the request that a stream belongs to, its kind, and the port; None if they cannot be read."""
    kind, port = frame.headers.get("streamtype", ""), frame.headers.get("port", "")
    if kind not in ("error", "data") or not port.isdecimal() or not 0 < int(port) < 65536:
        return None
    # Clients before Kubernetes 1.4 name no request: their data stream is the one after the error stream.
    request = frame.headers.get("requestid") or f"stream {frame.stream - (2 if kind == 'data' else 0)}"
    return request, kind, int(port)
