"""Making environments: each one once, whole or not at all, whoever asks and whatever is killed.

An environment is a directory under DIR/environments named by its identity. It is complete when its marker is there,
which is written last. Who makes it holds a lock on a file (``flock``), which the kernel drops when the holder dies;
uv inherits it, so that a new try cannot meet an uv that outlived its service. A directory without a marker is a
leftover and is cleared at the next try. A derived environment that adds nothing to its base is a link to it. What goes
into a directory is ``filling``'s.
"""

import asyncio
import fcntl
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from beamhall.catalog.entries import Environment
from beamhall.catalog.errors import EnvironmentFailed
from beamhall.catalog.filling import Filling

Progress = Callable[[str], None]

MARKER = ".beamhall-complete"
_POLL_S = 0.1


@dataclass(eq=False, slots=True)
class _Making:
    """An environment that is being made in this process, and who wants to hear of it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    listeners: list[Progress] = field(default_factory=list)

    def say(self, message: str) -> None:
        for listener in list(self.listeners):
            listener(message)


class Preparation:
    """Makes environments under one directory.

    Args:
        directory: DIR/environments; made when it is first needed.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._making: dict[str, _Making] = {}

    def prefix(self, environment: Environment) -> Path:
        """Give the directory of an environment, made or not: that of its base where this one adds nothing to it."""
        place = self._place(environment)
        return self._directory / place.readlink() if environment.base and place.is_symlink() else place

    def _place(self, environment: Environment) -> Path:
        return self._directory / environment.identity

    def is_ready(self, environment: Environment) -> bool:
        """Tell whether an environment is complete, and its interpreter still there. Costs two ``stat`` calls."""
        prefix = self._place(environment)
        return (prefix / MARKER).exists() and (prefix / "bin" / "python").exists()

    async def make(self, environment: Environment, progress: Progress) -> Path:
        """Make an environment unless it is complete; wait where another is making it.

        Returns:
            Its directory.

        Raises:
            EnvironmentFailed: It could not be made. Nothing of it is left; asking again tries again.
        """
        if self.is_ready(environment):
            return self.prefix(environment)
        making = self._making.setdefault(environment.identity, _Making())
        making.listeners.append(progress)
        try:
            async with making.lock:
                await self._make_alone(environment, making.say)
        except OSError as e:
            raise EnvironmentFailed(environment.name, "", f"{self.prefix(environment)}: {e.strerror or e}") from e
        finally:
            making.listeners.remove(progress)
            if not making.listeners:
                self._making.pop(environment.identity, None)
        return self.prefix(environment)

    async def _make_alone(self, environment: Environment, say: Progress) -> None:
        prefix = self._place(environment)
        if self.is_ready(environment):
            return
        async with _locked(self._directory / ".locks" / f"{environment.identity}.lock", say) as lock:
            if self.is_ready(environment):
                return
            loop = asyncio.get_running_loop()
            began = loop.time()
            await asyncio.to_thread(_clear, prefix)
            try:
                await self._fill(environment, prefix, lock, say)
            finally:
                if not self.is_ready(environment):
                    await asyncio.to_thread(_clear, prefix)
            say(f"environment {environment.name} is ready after {loop.time() - began:.1f} s")

    async def _fill(self, environment: Environment, prefix: Path, lock: int, say: Progress) -> None:
        filling = Filling(environment, prefix, lock, say)
        if environment.base is not None:
            base = await self.make(environment.base, say)
            if await filling.adds_nothing(base):
                await asyncio.to_thread(prefix.symlink_to, base.name)
                return
        await filling.fill()
        if environment.base is not None:
            await filling.add(self._directory / ".pins" / environment.identity)
        await asyncio.to_thread(_complete, environment, prefix)


def _clear(prefix: Path) -> None:
    """Remove what is left of an environment; the marker first, so that a half-removed one never looks complete."""
    if prefix.is_symlink():  # to a base, which is not ours to remove
        prefix.unlink()
        return
    (prefix / MARKER).unlink(missing_ok=True)
    shutil.rmtree(prefix, ignore_errors=True)


def _complete(environment: Environment, prefix: Path) -> None:
    """Declare an environment complete."""
    facts = {"environment": environment.name, "python": environment.python, "beamhall_python": sys.version.split()[0]}
    draft = prefix / f"{MARKER}.new"
    with draft.open("w", encoding="utf-8") as file:
        json.dump(facts, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(prefix / MARKER)


@asynccontextmanager
async def _locked(path: Path, say: Progress) -> AsyncIterator[int]:
    """Hold the lock of an environment among all processes, and give its file descriptor."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        # Above the single digits, which the shell that carries it to uv uses for itself.
        descriptor = fcntl.fcntl(file.fileno(), fcntl.F_DUPFD_CLOEXEC, 10)
    try:
        has_waited = False
        # Asking again and again, since a thread that waits in flock could not be cancelled.
        while not _try_lock(descriptor):
            if not has_waited:
                say("waiting for another process that is making this environment")
                has_waited = True
            await asyncio.sleep(_POLL_S)
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
