"""The runs of a Pod's containers: started, adopted after a restart of the service, and remembered in order.

The truth is on disk (``directory``, ``sandbox``); this keeps what was read from it. It decides nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from beamhall.embedded.agent.criformat import read_last_text
from beamhall.embedded.agent.directory import PodDirectory
from beamhall.embedded.agent.facts import Attempt, Exit
from beamhall.embedded.agent.lifecycle import count_quick_ends
from beamhall.embedded.agent.sandbox import AlreadyStarted, ContainerSpec, Sandbox, Sandboxes, StartFailed
from beamhall.embedded.agent.settings import BackOff
from beamhall.kernel.clock import Clock

MESSAGE_BYTES = 4096
"""How much of a container's message is kept, as a kubelet does."""

_KEPT = 2
"""Runs that are kept of a container: the last, and the one before for ``kubectl logs --previous``."""


@dataclass(frozen=True, slots=True)
class Words:
    """Where the message of a run that ended is found.

    Attributes:
        path: The file that the container may write; often there is none.
        is_talkative: Whether, where that says nothing, the end of the log of a run that failed is its message.
        limit_bytes: How much of it is kept.
    """

    path: Path
    is_talkative: bool
    limit_bytes: int = MESSAGE_BYTES

    def read(self, log: Path, code: int) -> str:
        """Read the message of a run that ended with this code. Blocks shortly."""
        try:
            with self.path.open("rb") as file:
                text = file.read(min(MESSAGE_BYTES, self.limit_bytes)).decode(errors="replace")
        except OSError:
            text = ""
        if not text and self.is_talkative and code != 0:
            text = read_last_text(log)[-self.limit_bytes :]
        return text


@dataclass(slots=True)
class Run:
    """One run of a container.

    Attributes:
        number: 0 for the first.
        sandbox: Its processes.
        seen_at: When it was first seen.
        words: Where its message is found once it has ended.
        is_unwell: Whether it is ended because a probe or a hook of it failed.
        was_attached: Whether a client has been attached to it since this service began.
    """

    number: int
    sandbox: Sandbox
    seen_at: datetime
    words: Words
    _last_words: str | None = None
    is_unwell: bool = False
    was_attached: bool = False
    _listeners: list[Callable[[], None]] = field(default_factory=list)

    def _message(self, code: int) -> str:
        if self._last_words is None:  # read here, once, so that no status is made without it; it is 64 KiB at most
            self._last_words = self.words.read(self.sandbox.log_path, code)
        return self._last_words

    @contextmanager
    def telling(self, listener: Callable[[], None]) -> Iterator[None]:
        """Have a function called when the run has ended, while the context is open."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    async def wait(self) -> None:
        """Wait until it has ended, and tell those who asked for it. For its worker."""
        await self.sandbox.wait()
        for listener in self._listeners:
            listener()

    def attempt(self) -> Attempt:
        """Give it as a fact."""
        end = self.sandbox.exit
        if end is None:
            return Attempt(self.number, self.sandbox.started_at or self.seen_at)
        started_at = end.started_at or self.sandbox.started_at or end.finished_at
        reason = "" if end.reason in ("Completed", "Error") else end.reason
        fact = Exit(end.code, end.finished_at, end.signal or 0, reason, end.message or self._message(end.code))
        return Attempt(self.number, started_at, fact, self.is_unwell)


class Runs:
    """The runs of one Pod.

    Args:
        own: The Pod's directory.
        sandboxes: Starts and adopts.
        clock: Gives the time where a run does not say it.
        restart: Says which ends were quick.
        talkative: Containers the end of whose log is their message where they fail.
        message_bytes: How much of a message is kept.
    """

    def __init__(
        self,
        own: PodDirectory,
        sandboxes: Sandboxes,
        clock: Clock,
        restart: BackOff,
        talkative: frozenset[str] = frozenset(),
        message_bytes: int = MESSAGE_BYTES,
    ) -> None:
        self._message_bytes = message_bytes
        self._talkative = talkative
        self._own = own
        self._sandboxes = sandboxes
        self._clock = clock
        self._restart = restart
        self._runs: dict[str, list[Run]] = {}
        self._quick_ends_before: dict[str, int] = {}

    async def adopt(self, containers: Sequence[str]) -> None:
        """Take over what is on disk of these containers."""
        for name in containers:
            for number in self._own.attempts(name)[-_KEPT:]:
                sandbox = await self._sandboxes.adopt(self._own.attempt(name, number))
                if sandbox is not None:
                    self._add(name, number, sandbox).is_unwell = self._own.was_unwell(name, number)
            self._quick_ends_before[name] = self._own.quick_ends(name)

    async def launch(self, name: str, number: int, spec: ContainerSpec) -> Run:
        """Start a run. One that was started before is taken over; one whose program cannot be run has ended.

        Raises:
            StartFailed: Nothing was begun: the machine, not the Pod, is at fault.
        """
        if number > 0:
            self._begin_history(name)
        try:
            sandbox: Sandbox | None = await self._sandboxes.launch(spec)
        except AlreadyStarted:
            sandbox = await self._sandboxes.adopt(spec.directory)
        except StartFailed:
            sandbox = await self._sandboxes.adopt(spec.directory)
            if sandbox is None:
                raise
        if sandbox is None:
            raise StartFailed("service", f"the directory {spec.directory} is claimed but holds no container")
        return self._add(name, number, sandbox)

    def mark_unwell(self, name: str) -> None:
        """Note that the newest run of a container is ended because a probe or a hook of it failed."""
        run = self._runs[name][-1]
        if not run.is_unwell:
            self._own.mark_unwell(name, run.number)
            run.is_unwell = True

    def of(self, name: str) -> Sequence[Run]:
        """Give the runs of a container that are kept, oldest first."""
        return self._runs.get(name, ())

    def attempts(self, name: str) -> tuple[Attempt, ...]:
        """Give the runs of a container as facts."""
        return tuple(run.attempt() for run in self.of(name))

    def quick_ends(self, name: str) -> int:
        """Count how many runs in a row, up to the last, ended quickly."""
        attempts = self.attempts(name)
        if not attempts or attempts[-1].exit is None:
            return self._quick_ends_before.get(name, 0)
        if count_quick_ends(attempts[-1:], self._restart) == 0:
            return 0
        return self._quick_ends_before.get(name, 0) + 1

    def drop_old(self, name: str) -> None:
        """Remove the runs that are no longer kept. Blocks: call it off the loop."""
        kept = {run.number for run in self.of(name)}
        for number in self._own.attempts(name):
            if number not in kept:
                self._own.drop_attempt(name, number)

    def _begin_history(self, name: str) -> None:
        quick_ends = self.quick_ends(name)
        self._own.keep_history(name, quick_ends)
        self._quick_ends_before[name] = quick_ends

    def _add(self, name: str, number: int, sandbox: Sandbox) -> Run:
        words = Words(self._own.message(name, number), name in self._talkative, self._message_bytes)
        run = Run(number, sandbox, self._clock.now(), words)
        runs = self._runs.setdefault(name, [])
        runs.append(run)
        del runs[:-_KEPT]
        return run
