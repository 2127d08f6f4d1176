"""The port: plain HTTP and TLS on one listening socket, told apart by the first byte.

Browsers and curl come by plain HTTP on loopback. kubectl and client-go send a kubeconfig's token over TLS only, so the
same port answers TLS too, with a certificate of our own. A TLS client's first byte is 22, "handshake" (RFC 8446 §5.1);
no HTTP request starts so. uvicorn's protocols do the rest; its ``Server`` is not used: it wakes ten times a second.
"""

import asyncio
import contextlib
import errno
import socket
import ssl
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from beamhall.kernel.errors import UserError

_TLS_HANDSHAKE = b"\x16"
_FIRST_BYTE_TIMEOUT_S = 30.0

STALLED_S = 300.0
"""A connection is cut when its client has taken nothing of what was sent for so long."""


class PortInUse(UserError):
    """Another process listens where this one was told to.

    Its message says which address, and what to do.
    """


def bind(host: str, port: int) -> socket.socket:
    """Open the listening socket.

    Args:
        host: Address or name of this machine.
        port: TCP port; 0 takes any free one.

    Raises:
        PortInUse: Another process listens there.
        OSError: The address is not one of this machine, or the port needs privileges.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as err:
        listener.close()
        if err.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"port {port} on {host} is in use by another program; choose another with --port (0: any free one)"
            ) from err
        raise
    listener.listen(1024)
    listener.setblocking(False)
    return listener


class Listener:
    """Accepts connections and serves them with one ASGI application.

    Args:
        app: The application.
        listener: A listening, non-blocking socket; closed at the end.
        tls: The context for TLS connections.
        stalled_s: A connection whose client takes nothing for so long is cut.
    """

    def __init__(
        self, app: ASGIApp, listener: socket.socket, tls: ssl.SSLContext, stalled_s: float = STALLED_S
    ) -> None:
        self._stalled_s = stalled_s
        self._config = uvicorn.Config(
            app, http="httptools", ws="none", lifespan="off", log_config=None, access_log=False,
            server_header=False, date_header=False, proxy_headers=False, timeout_keep_alive=75,
            ws_per_message_deflate=False, ws_ping_interval=None,
        )  # fmt: skip
        self._config.load()
        self._config.ws_protocol_class = _websocket_protocol  # type: ignore[assignment]
        self._state = ServerState()
        self._listener = listener
        self._tls = tls

    async def run(self) -> None:
        """Serve until cancelled, then let requests under way end for a second."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as connections:
                while True:
                    try:
                        connection, _ = await loop.sock_accept(self._listener)
                    except OSError as err:
                        if err.errno not in (errno.EMFILE, errno.ENFILE, errno.ECONNABORTED):
                            raise
                        await asyncio.sleep(0.1)  # out of files: wait for others to be closed
                        continue
                    connections.create_task(self._admit(connection))
        finally:
            self._listener.close()
            await self._drain()

    async def _admit(self, connection: socket.socket) -> None:
        """Hand a connection to the HTTP protocol once its first byte tells plain from TLS."""
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(AttributeError):  # Linux has it; RFC 5482, and it counts a closed window too
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self._stalled_s * 1000))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # who vanished must not hold a stream for ever
        is_handed_over = False
        # A client that leaves, or speaks neither, costs nothing but its connection.
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_FIRST_BYTE_TIMEOUT_S):
                first = await _peek(connection)
            if first:
                is_handed_over = True
                await asyncio.get_running_loop().connect_accepted_socket(
                    self._protocol, connection, ssl=self._tls if first == _TLS_HANDSHAKE else None
                )
        if not is_handed_over:
            connection.close()

    def _protocol(self) -> asyncio.Protocol:
        factory = self._config.http_protocol_class
        return factory(config=self._config, server_state=self._state, app_state={})  # type: ignore[call-arg]

    async def _drain(self) -> None:
        for connection in list(self._state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                while tasks := set(self._state.tasks):
                    await asyncio.wait(tasks)
        for task in list(self._state.tasks):
            task.cancel()


def _websocket_protocol(**arguments: Any) -> asyncio.Protocol:
    """Make what serves a connection that becomes a WebSocket.

    Nobody is pinged: clients that read only now and then (the Kubernetes Python client) would be taken for dead.
    """
    from uvicorn.protocols.websockets.wsproto_impl import WSProtocol  # noqa: PLC0415  50 ms, at the first WebSocket

    return WSProtocol(**arguments)


async def _peek(connection: socket.socket) -> bytes:
    """Wait until a connection is readable and look at its first byte, leaving it there; empty at its end."""
    loop = asyncio.get_running_loop()
    readable = loop.create_future()

    def note() -> None:
        if not readable.done():
            readable.set_result(None)

    loop.add_reader(connection, note)
    try:
        await readable
    finally:
        loop.remove_reader(connection)
    return connection.recv(1, socket.MSG_PEEK)
