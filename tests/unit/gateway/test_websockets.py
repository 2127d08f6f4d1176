"""WebSockets through the front door: plain and TLS, refused before they begin, and with no end to patience."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
from prometheus_client import CollectorRegistry
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from beamhall.app.certificates import ensure_certificates
from beamhall.client.http_exec import upgrade_headers
from beamhall.gateway.access import AccessRules
from beamhall.gateway.front import Front
from beamhall.gateway.listener import Listener, bind

BEARER = {"authorization": "Bearer t0ken"}
CHUNK = b"x" * 65536


class Echo:
    """Sends back what it gets; at ``/k8s/flood``, sends without end. Counts what it sent."""

    def __init__(self) -> None:
        self.n_sent = 0
        self.is_over = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        websocket = WebSocket(scope, receive, send)
        await websocket.accept(subprotocol=(scope["subprotocols"] or [None])[0])
        try:
            if scope["path"].endswith("/flood"):
                while True:
                    await websocket.send_bytes(CHUNK)
                    self.n_sent += 1
            await websocket.send_text(scope["state"]["user"].name)
            while True:
                await websocket.send_bytes(await websocket.receive_bytes())
        except (WebSocketDisconnect, OSError):
            self.is_over.set()


@asynccontextmanager
async def _served(tmp_path: Path, echo: Echo) -> AsyncIterator[tuple[httpx2.AsyncClient, httpx2.AsyncClient]]:
    tls, ca = ensure_certificates(tmp_path / "tls", ["127.0.0.1"], datetime.now(UTC))
    front = Front(AccessRules("t0ken"), {"/k8s": echo}, list, CollectorRegistry())
    listener = bind("127.0.0.1", 0)
    place = f"127.0.0.1:{listener.getsockname()[1]}"
    trust = ssl.create_default_context(cadata=ca)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(Listener(front.application(), listener, tls).run())
        async with (
            httpx2.AsyncClient(base_url=f"http://{place}", trust_env=False) as plain,
            httpx2.AsyncClient(base_url=f"https://{place}", verify=trust, trust_env=False) as secure,
        ):
            yield plain, secure
        serving.cancel()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def clients(tmp_path: Path, echo: Echo) -> AsyncIterator[tuple[httpx2.AsyncClient, httpx2.AsyncClient]]:
    async with _served(tmp_path, echo) as clients:
        yield clients


async def test_websockets_are_served_plain_and_over_tls(clients: tuple[httpx2.AsyncClient, ...]) -> None:
    for client in clients:
        async with client.websocket("/k8s/echo", headers=BEARER, max_message_size_bytes=2**20) as websocket:
            assert await websocket.receive_text() == "owner"
            await websocket.send_bytes(CHUNK * 2)
            assert await websocket.receive_bytes() == CHUNK * 2


@pytest.mark.parametrize(
    ("headers", "code", "reason"),
    [
        ({}, 401, "Unauthorized"),
        ({"authorization": "Bearer wrong"}, 401, "Unauthorized"),
        (BEARER | {"origin": "http://evil.example"}, 403, "Forbidden"),
        (BEARER | {"host": "rebound.example"}, 403, "Forbidden"),
    ],
)
async def test_what_may_not_pass_is_refused_with_a_status(
    clients: tuple[httpx2.AsyncClient, ...], headers: dict[str, str], code: int, reason: str
) -> None:
    for path in ("/k8s/echo", "/healthz", "/login?token=t0ken"):
        answer = await clients[0].get(path, headers=upgrade_headers() | headers)
        assert answer.status_code == code
        assert answer.json()["reason"] == reason
        assert answer.headers["connection"] == "close", "the server ends it, so no client may use it again"


async def test_a_client_that_does_not_read_stops_the_sender(
    clients: tuple[httpx2.AsyncClient, ...], echo: Echo
) -> None:
    async with clients[0].stream("GET", "/k8s/flood", headers=upgrade_headers() | BEARER) as answer:
        assert answer.status_code == 101
        seen = -1
        async with asyncio.timeout(60):
            while seen != echo.n_sent or not seen:  # until it stands still
                seen = echo.n_sent
                await asyncio.sleep(0.3)
        assert seen * len(CHUNK) < 64 * 2**20  # what the kernel's own buffers hold
    async with asyncio.timeout(60):
        await echo.is_over.wait()
