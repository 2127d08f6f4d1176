"""Clients on every transport, each with a namespace of the test's own.

``embedded`` is the one place that knows how the embedded API is made.
"""

import asyncio
import contextlib
import os
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from time import monotonic

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from beamhall.client.http import HttpClient
from beamhall.client.kubeconfig import load_kubeconfig, render_kubeconfig
from beamhall.client.local import LocalClient
from beamhall.client.protocol import Client, LogOptions
from beamhall.embedded.api.factory import Api, create_app, create_resource_api
from beamhall.embedded.store.store import Store
from beamhall.kernel.errors import BadRequest, NotFound
from beamhall.kernel.identity import ADMIN_GROUP, User
from beamhall.kernel.kinds import NAMESPACE
from beamhall.kernel.objects import ReadOnlyObject

CLUSTER = os.environ.get("BEAMHALL_TEST_KUBECONFIG", "")
ADMIN = User("contract", (ADMIN_GROUP,))


class RealClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return monotonic()


class NoAgent:
    """Logs of Pods that never run: only wrong containers are told from right ones."""

    @asynccontextmanager
    async def open(self, pod: ReadOnlyObject, options: LogOptions) -> AsyncIterator[AsyncIterator[bytes]]:
        names = [container["name"] for container in pod["spec"]["containers"]]
        if options.container not in ("", *names):
            raise BadRequest(f"container {options.container} is not valid for this Pod")
        yield _nothing()


async def _nothing() -> AsyncIterator[bytes]:
    nothing: tuple[bytes, ...] = ()
    for part in nothing:
        yield part


@asynccontextmanager
async def embedded(directory: Path) -> AsyncIterator[Api]:
    """Run an embedded API on a store of its own."""
    store = await Store.open(directory / "objects.db")
    try:
        api = create_resource_api(store, RealClock(), Random(1))
        create_app(api, NoAgent())
        async with asyncio.TaskGroup() as parts:
            running = parts.create_task(api.run())
            try:
                yield api
            finally:
                running.cancel()
    finally:
        await store.close()


@asynccontextmanager
async def over_http(api: Api, directory: Path) -> AsyncIterator[HttpClient]:
    """Serve an API on a free port of this machine, everyone being the administrator, and connect to it."""
    app = create_app(api, NoAgent())

    async def authenticated(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["user"] = ADMIN
        await app(scope, receive, send)

    config = uvicorn.Config(
        Starlette(routes=[Mount("/k8s", app=authenticated)]), lifespan="off", log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/k8s"
        file = directory / "kubeconfig"
        text = render_kubeconfig(url, "", "contract")
        file.write_text(text.replace("certificate-authority-data: ''", "insecure-skip-tls-verify: true"))
        async with asyncio.TaskGroup() as parts:
            parts.create_task(server.serve(sockets=[listener]))
            try:
                async with HttpClient(load_kubeconfig(file)) as client:
                    yield client
            finally:
                server.should_exit = True


@pytest.fixture(params=["local", "http", *(["cluster"] if CLUSTER else [])])
async def client(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Client]:
    """Give a client on each transport; ``cluster`` is one that a person names."""
    if request.param == "cluster":
        async with HttpClient(load_kubeconfig(Path(CLUSTER))) as real:
            yield real
        return
    async with embedded(tmp_path) as api:
        if request.param == "local":
            yield LocalClient(api, ADMIN)
            return
        async with over_http(api, tmp_path) as http:
            yield http


@pytest.fixture
async def namespace(client: Client) -> AsyncIterator[str]:
    """Give a new namespace; it is deleted with the test."""
    name = f"beamhall-test-{uuid.uuid4().hex[:8]}"
    await client.create(NAMESPACE, {"metadata": {"name": name}})
    yield name
    with contextlib.suppress(NotFound):
        await client.delete(NAMESPACE, name)
