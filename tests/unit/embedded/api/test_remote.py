"""Streams into Pods as clients of every kind ask for them, the unruly too."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Scope

from beamhall.client.protocol import ExecOptions, RemoteProcess, StreamName
from beamhall.embedded.api.factory import Api, create_app
from beamhall.embedded.api.remote import commands, spdy, tunnel
from beamhall.embedded.api.remote.spdy import Data, Decoder, Encoder, Frame, GoAway, Ping, Reset, SynReply, SynStream
from beamhall.kernel.errors import BadRequest, InternalError
from beamhall.kernel.identity import User
from beamhall.kernel.kinds import POD
from beamhall.kernel.objects import ReadOnlyObject
from tests.api_server import ADMIN, as_admin
from tests.unit.embedded.api.conftest import pod, until

EXEC = "command=cat&stdin=true&stdout=true"


class Echo:
    """A process that gives back what it gets, in upper case, and ends with its input; 5 is its exit code."""

    def __init__(self) -> None:
        self.got: asyncio.Queue[bytes] = asyncio.Queue(1)
        self.sizes: list[tuple[int, int]] = []

    async def output(self) -> AsyncIterator[tuple[StreamName, bytes]]:
        while data := await self.got.get():
            yield "stdout", data.upper()

    async def write(self, data: bytes) -> None:
        await self.got.put(data)

    async def close_stdin(self) -> None:
        await self.got.put(b"")

    async def resize(self, rows: int, columns: int) -> None:
        self.sizes.append((rows, columns))

    async def wait(self) -> int:
        return 5


class Streams:
    """A Pod whose ports are this machine's, and whose processes are ``Echo``."""

    def __init__(self) -> None:
        self.process = Echo()
        self.is_over = asyncio.Event()
        self.failure: Exception | None = None

    def check(self, pod: ReadOnlyObject, container: str) -> None:
        if container not in ("", "main"):
            raise BadRequest(f"container {container} is not valid for pod {pod['metadata']['name']}")

    @asynccontextmanager
    async def exec(self, pod: ReadOnlyObject, options: ExecOptions) -> AsyncIterator[RemoteProcess]:
        if self.failure:
            raise self.failure
        try:
            yield self.process
        finally:
            self.is_over.set()

    def attach(self, pod: ReadOnlyObject, options: ExecOptions) -> AbstractAsyncContextManager[RemoteProcess]:
        return self.exec(pod, options)

    async def connect(self, pod: ReadOnlyObject, port: int) -> socket.socket:
        connection = socket.socket()
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        except OSError:
            connection.close()
            raise
        return connection


class Client:
    """The other end of one WebSocket, by the messages of ASGI."""

    def __init__(self) -> None:
        self.to_server: asyncio.Queue[Message] = asyncio.Queue()
        self.sent: list[Message] = []
        self.news = asyncio.Event()
        self.is_gone = False

    def send(self, data: bytes | str) -> None:
        self.to_server.put_nowait({"type": "websocket.receive", "bytes" if isinstance(data, bytes) else "text": data})

    def leave(self) -> None:
        self.is_gone = True
        self.to_server.put_nowait({"type": "websocket.disconnect", "code": 1006})

    async def take(self, message: Message) -> None:
        if self.is_gone:
            raise OSError("gone")
        self.sent.append(message)
        self.news.set()

    @property
    def data(self) -> list[bytes]:
        """Give the messages that say something."""
        found = [
            m.get("bytes") or str(m.get("text") or "").encode() for m in self.sent if m["type"] == "websocket.send"
        ]
        return [data for data in found if len(data) > 1]

    @property
    def status(self) -> Any:
        """Give how the request was refused: HTTP status and message."""
        return self.sent[0]["status"], json.loads(self.sent[1]["body"])["message"]


async def serve(app: ASGIApp, scope: Scope, client: Client) -> None:
    await app(scope, client.to_server.get, client.take)


Ask = Callable[..., Awaitable[Client]]


@pytest.fixture
def streams() -> Streams:
    return Streams()


