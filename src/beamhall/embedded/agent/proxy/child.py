"""The proxy process: listens where it is told and passes connections on, taking the endpoints in turn.

    python -m beamhall.embedded.agent.proxy.child NAME PODS

NAME is the abstract Unix socket where the service tells it its routes, one JSON line a table; PODS the directory of
the Pods that run. When the service goes, the process stays as long as there are Pods, since they may talk to each
other, and the next service finds it by its name. Only the standard library, so that it is small. ``link`` is the other
end.
"""

import asyncio
import contextlib
import errno
import itertools
import json
import os
import socket
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

VERSION = 1
"""What the two ends say; an old process is replaced."""

Address = tuple[str, int]

_CONNECT_TIMEOUT_S = 5.0
_LOOK_S = 3.0
_LINE_LIMIT = 64 * 1024 * 1024
_PEER = struct.Struct("3i")


def control_address(name: str) -> str:
    """Give the abstract socket address of a proxy."""
    return f"\0beamhall-proxy-{name}"


def is_our_user(connection: socket.socket) -> bool:
    """Tell whether the other end of a Unix socket belongs to this user: abstract names have no permissions."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    return bool(_PEER.unpack(raw)[1] == os.geteuid())


class Side(asyncio.Protocol):
    """One side of a passed-on connection; what it receives it gives to the other side, at the other side's pace."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: Side | None = None
        self.is_lost = False

    def join(self, other: "Side") -> None:
        """Make two sides one connection."""
        self.other, other.other = other, self
        for side in (self, other):
            if side.is_lost:
                side.connection_lost(None)
            elif side.transport is not None:
                side.transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the other side before reading."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Pass on."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        """Pass the end of one direction on; the other direction stays open."""
        transport = self.other.transport if self.other is not None else None
        if transport is not None and transport.can_write_eof() and not transport.is_closing():
            transport.write_eof()
            return True
        return False

    def pause_writing(self) -> None:
        """This side is slow: the other one is not read for a while."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """This side has caught up."""
        if self.other is not None and self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the other side too: abruptly if this one ended so."""
        self.is_lost = True
        transport = self.other.transport if self.other is not None else None
        if transport is not None:
            transport.abort() if exc is not None else transport.close()


class Port:
    """One listening address.

    Attributes:
        targets: Who serves it.
    """

    def __init__(self, listener: socket.socket, targets: Sequence[Address]) -> None:
        self.targets = targets
        self._listener = listener
        self._turn = itertools.count()

    async def serve(self, connections: asyncio.TaskGroup) -> None:
        """Accept until cancelled; each connection is passed on in a task of its own, which goes on then."""
        loop = asyncio.get_running_loop()
        with contextlib.closing(self._listener):
            while True:
                try:
                    connection, _ = await loop.sock_accept(self._listener)
                except OSError as error:
                    if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ECONNABORTED):
                        raise
                    await asyncio.sleep(0.1)
                    continue
                connections.create_task(self._pass_on(connection))

    async def _pass_on(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = Side()
        for target in self._in_turn():
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    await loop.create_connection(lambda: back, *target)
                break
        else:
            # As if nothing listened: the client sees "connection reset", not an empty answer.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
            return
        front = Side()
        try:
            await loop.connect_accepted_socket(lambda: front, connection)
        except OSError:
            assert back.transport is not None
            back.transport.abort()
            return
        front.join(back)

    def _in_turn(self) -> Iterator[Address]:
        first = next(self._turn)
        n = len(self.targets)
        return (self.targets[(first + i) % n] for i in range(n))


class Proxy:
    """All listening addresses.

    Args:
        tasks: Runs them.
    """

    def __init__(self, tasks: asyncio.TaskGroup) -> None:
        self._tasks = tasks
        self._ports: dict[Address, tuple[Port, asyncio.Task[None]]] = {}

    def set_routes(self, routes: Mapping[Address, Sequence[Address]]) -> dict[str, str]:
        """Listen where the routes say, and nowhere else; connections that are open go on.

        Returns:
            Why it could not be listened, by ``address:port``.
        """
        for listen in [listen for listen in self._ports if listen not in routes]:
            self._ports.pop(listen)[1].cancel()
        failed: dict[str, str] = {}
        for listen, targets in routes.items():
            if listen in self._ports:
                self._ports[listen][0].targets = targets
                continue
            try:
                port = Port(_listen(listen), targets)
            except OSError as error:
                failed[f"{listen[0]}:{listen[1]}"] = os.strerror(error.errno or 0)
            else:
                self._ports[listen] = (port, self._tasks.create_task(port.serve(self._tasks)))
        return failed

    def close(self) -> None:
        """Listen nowhere any more."""
        self.set_routes({})


def _listen(address: Address) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(512)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


async def _follow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, proxy: Proxy) -> bool:
    """Take tables from a service until it goes; tell whether it said that this process is not needed any more."""
    writer.write(json.dumps({"version": VERSION}).encode() + b"\n")
    while line := await reader.readline():
        asked: dict[str, Any] = json.loads(line)
        if asked.get("end"):
            return True
        routes = {(listen[0], listen[1]): [(t[0], t[1]) for t in targets] for listen, targets in asked["routes"]}
        failed = proxy.set_routes(routes)
        writer.write(json.dumps({"failed": failed}).encode() + b"\n")
        await writer.drain()
    return False


async def _control(listener: socket.socket, proxy: Proxy, pods: str) -> None:
    """Serve one service after another; return when there is neither a service nor a Pod."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            async with asyncio.timeout(_LOOK_S):
                connection, _ = await loop.sock_accept(listener)
        except TimeoutError:
            if not has_running_pods(pods):
                return
            continue
        if not is_our_user(connection):
            connection.close()
            continue
        reader, writer = await asyncio.open_connection(sock=connection, limit=_LINE_LIMIT)
        with contextlib.suppress(OSError):
            if await _follow(reader, writer, proxy):
                return
        writer.close()


def has_running_pods(pods: str) -> bool:
    """Tell whether a container of some Pod runs: its sandbox has a shim that lives, and no exit record."""
    for run in Path(pods).glob("*/*/[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            pid = int(json.loads((run / "shim").read_text())["pid"])
            if not (run / "exit.json").exists() and Path(f"/proc/{pid}").exists():
                return True
    return False


async def serve(name: str, pods: str) -> None:
    """Be the proxy of this name until it is not needed; at once if there is one already."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(control_address(name))
    except OSError:
        return
    listener.listen(4)
    listener.setblocking(False)
    async with asyncio.TaskGroup() as tasks:
        proxy = Proxy(tasks)
        await _control(listener, proxy, pods)
        proxy.close()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2]))
