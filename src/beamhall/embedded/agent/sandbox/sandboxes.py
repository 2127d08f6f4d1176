"""Starting containers and finding them again: what the Pod life cycle uses.

Keeps the zygotes. Knows nothing of Pods, nor of the API. Next: ``sandbox``, then ``child.shim`` for what happens in the
container's own processes.
"""

import asyncio
import contextlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from beamhall.embedded.agent.sandbox.capabilities import detect_capabilities
from beamhall.embedded.agent.sandbox.child import record
from beamhall.embedded.agent.sandbox.command import Command, order_beside
from beamhall.embedded.agent.sandbox.sandbox import Sandbox
from beamhall.embedded.agent.sandbox.specification import (
    AlreadyStarted,
    Capabilities,
    ContainerSpec,
    StartFailed,
    WarmStart,
    order_of,
)
from beamhall.embedded.agent.sandbox.warmth import warm_order
from beamhall.embedded.agent.sandbox.zygotes import Answered, WarmPool, Zygote, ZygoteFailed, inherited

_log = structlog.get_logger(__name__)
_START_LIMIT_S = 30.0
_WARM_LIMIT = 8


class Sandboxes:
    """Starts containers that outlive the service. One for the service, in one event loop.

    Args:
        capabilities: What this machine permits; None to find out at the start.
    """

    def __init__(self, *, capabilities: Capabilities | None = None) -> None:
        self._capabilities = capabilities
        self._plain = Zygote([sys.executable, "-S", "-E"], (), inherited(), _START_LIMIT_S)
        self._warm = WarmPool(limit=_WARM_LIMIT)
        self._watched: set[Sandbox] = set()

    @property
    def capabilities(self) -> Capabilities:
        """What this machine permits, once started."""
        assert self._capabilities is not None, "start() comes first"
        return self._capabilities

    async def start(self) -> None:
        """Start the parent process of containers, and find out what this machine permits.

        Raises:
            StartFailed: The parent process does not come up.
        """
        if self._capabilities is None:
            self._capabilities = await asyncio.to_thread(detect_capabilities)
        try:
            await self._plain.ready()
        except ZygoteFailed as error:
            raise StartFailed("service", f"the parent process of containers cannot be started: {error}") from error

    async def close(self) -> None:
        """End the parent processes. Containers go on."""
        for sandbox in self._watched:
            sandbox.detach()
        self._watched.clear()
        await self._plain.stop()
        await self._warm.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def launch(self, spec: ContainerSpec) -> Sandbox:
        """Start a container; return when its program runs.

        If this is cancelled, the container may have been started: ``adopt`` tells.

        Raises:
            AlreadyStarted: The directory was claimed before.
            StartFailed: The program could not be started. Unless its stage is ``service``, the directory holds a record
                of it; in any case, ``adopt`` tells.
        """
        answer, answers = await self._ask(spec)
        if "shim" not in answer:
            answers.close()
            if answer.get("already"):
                raise AlreadyStarted(f"{spec.directory} was started before")
            raise StartFailed(str(answer["stage"]), str(answer["message"]))
        sandbox = self._watch(Sandbox(spec.directory, answer["shim"], answer, answers))
        if sandbox.unlimited:
            _log.warning("container_without_cgroups", directory=str(spec.directory), why=sandbox.unlimited)
        return sandbox

    async def prewarm(self, warm: WarmStart, env: Mapping[str, str]) -> str:
        """Have an interpreter with modules imported ready, for containers with these environment variables.

        Starting a container does this as well, and then waits for it.

        Returns:
            Empty, or why this environment cannot start warm.
        """
        return await self._warm.ready(warm, env)

    async def _ask(self, spec: ContainerSpec) -> Answered:
        order = order_of(spec, self.capabilities)
        program = warm_order(spec)
        if spec.warm and program:
            try:
                answer = await self._warm.request(spec.warm, spec.env, {**order, "warm": program}, spec.tenant)
            except ZygoteFailed as error:
                _log.warning("warm start failed", python=str(spec.warm.python), reason=str(error))
                answer = None
            if answer is not None:
                return answer
        for _ in range(2):  # once more with a new parent process, where the old one was killed
            try:
                await self._plain.ready()
                answer = await self._plain.request(order, spec.tenant)
            except ZygoteFailed as error:
                _log.warning("zygote lost", reason=str(error))
                continue
            if answer is not None:
                return answer
            if await asyncio.to_thread(spec.directory.exists):
                break
        if await asyncio.to_thread(spec.directory.exists):
            raise AlreadyStarted(f"{spec.directory} is there already; adopt it")
        raise StartFailed("service", f"the processes that start {spec.directory} died; try again")

    def _watch(self, sandbox: Sandbox) -> Sandbox:
        self._watched = {s for s in self._watched if s.is_shim_alive}
        sandbox.watch()
        if sandbox.is_shim_alive:
            self._watched.add(sandbox)
        return sandbox

    async def execute(self, sandbox: Sandbox, argv: Sequence[str], fds: Sequence[int], *, tty: bool = False) -> Command:
        """Start a command in a running container, beside its program.

        It has the container's environment variables, working directory, files, names and address.

        Args:
            sandbox: The container.
            argv: The command line.
            fds: Its standard input, output and error; the caller keeps and closes them.
            tty: Whether these are a terminal, which is to be the command's own.

        Raises:
            StartFailed: The container does not run (stage ``gone``), or the command cannot be started.
        """
        order = await asyncio.to_thread(order_beside, sandbox, argv, tty=tty)
        try:
            await self._plain.ready()
            command = Command(await self._plain.submit(order, fds))
        except ZygoteFailed as error:
            raise StartFailed("service", f"the parent process of commands is gone: {error}") from error
        with contextlib.ExitStack() as undone:
            undone.callback(command.hang_up)
            await command.started()
            undone.pop_all()
        return command

    async def adopt(self, directory: Path) -> Sandbox | None:
        """Find a container again that an earlier service started: running, ended, or vanished.

        Of a vanished one, this kills what is left before it returns.

        Returns:
            None if the directory was never claimed: starting there is safe.
        """
        path = str(directory)
        if not await asyncio.to_thread(directory.exists):
            return None
        shim = await asyncio.to_thread(record.read, path, record.SHIM)
        started = await asyncio.to_thread(record.read_started, path)
        sandbox = Sandbox(directory, shim or {}, started)
        if await asyncio.to_thread((directory / record.EXIT).exists):
            sandbox.end()
        else:
            self._watch(sandbox)
        if not sandbox.is_shim_alive:
            await sandbox.wait()
        return sandbox
