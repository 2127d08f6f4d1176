"""One connection to a port of a Pod, between a socket and whatever carries it to the client.

Knows neither WebSockets nor frames. Next: ``tunnel`` and ``forwarding``, which carry several.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

from beamhall.embedded.api.pod_streams import PodStreams
from beamhall.kernel.errors import ApiError
from beamhall.kernel.objects import ReadOnlyObject, name_of, namespace_of, uid_of

CHUNK_BYTES = 32 * 1024
_CHUNKS_AHEAD = 16


class PodConnection:
    """A connection of a client to a port of a Pod.

    Args:
        port: The port.
        send: Sends bytes to the client; it waits while the client does not take them.

    Attributes:
        is_stopped: Whether it is over for the client.
        incoming: What the client sends; None: it will send no more. What comes beyond its limit waits.
    """

    def __init__(self, port: int, send: Callable[[bytes], Awaitable[object]]) -> None:
        self.port = port
        self.incoming: asyncio.Queue[bytes | None] = asyncio.Queue(_CHUNKS_AHEAD)
        self._send = send
        self._tasks: list[asyncio.Task[None]] = []
        self.is_stopped = False

    async def run(self, streams: PodStreams, pod: ReadOnlyObject) -> str:
        """Carry bytes in both directions until the Pod has ended the connection.

        Returns:
            Empty, or why there was no connection, as a person is to read it.
        """
        try:
            connection = await streams.connect(pod, self.port)
        except ApiError as error:
            return self._failure(pod, error.message)
        except OSError as error:
            return self._failure(
                pod, os.strerror(error.errno).lower() if error.errno else str(error) or "no answer in time"
            )
        with connection:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read(connection))
                writing = tasks.create_task(self._write(connection))
                reading.add_done_callback(lambda _: writing.cancel())
                self._tasks = [reading, writing]
                if self.is_stopped:
                    self.stop()
        return ""

    def stop(self) -> None:
        """Break it off: the client wants no more of it."""
        self.is_stopped = True
        for task in self._tasks:
            task.cancel()

    def drop_incoming(self) -> None:
        """Let go who waits to add to what nobody takes any more."""
        while not self.incoming.empty():
            self.incoming.get_nowait()

    def _failure(self, pod: ReadOnlyObject, why: str) -> str:
        where = f"pod {name_of(pod)}_{namespace_of(pod)}, uid {uid_of(pod)}"
        return f"error forwarding port {self.port} to {where}: unable to forward port: {why}"

    async def _read(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):  # a reset ends it too
            while data := await loop.sock_recv(connection, CHUNK_BYTES):
                await self._send(data)

    async def _write(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        is_open = True
        while (data := await self.incoming.get()) is not None:
            if is_open:
                try:
                    await loop.sock_sendall(connection, data)
                except OSError:  # the Pod takes no more; what comes is dropped until it ends the connection
                    is_open = False
        with suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
