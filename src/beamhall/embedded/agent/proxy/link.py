"""The service's end of the proxy: starts the process when there is something to proxy, and tells it its routes.

A process that an earlier service left is taken over. Next: ``child``, the other end.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import structlog

from beamhall.embedded.agent.proxy.child import VERSION, control_address, is_our_user
from beamhall.embedded.agent.proxy.table import Address, Route

_START_ATTEMPTS = 100
_START_PERIOD_S = 0.05
_RETRY_S = 1.0
_log = structlog.get_logger(__name__)

Failed = Callable[[Mapping[str, str]], None]
"""Is told where the proxy could not listen, and why, by ``address:port``."""


class _Line(asyncio.Protocol):
    """A connection to the process: lines out, an answer for each, and a call when it ends."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        self.has_ended = False
        self._on_end = on_end
        self._answers: asyncio.Queue[bytes] = asyncio.Queue()
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._answers.put_nowait(line)

    def connection_lost(self, exc: Exception | None) -> None:
        self.has_ended = True
        self._answers.put_nowait(b"")
        self._on_end()

    def say(self, message: Mapping[str, Any]) -> None:
        """Send one line."""
        assert self._transport is not None
        self._transport.write(json.dumps(message).encode() + b"\n")

    async def answer(self) -> Mapping[str, Any] | None:
        """Wait for the next answer; None: there will be none."""
        line = await self._answers.get()
        answer: Mapping[str, Any] | None = json.loads(line) if line else None
        return answer

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()


class ProxyLink:
    """Keeps a proxy process at what ``set_routes`` said last.

    Args:
        directory: The data directory, which names the proxy.
        failed: Is told where it could not listen, after each change.
    """

    def __init__(self, directory: Path, failed: Failed) -> None:
        self._name = hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:16]
        self._pods = directory / "pods"
        self._failed = failed
        self._routes: dict[Address, Sequence[Address]] = {}
        self._changed = asyncio.Event()
        self._pid = 0

    def set_routes(self, routes: Sequence[Route]) -> None:
        """Say what is to be listened on from now on."""
        wanted = {route.listen: route.targets for route in routes}
        if wanted != self._routes:
            self._routes = dict(wanted)
            self._changed.set()

    async def run(self) -> None:
        """Keep the proxy informed until cancelled; it goes on by itself then, as long as Pods run."""
        line = await self._connect()  # to one that an earlier service left
        try:
            while True:
                self._changed.clear()
                if line is not None and (line.has_ended or not await self._inform(line)):
                    line.close()
                    line = None
                    await self._see_off()
                elif line is None and self._routes:
                    line = await self._start()
                    self._changed.set()  # to be told, or tried again
                if line is None and self._routes:
                    await asyncio.sleep(_RETRY_S)
                else:
                    await self._changed.wait()
        finally:
            if line is not None:
                line.close()

    async def _inform(self, line: _Line) -> bool:
        """Say what is to be; False: the process is gone, or was told to go because there is nothing to proxy."""
        routes = [[listen, list(targets)] for listen, targets in self._routes.items()]
        line.say({"routes": routes} if routes else {"end": True})
        answer = await line.answer()
        if answer is None:
            return False
        self._failed(answer["failed"])
        return True

    async def _start(self) -> _Line | None:
        """Start the process and connect to it."""
        self._spawn()
        for _ in range(_START_ATTEMPTS):
            if (line := await self._connect()) is not None:
                return line
            if self._reap():
                break
            await asyncio.sleep(_START_PERIOD_S)
        _log.warning("proxy_not_started", name=self._name)
        return None

    def _spawn(self) -> None:
        # In a session of its own: it outlives this service as Pods do.
        command = [sys.executable, "-m", "beamhall.embedded.agent.proxy.child", self._name, str(self._pods)]
        null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
        self._pid = os.posix_spawn(sys.executable, command, _environment(), file_actions=null, setsid=True)

    async def _see_off(self) -> None:
        """Wait for a process that was told to go, or died, so that it leaves no zombie."""
        for _ in range(_START_ATTEMPTS):
            if self._reap():
                return
            await asyncio.sleep(_START_PERIOD_S)

    def _reap(self) -> bool:
        """Take note of the process's end; tell whether it has ended."""
        if self._pid:
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(self._pid, os.WNOHANG)[0] == 0:
                    return False
        self._pid = 0
        return True

    async def _connect(self) -> _Line | None:
        """Connect to a process that runs; end one that speaks an older language."""
        loop = asyncio.get_running_loop()
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        end.setblocking(False)
        try:
            await loop.sock_connect(end, control_address(self._name))
            if not is_our_user(end):
                raise ConnectionRefusedError("the proxy's name is taken by another user")
        except OSError:
            end.close()
            return None
        _, line = await loop.create_connection(lambda: _Line(self._changed.set), sock=end)
        hello = await line.answer()
        if hello is not None and hello.get("version") == VERSION:
            return line
        if hello is not None:
            line.say({"end": True})
        line.close()
        return None


def _environment() -> dict[str, str]:
    """Give the process what finds this package, and nothing that belongs to this service alone."""
    kept = ("PATH", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "LANG", "HOME")
    return {name: os.environ[name] for name in kept if name in os.environ}
