"""The service's side of zygotes: starting them, handing them orders, and knowing when they are gone.

Knows how an order travels (a socket of its own for each, handed to the zygote) and nothing of what is in it.
Next: ``child.zygote`` is the other side.
"""

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from beamhall.embedded.agent.sandbox.capabilities import ZYGOTE

_HELLO_BYTES = 65536
_STOP_S = 5.0
_DYING_S = 0.5
_ORDERS_AT_ONCE = 64


class ZygoteFailed(Exception):
    """A zygote could not be started, or is gone; the message says why."""


class Zygote:
    """One parent process of containers. Use from one event loop.

    Args:
        interpreter: The command that runs Python, with its options.
        modules: What it imports before it is ready.
        env: All of its environment variables.
        start_limit_s: How long it may take to become ready, in seconds.
    """

    def __init__(
        self, interpreter: Sequence[str], modules: Sequence[str], env: Mapping[str, str], start_limit_s: float
    ) -> None:
        self._command = [*interpreter, str(ZYGOTE)]
        self._modules = list(modules)
        self._env = dict(env)
        self._start_limit_s = start_limit_s
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._starting = asyncio.Lock()
        self._orders = asyncio.Semaphore(_ORDERS_AT_ONCE)

    @property
    def pid(self) -> int | None:
        """The process; None while there is none."""
        return self._process.pid if self._process else None

    async def ready(self) -> None:
        """Start it if it does not run; return when it takes orders.

        Raises:
            ZygoteFailed: It cannot; the message says why.
        """
        async with self._starting:
            if self._process is not None and self._process.poll() is None:
                return
            await self._end()
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                try:
                    self._process = await asyncio.to_thread(self._spawn, theirs.fileno())
                except OSError as error:
                    ours.close()
                    raise ZygoteFailed(f"cannot run {self._command[0]}: {error.strerror}") from error
            ours.setblocking(False)
            self._channel = ours
            problem = await self._problem(ours)
            if problem:
                await self._end()
                raise ZygoteFailed(problem)

    def _spawn(self, fd: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self._command, str(fd), *self._modules],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self._env,
            cwd="/",
            pass_fds=(fd,),
            start_new_session=True,
        )

    async def _problem(self, channel: socket.socket) -> str:
        try:
            async with asyncio.timeout(self._start_limit_s):
                data = await asyncio.get_running_loop().sock_recv(channel, _HELLO_BYTES)
        except (TimeoutError, OSError):
            data = b""
        if not data:
            return f"it ended, or took more than {self._start_limit_s:g} s, while it imported {self._modules}"
        return str(json.loads(data)["problem"])

    async def request(self, order: Mapping[str, Any]) -> dict[str, Any] | None:
        """Have something started.

        Returns:
            The shim's answer; None if it died without one.

        Raises:
            ZygoteFailed: The zygote is gone; nothing was started.
        """
        loop = asyncio.get_running_loop()
        async with self._orders:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            with ours:
                ours.setblocking(False)
                with theirs:
                    await self._hand_over(theirs)
                data = json.dumps(order).encode("ascii")
                answer = b""
                try:
                    await loop.sock_sendall(ours, len(data).to_bytes(4, "big") + data)
                    while not answer.endswith(b"\n") and (part := await loop.sock_recv(ours, 65536)):
                        answer += part
                except (BrokenPipeError, ConnectionResetError):
                    pass
        if answer.endswith(b"\n"):
            value: dict[str, Any] = json.loads(answer)
            return value
        if self._process is not None:  # it may be dying; then the next ``ready`` must see that
            await asyncio.to_thread(_dies, self._process)
        return None

    async def _hand_over(self, end: socket.socket) -> None:
        while True:
            try:
                if self._channel is None:
                    raise ZygoteFailed("it does not run")
                socket.send_fds(self._channel, [b"!"], [end.fileno()])
            except BlockingIOError:
                await asyncio.sleep(0.001)  # its queue of requests is full; it takes one every millisecond
            except OSError as error:
                raise ZygoteFailed(f"it is gone: {error.strerror}") from error
            else:
                return

    async def stop(self) -> None:
        """End it. What it has started goes on."""
        async with self._starting:
            await self._end()

    async def _end(self) -> None:
        process, self._process = self._process, None
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
        if process is not None:
            await asyncio.to_thread(_wait, process)


def _dies(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(_DYING_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def inherited(*names: str) -> dict[str, str]:
    """Give those of the service's environment variables that an interpreter may need to start at all."""
    return {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "LD_PRELOAD", *names) if name in os.environ}
