"""The front door over real connections: shapes of refusals, login, health, metrics, TLS beside plain HTTP."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from beamhall.app.certificates import ensure_certificates
from beamhall.gateway.access import AccessRules
from beamhall.gateway.front import Front
from beamhall.gateway.listener import Listener, PortInUse, bind

TOKEN = "t0ken"
BEARER = {"authorization": f"Bearer {TOKEN}"}


async def _who(scope: Scope, receive: Receive, send: Send) -> None:
    user = Request(scope).state.user
    own = {"content-security-policy": "sandbox"} if scope["path"].endswith("/page") else {}
    await PlainTextResponse(f"{user.name} at {scope['path']}", headers=own)(scope, receive, send)


class Server:
    """A front door on a free port, with what a test needs to call it."""

    def __init__(self, port: int, ca: str, waiting: list[str]) -> None:
        self.waiting = waiting
        self.port = port
        self.plain = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False)
        trust = ssl.create_default_context(cadata=ca)
        self.tls = httpx2.AsyncClient(base_url=f"https://127.0.0.1:{port}", verify=trust, trust_env=False)


@asynccontextmanager
async def _served(tmp_path: Path) -> AsyncIterator[Server]:
    tls, ca = ensure_certificates(tmp_path / "tls", ["localhost", "127.0.0.1"], datetime.now(UTC))
    waiting: list[str] = []
    front = Front(AccessRules(TOKEN), {"/k8s": _who}, lambda: waiting, CollectorRegistry())
    listener = bind("127.0.0.1", 0)
    server = Server(listener.getsockname()[1], ca, waiting)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(Listener(front.application(), listener, tls).run())
        async with server.plain, server.tls:
            yield server
        serving.cancel()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with _served(tmp_path) as server:
        yield server


async def test_plain_and_tls_are_served_on_one_port(server: Server) -> None:
    for client in (server.plain, server.tls):
        answer = await client.get("/k8s/api", headers=BEARER)
        assert (answer.status_code, answer.text) == (200, "owner at /k8s/api")


async def test_kubernetes_paths_refuse_with_a_status(server: Server) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}):
        answer = await server.plain.get("/k8s/api/v1/pods", headers=headers)
        body = answer.json()
        assert answer.status_code == 401
        assert (body["kind"], body["status"], body["reason"], body["code"]) == (
            "Status",
            "Failure",
            "Unauthorized",
            401,
        )


async def test_other_paths_refuse_in_their_own_shape(server: Server) -> None:
    answer = await server.plain.get("/metrics")
    assert answer.status_code == 401
    assert answer.json()["reason"] == "Unauthorized"
    page = await server.plain.get("/", headers={"accept": "text/html"})
    assert page.status_code == 401
    assert "<p>" in page.text


async def test_a_rebound_name_and_a_foreign_page_are_refused_even_with_the_token(server: Server) -> None:
    rebound = await server.plain.get("/k8s/api", headers=BEARER | {"host": "evil.example.com"})
    foreign = await server.plain.get("/k8s/api", headers=BEARER | {"origin": "http://evil.example.com"})
    assert (rebound.status_code, foreign.status_code) == (403, 403)
    assert rebound.json()["reason"] == "Forbidden"


async def test_the_login_link_gives_a_cookie_that_opens_the_page(server: Server) -> None:
    wrong = await server.plain.get("/login", params={"token": "x"})
    assert wrong.status_code == 401
    login = await server.plain.get("/login", params={"token": TOKEN})
    cookie = login.headers["set-cookie"]
    assert (login.status_code, login.headers["location"]) == (303, "/")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    page = await server.plain.get("/")
    assert page.status_code == 200
    assert "Beamhall" in page.text
    assert (await server.plain.get("/page.js")).status_code == 200


async def test_health_is_open_and_says_what_is_not_ready(server: Server) -> None:
    assert (await server.plain.get("/healthz")).text == "ok\n"
    assert (await server.plain.get("/readyz")).status_code == 200
    server.waiting.append("scheduler")
    answer = await server.plain.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "not ready: scheduler\n")


async def test_metrics_count_requests(server: Server) -> None:
    await server.plain.get("/k8s/api", headers=BEARER)
    text = (await server.plain.get("/metrics", headers=BEARER)).text
    assert 'beamhall_http_requests_total{api="k8s",code="200",method="GET"} 1.0' in text


async def test_unknown_paths_and_methods_get_plain_errors(server: Server) -> None:
    assert (await server.plain.get("/nothing", headers=BEARER)).json()["reason"] == "NotFound"
    assert (await server.plain.post("/healthz")).json()["reason"] == "MethodNotAllowed"


async def test_a_silent_or_rude_client_does_not_disturb_others(server: Server) -> None:
    with (
        socket.create_connection(("127.0.0.1", server.port)) as silent,
        socket.create_connection(("127.0.0.1", server.port)) as rude,
    ):
        rude.sendall(b"\x16\x03\x01 this is no handshake")
        silent.setblocking(False)
        assert (await server.plain.get("/healthz")).status_code == 200


def test_a_port_in_use_is_named_with_the_mend() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(PortInUse, match=f"port {port} on 127.0.0.1 is in use.*--port"):
            bind("127.0.0.1", port)


async def test_what_shows_pages_of_users_may_be_stricter_with_them(server: Server) -> None:
    for path, policy in (("/k8s/page", "sandbox"), ("/k8s/x", "default-src 'self'; frame-ancestors 'none'")):
        headers = (await server.plain.get(path, headers=BEARER)).headers
        assert headers["content-security-policy"].startswith(policy)
        assert headers["x-content-type-options"] == "nosniff"
