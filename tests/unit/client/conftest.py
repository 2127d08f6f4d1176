"""A kube-apiserver of a few lines, that answers what a test says and notes what it was asked."""

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from beamhall.client.http import HttpClient, HttpSettings
from beamhall.client.kubeconfig import load_kubeconfig

Answer = Callable[[Request], Response] | Response


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass
class FakeServer:
    """Answers each request with the next answer; the last one stays."""

    answers: list[Answer] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def says(self, *answers: Answer | Mapping[str, Any]) -> None:
        self.answers = [JSONResponse(answer) if isinstance(answer, Mapping) else answer for answer in answers]

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        path = request.scope["raw_path"].decode()
        asked = Asked(request.method, path, dict(request.query_params), dict(request.headers), body)
        self.asked.append(asked)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer if isinstance(answer, Response) else answer(request)

    @property
    def last(self) -> Asked:
        return self.asked[-1]


def refusal(code: int, headers: Mapping[str, str] | None = None, **status: Any) -> Response:
    return JSONResponse({"kind": "Status", "code": code} | status, code, headers)


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@asynccontextmanager
async def serving(server: FakeServer, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve on a free port; gives the address."""
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    app = Starlette(routes=[Route("/{path:path}", server.answer, methods=methods)])
    config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False)
    running = uvicorn.Server(config)
    config.load()
    config.ssl = tls
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(running.serve(sockets=[listener]))
            try:
                yield f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                running.should_exit = True


def write_kubeconfig(path: Path, url: str, user: Mapping[str, Any] | None = None, authority: str = "") -> Path:
    """Write a kubeconfig as JSON, which is YAML."""
    trust = {"certificate-authority": authority} if authority else {}
    document = {
        "clusters": [{"name": "c", "cluster": {"server": url} | trust}],
        "users": [{"name": "u", "user": user or {"token": "secret"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "home"}}],
        "current-context": "x",
    }
    path.write_text(json.dumps(document))
    return path


@dataclass
class Naps:
    """Notes how long a client would have slept."""

    taken: list[float] = field(default_factory=list)

    async def sleep(self, delay_s: float) -> None:
        self.taken.append(delay_s)


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
async def client(server: FakeServer, naps: Naps, tmp_path: Path) -> AsyncIterator[HttpClient]:
    """Give a client of the fake server, below a path as behind our gateway."""
    async with serving(server) as url:
        config = load_kubeconfig(write_kubeconfig(tmp_path / "kubeconfig", f"{url}/k8s"))
        async with HttpClient(config, HttpSettings(sleep=naps.sleep, answer_timeout_s=5)) as client:
            yield client


@pytest.fixture
def unused_port() -> int:
    """Give a port on which nobody listens."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])
