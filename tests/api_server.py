"""An embedded API server in a thread of its own, for tests that talk to it as foreign programs do."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from beamhall.client.protocol import LogOptions
from beamhall.embedded.api.factory import create_app, create_resource_api
from beamhall.embedded.store.store import Store
from beamhall.kernel.errors import BadRequest
from beamhall.kernel.identity import ADMIN_GROUP, User
from beamhall.kernel.objects import ReadOnlyObject

ADMIN = User("tester", (ADMIN_GROUP,))


class RealClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class WrittenLogs:
    """Logs that say which part was asked for."""

    @asynccontextmanager
    async def open(self, pod: ReadOnlyObject, options: LogOptions) -> AsyncIterator[AsyncIterator[bytes]]:
        names = [container["name"] for container in pod["spec"]["containers"]]
        if options.container not in ("", *names):
            raise BadRequest(f"container {options.container} is not valid for pod {pod['metadata']['name']}")
        yield _lines(options)


async def _lines(options: LogOptions) -> AsyncIterator[bytes]:
    lines = [b"one\n", b"two\n", b"three\n"]
    for line in lines[-(options.tail_lines or 3) :]:
        yield line


def as_admin(app: ASGIApp, user: User = ADMIN) -> ASGIApp:
    """Put a user into every request, as the gateway's authentication does."""

    async def authenticated(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["user"] = user
        await app(scope, receive, send)

    return authenticated


@contextmanager
def api_server(directory: Path) -> Iterator[str]:
    """Serve an API on a store of its own; give its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    ready = threading.Event()
    stop: list[asyncio.Event] = []
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        store = await Store.open(directory / "objects.db")
        api = create_resource_api(store, RealClock(), Random(1))
        app = as_admin(create_app(api, WrittenLogs()))
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, access_log=False))
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        stop.append(asyncio.Event())
        loops.append(asyncio.get_running_loop())
        try:
            async with asyncio.TaskGroup() as parts:
                running = parts.create_task(api.run())
                serving = parts.create_task(server.serve(sockets=[listener]))
                await api.begun.wait()
                ready.set()
                await stop[0].wait()
                await store.close()  # ends the watches, which uvicorn would wait for
                server.should_exit = True
                await serving
                running.cancel()
        finally:
            await store.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="api-server")
    thread.start()
    try:
        assert ready.wait(30)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        if loops:
            loops[0].call_soon_threadsafe(stop[0].set)
        thread.join(30)
        with contextlib.suppress(OSError):
            listener.close()