@pytest.fixture
async def ask(api: Api, client: Any, streams: Streams) -> AsyncIterator[Ask]:
    """Open WebSockets; they are ended with the test, and everything on the server's side with them."""
    await client.create(POD, pod())
    app = create_app(api, None, streams)
    opened: list[Client] = []
    async with asyncio.TaskGroup() as tasks:

        async def open_(path: str, query: str = "", *protocols: str, user: User = ADMIN) -> Client:
            made = Client()
            made.to_server.put_nowait({"type": "websocket.connect"})
            scope = {
                "type": "websocket", "path": f"/api/v1/namespaces/default/pods/{path}", "query_string": query.encode(),
                "headers": [], "subprotocols": list(protocols),
            }  # fmt: skip
            tasks.create_task(serve(as_admin(app, user), scope, made))
            opened.append(made)
            await until(lambda: made.sent)
            return made

        yield open_
        for one in opened:
            one.leave()


@pytest.fixture
async def server() -> AsyncIterator[Callable[..., Awaitable[int]]]:
    """Serve on ports of this machine until the test's end; give the port."""
    servers: list[asyncio.Server] = []

    async def serve(handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> int:
        servers.append(await asyncio.start_server(handle, "127.0.0.1", 0))
        return int(servers[-1].sockets[0].getsockname()[1])

    yield serve
    for one in servers:
        one.close()


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Give back all that is sent, in upper case."""
    writer.write((await reader.read()).upper())
    await writer.drain()
    writer.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


# Commands


@pytest.mark.parametrize(
    ("path", "query", "protocols", "code", "message"),
    [
        ("p/exec", "stdout=true", (), 400, "you must specify at least one command for the container"),
        ("p/exec", "command=ls", (), 400, "you must specify at least one of stdin, stdout, stderr"),
        ("p/exec", EXEC + "&tty=true&stderr=true", (), 400, "tty and stderr cannot both be true"),
        ("p/exec", EXEC + "&container=x", (), 400, "container x is not valid for pod p"),
        ("p/exec", EXEC, ("v9.channel.k8s.io",), 400, "none of the protocols is served: ['v9.channel.k8s.io']"),
        ("q/exec", EXEC, (), 404, 'pods "q" not found'),
        ("p/log", "", (), 404, "no WebSocket is served at"),
        ("p/portforward", "", ("v4.channel.k8s.io",), 400, 'query parameter "ports" is required'),
        ("p/portforward", "ports=80,x", ("v4.channel.k8s.io",), 400, "between 1 and 65535, not ['80,x']"),
        ("p/portforward", "ports=70000", ("v4.channel.k8s.io",), 400, "between 1 and 65535"),
    ],
)
async def test_what_cannot_be_served_is_refused_before_it_begins(
    ask: Ask, path: str, query: str, protocols: tuple[str, ...], code: int, message: str
) -> None:
    refused = await ask(path, query, *protocols)
    await until(lambda: len(refused.sent) == 2)
    assert refused.status[0] == code
    assert message in refused.status[1]


async def test_who_may_not_is_refused(ask: Ask) -> None:
    for path in ("p/exec", "p/attach", "p/portforward"):
        refused = await ask(path, EXEC, user=User("nobody", ()))
        await until(lambda refused=refused: len(refused.sent) == 2)  # type: ignore[misc]
        assert refused.status[0] == 403
        assert f'User "nobody" cannot create resource "pods/{path[2:]}"' in refused.status[1]


@pytest.mark.parametrize("protocol", ["", "v4.channel.k8s.io", "v5.channel.k8s.io"])
async def test_a_command_is_served_on_channels(ask: Ask, streams: Streams, protocol: str) -> None:
    client = await ask("p/exec", EXEC, *([protocol] if protocol else []))
    assert client.sent[0]["subprotocol"] == (protocol or None)
    client.send(b'\x04{"Width":120,"Height":40}')
    client.send(b"\x04nonsense")
    client.send(b"\x00word")
    await until(lambda: client.data == [b"\x01WORD"])
    client.send(b"\xff\x00")
    await until(lambda: client.sent[-1]["type"] == "websocket.close")
    channel, status = client.data[-1][0], json.loads(client.data[-1][1:])
    assert (channel, status["reason"]) == (3, "NonZeroExitCode")
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "5"}]
    assert streams.process.sizes == [(40, 120)]
    assert streams.is_over.is_set()


async def test_base64_is_spoken(ask: Ask) -> None:
    client = await ask("p/attach", EXEC, "v4.base64.channel.k8s.io")
    client.send("0d29yZA==")
    await until(lambda: client.data == [b"1V09SRA=="])
    client.send("0***")
    await until(lambda: client.sent[-1]["type"] == "websocket.close")


async def test_input_that_was_not_asked_for_is_passed_by(ask: Ask, streams: Streams) -> None:
    client = await ask("p/exec", "command=cat&stdout=true")
    client.send(b"\x00word")
    client.send(b"\x07other")
    client.send(b"\xff\x00")
    await until(lambda: client.sent[-1]["type"] == "websocket.close")
    assert [data[0] for data in client.data] == [3]


async def test_what_fails_behind_the_checks_is_told_on_the_error_channel(ask: Ask, streams: Streams) -> None:
    streams.failure = InternalError("error executing command in container: no more processes")
    client = await ask("p/exec", EXEC)
    await until(lambda: client.sent[-1]["type"] == "websocket.close")
    status = json.loads(client.data[0][1:])
    assert (client.data[0][0], status["code"], status["reason"]) == (3, 500, "InternalError")


async def test_a_client_that_goes_ends_the_command(ask: Ask, streams: Streams) -> None:
    (await ask("p/exec", EXEC)).leave()
    await streams.is_over.wait()


async def test_a_client_that_goes_while_its_input_is_not_taken_is_missed(
    ask: Ask, streams: Streams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_PROBE_S", 0.01)
    streams.process.output = _silence  # type: ignore[method-assign]
    client = await ask("p/exec", "command=cat&stdin=true&stderr=true")
    for _ in range(5):
        client.send(b"\x00word")
    await until(lambda: client.to_server.qsize() == 3)  # one is taken, one is waited with, the rest is not read
    client.leave()
    await streams.is_over.wait()


async def _silence() -> AsyncIterator[tuple[StreamName, bytes]]:
    await asyncio.Event().wait()
    yield "stdout", b""


async def test_streams_end_when_the_service_stops(ask: Ask, api: Api, streams: Streams) -> None:
    await ask("p/exec", EXEC)
    forwarded = await ask("p/portforward", "ports=1", "v4.channel.k8s.io")
    api.closing.set()
    await streams.is_over.wait()
    await until(lambda: forwarded.sent[-1]["type"] == "websocket.close")


# Ports on channels


async def test_ports_have_a_channel_for_data_and_one_for_errors(ask: Ask, server: Any) -> None:
    first, closed = await server(shout), free_port()

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    second = await server(greet)
    client = await ask("p/portforward", f"ports={first}&ports={closed},{second}", "v4.channel.k8s.io")
    await until(lambda: len(client.data) >= 8)
    ports = [first, first, closed, closed, second, second]
    assert client.data[:6] == [bytes((i,)) + port.to_bytes(2, "little") for i, port in enumerate(ports)]
    texts = sorted(client.data[6:])
    assert texts[0].startswith(b"\x03error forwarding port ")
    assert texts[0].endswith(b"unable to forward port: connection refused")
    assert texts[1] == b"\x04hello"
    client.send(b"\x00word")
    client.send(b"\x02nobody is there")
    client.send(b"\x63nor here")
    assert not any(message["type"] == "websocket.close" for message in client.sent)


# Ports over SPDY


class Spdy:
    """A client of a tunnel."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._encoder = Encoder()
        self._decoder = Decoder()
        self._n_read = 0
        self.frames: list[Frame] = []

    def send(self, *frames: Frame) -> None:
        for frame in frames:
            self.client.send(self._encoder.encode(frame))

    def open(self, port: int, request: str = "0", stream: int = 1) -> None:
        names = {"port": str(port), "requestid": request}
        self.send(
            SynStream(stream, {"streamtype": "error", **names}),
            Data(stream, b"", is_last=True),
            SynStream(stream + 2, {"streamtype": "data", **names}),
        )

    async def until(self, *wanted: Frame) -> None:
        def has_come() -> bool:
            for data in self.client.data[self._n_read :]:
                self._n_read += 1
                self.frames += self._decoder.feed(data)
            return all(frame in self.frames for frame in wanted)

        await until(has_come)


@pytest.fixture
async def tunnelled(ask: Ask) -> Spdy:
    client = await ask("p/portforward", "", tunnel.PROTOCOL)
    assert client.sent[0]["subprotocol"] == tunnel.PROTOCOL
    return Spdy(client)


async def test_a_connection_is_two_streams(tunnelled: Spdy, server: Any) -> None:
    tunnelled.open(await server(shout))
    tunnelled.send(Data(3, b"wo"), Data(3, b"rd"), Data(3, b"", is_last=True))
    await tunnelled.until(
        SynReply(1), SynReply(3), Data(3, b"WORD"), Data(1, b"", is_last=True), Data(3, b"", is_last=True)
    )
    tunnelled.open(await server(shout), "0", 5)  # what has ended is forgotten
    tunnelled.send(Data(7, b"again", is_last=True))
    await tunnelled.until(Data(7, b"AGAIN"))


async def test_a_port_where_nobody_listens_ends_no_other_connection(tunnelled: Spdy, server: Any) -> None:
    port = free_port()
    tunnelled.open(await server(shout), "0", 1)
    tunnelled.open(port, "1", 5)
    await tunnelled.until(Data(7, b"", is_last=True))
    (failure,) = [f for f in tunnelled.frames if isinstance(f, Data) and f.stream == 5]
    assert failure.is_last
    assert failure.data.startswith(f"error forwarding port {port} to pod p_default, uid ".encode())
    assert failure.data.endswith(b"unable to forward port: connection refused")
    tunnelled.send(Data(3, b"word", is_last=True))
    await tunnelled.until(Data(3, b"WORD"))


async def test_streams_that_make_no_sense_are_reset(tunnelled: Spdy, server: Any) -> None:
    port = await server(shout)
    tunnelled.send(SynStream(1, {"streamtype": "other", "port": "80"}))
    tunnelled.send(SynStream(3, {"streamtype": "data", "port": "http"}))
    tunnelled.send(SynStream(5, {"streamtype": "data", "port": "70000"}))
    tunnelled.open(port, "a", 7)
    tunnelled.send(SynStream(11, {"streamtype": "data", "port": str(port), "requestid": "a"}))
    tunnelled.send(Data(99, b"of no stream"), Reset(99, 5), Ping(1), Ping(2))
    await tunnelled.until(*(Reset(stream, spdy.PROTOCOL_ERROR) for stream in (1, 3, 5, 11)), Ping(1))
    assert Ping(2) not in tunnelled.frames
    tunnelled.send(Data(9, b"word", is_last=True))
    await tunnelled.until(Data(9, b"WORD"))


async def test_clients_that_name_no_request_are_understood(tunnelled: Spdy, server: Any) -> None:
    port = str(await server(shout))
    tunnelled.send(
        SynStream(1, {"streamtype": "error", "port": port}), SynStream(3, {"streamtype": "data", "port": port})
    )
    tunnelled.send(Data(3, b"word", is_last=True))
    await tunnelled.until(Data(3, b"WORD"))


async def test_a_connection_that_the_client_breaks_off_is_closed(tunnelled: Spdy, server: Any) -> None:
    closed = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        closed.set()
        writer.close()

    tunnelled.open(await server(wait))
    await tunnelled.until(SynReply(3))
    tunnelled.send(Reset(3, 5))
    await tunnelled.until(Data(1, b"", is_last=True))
    await closed.wait()


async def test_what_is_no_spdy_ends_the_tunnel(tunnelled: Spdy) -> None:
    tunnelled.client.send(b"GET / HTTP/1.1\r\n\r\n")
    await tunnelled.until(GoAway(0, spdy.PROTOCOL_ERROR))


async def test_a_pod_that_takes_nothing_makes_the_client_wait(
    tunnelled: Spdy, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = asyncio.Event()

    async def stall(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await released.wait()
        writer.close()

    tunnelled.open(await server(stall))
    await tunnelled.until(SynReply(3))
    sent = 0
    async with asyncio.timeout(60):
        while tunnelled.client.to_server.qsize() < 50:  # until nothing is taken any more
            tunnelled.send(Data(3, b"x" * 65536))
            sent += 1
            await asyncio.sleep(0)
            await asyncio.sleep(0)
    assert sent < 1000  # what the queue and the sockets' own buffers hold
    released.set()
    await tunnelled.until(Data(3, b"", is_last=True))
