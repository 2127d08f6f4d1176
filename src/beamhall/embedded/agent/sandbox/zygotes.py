"""The service's side of zygotes: starting them, handing them orders, and knowing when they are gone.

Knows how an order travels (a socket of its own for each, handed to the zygote) and nothing of what is in it.
Next: ``child.zygote`` is the other side.
"""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from beamhall.embedded.agent.sandbox.capabilities import ZYGOTE
from beamhall.embedded.agent.sandbox.child import record
from beamhall.embedded.agent.sandbox.specification import WarmStart
from beamhall.embedded.agent.sandbox.warmth import start_environment

_log = structlog.get_logger(__name__)

_HELLO_BYTES = 65536
_STOP_S = 5.0
_DYING_S = 0.5
_ORDERS_AT_ONCE = 64
_IMPORT_LIMIT_S = 120.0
_PROBLEM_S = 60.0
_ID_ROOM = 64


class ZygoteFailed(Exception):
    """A zygote could not be started, or is gone; the message says why."""


class Answers:
    """What becomes of an order, as who was forked for it tells. Closing this hangs up.

    Args:
        channel: The socket to it, non-blocking.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._rest = b""
        self._is_over = False

    async def next(self) -> dict[str, Any] | None:
        """Give the next answer; None if who should give it is gone."""
        loop = asyncio.get_running_loop()
        while not self.is_next_here():
            readable = asyncio.Event()
            loop.add_reader(self._channel, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(self._channel)
        line, _, self._rest = self._rest.partition(b"\n")
        if not line:
            return None
        answer: dict[str, Any] = json.loads(line)
        return answer

    def is_next_here(self) -> bool:
        """Tell, without waiting, whether ``next`` will not wait."""
        while b"\n" not in self._rest and not self._is_over:
            try:
                part = self._channel.recv(65536)
            except BlockingIOError:
                return False
            except ConnectionResetError:
                part = b""
            self._rest += part
            self._is_over = not part
        return True

    def fileno(self) -> int:
        """Give what becomes readable when there is news."""
        return self._channel.fileno()

    def close(self) -> None:
        """Hang up."""
        self._channel.close()


Answered = tuple[dict[str, Any], Answers]


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
        self._is_ready = False
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
            ours.setblocking(False)
            self._channel = ours
            problem = "it was not awaited"
            try:
                with theirs:
                    self._process = await asyncio.to_thread(self._spawn, theirs.fileno())
                problem = await self._problem(ours)
            except OSError as error:
                problem = f"cannot run {self._command[0]}: {error.strerror}"
            finally:
                if problem:
                    await self._end()
            if problem:
                raise ZygoteFailed(problem)
            self._is_ready = True

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
        except TimeoutError:
            return f"it took more than {self._start_limit_s:g} s to import {self._modules}"
        except OSError:
            data = b""
        if not data:
            return f"it ended while it imported {self._modules}"
        return str(json.loads(data)["problem"])

    async def request(self, order: Mapping[str, Any], tenant: str = "") -> Answered | None:
        """Have something started.

        Args:
            order: What.
            tenant: Whose it is: its shim may be used for this tenant's next one. Empty: it is not used again.

        Returns:
            The shim's answer, and where it will answer next; None if it died without one.

        Raises:
            ZygoteFailed: The zygote is gone; nothing was started.
        """
        async with self._orders:
            with contextlib.ExitStack() as undone:
                answers = undone.enter_context(contextlib.closing(await self.submit(order, tenant=tenant)))
                answer = await answers.next()
                if answer is not None:
                    undone.pop_all()
                    return answer, answers
        if self._process is not None:  # it may be dying; then the next ``ready`` must see that
            await asyncio.to_thread(_dies, self._process)
        return None

    async def submit(self, order: Mapping[str, Any], fds: Sequence[int] = (), tenant: str = "") -> Answers:
        """Hand an order over, with descriptors that it needs; ``tenant`` as for ``request``.

        Raises:
            ZygoteFailed: The zygote is gone; nothing was started.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        data = json.dumps(order).encode("ascii")
        data = len(data).to_bytes(4, "big") + data
        with contextlib.ExitStack() as undone:
            undone.callback(ours.close)
            with theirs:
                await self._hand_over(theirs, tenant)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the answer will be missing
                sent = socket.send_fds(ours, [data[:4]], fds) if fds else 0
                await asyncio.get_running_loop().sock_sendall(ours, data[sent:])
            undone.pop_all()
        return Answers(ours)

    async def _hand_over(self, end: socket.socket, tenant: str) -> None:
        while True:
            try:
                if self._channel is None:
                    raise ZygoteFailed("it does not run")
                socket.send_fds(self._channel, [b"!" + tenant.encode()], [end.fileno()])
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
        was_ready, self._is_ready = self._is_ready, False
        if channel is not None:
            channel.close()
        if process is not None:
            if not was_ready:
                process.kill()  # it imports, and would not see for long that nobody waits
            await asyncio.to_thread(_wait, process)


@dataclass(slots=True)
class _Place:
    zygote: Zygote
    problem: str = ""
    problem_until: float = 0.0
    users: int = 0


class WarmPool:
    """The zygotes with modules imported, one for each environment and set of variables that matter to it.

    Args:
        limit: How many may be there; the one that was not used for the longest time makes room.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._places: OrderedDict[tuple[object, ...], _Place] = OrderedDict()

    async def ready(self, warm: WarmStart, env: Mapping[str, str]) -> str:
        """Have one ready for containers with these environment variables.

        Returns:
            Empty, or why this environment cannot start warm; that is believed for a minute.
        """
        return await self._ready(await self._place(warm, env), warm)

    async def _ready(self, place: _Place, warm: WarmStart) -> str:
        now = asyncio.get_running_loop().time()
        if place.problem and now < place.problem_until:
            return place.problem
        place.users += 1
        try:
            await place.zygote.ready()
            place.problem = ""
        except ZygoteFailed as error:
            place.problem = str(error)
            place.problem_until = now + _PROBLEM_S
            _log.warning("no warm start", python=str(warm.python), modules=warm.modules, reason=place.problem)
        finally:
            place.users -= 1
        return place.problem

    async def request(
        self, warm: WarmStart, env: Mapping[str, str], order: Mapping[str, Any], tenant: str = ""
    ) -> Answered | None:
        """Have something started. As ``Zygote.request``, and None where this environment cannot start warm."""
        place = await self._place(warm, env)
        if await self._ready(place, warm):
            return None
        place.users += 1
        try:
            return await place.zygote.request(order, tenant)
        finally:
            place.users -= 1

    async def _place(self, warm: WarmStart, env: Mapping[str, str]) -> _Place:
        start = start_environment(env, warm)
        key = (str(warm.python), warm.modules, tuple(sorted(start.items())))
        place = self._places.get(key)
        if place is None:
            marked = {**inherited(), **start, record.MARKER: "x" * _ID_ROOM}
            place = _Place(Zygote([str(warm.python)], warm.modules, marked, _IMPORT_LIMIT_S))
            self._places[key] = place
        self._places.move_to_end(key)
        for old in [k for k, p in self._places.items() if not p.users and p is not place]:
            if len(self._places) <= self._limit:
                break
            await self._places.pop(old).zygote.stop()
        return place

    async def stop(self) -> None:
        """End them all. What they have started goes on."""
        places = list(self._places.values())
        self._places.clear()
        for place in places:
            await place.zygote.stop()


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
