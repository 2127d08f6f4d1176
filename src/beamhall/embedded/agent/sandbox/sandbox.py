"""One started container as the service sees it: its process, its end, and the orders it takes.

The container and its shim live without the service; this is a handle on them, made by a start or by finding them again.
Everything it knows is in the sandbox's directory (``child.record``). Next: ``sandboxes`` makes these.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from beamhall.embedded.agent.sandbox.child import cgroups, linux, record
from beamhall.embedded.agent.sandbox.specification import Exit
from beamhall.embedded.agent.sandbox.strays import kill_strays
from beamhall.embedded.agent.sandbox.zygotes import Answers
from beamhall.kernel.clock import parse_time

_SHIM_LATE_S = 10.0


def log_files(log: Path) -> Sequence[Path]:
    """Give the files of a log that is rotated, oldest first, and last the one that is written to."""
    start = f"{log.name}."
    with contextlib.suppress(FileNotFoundError):
        names = os.listdir(log.parent)  # noqa: PTH208  each step's log is read
        earlier = [int(number) for name in names if name.startswith(start) and (number := name[len(start) :]).isdigit()]
        return [*(log.with_name(f"{start}{number}") for number in sorted(earlier)), log]
    return [log]


class Sandbox:
    """A container that was started, and perhaps has ended.

    Attributes:
        directory: Its files.
        exit: How it ended; None while that is not known.
        warm: Whether it was forked from a process with modules imported.
    """

    def __init__(
        self, directory: Path, shim: dict[str, Any], started: dict[str, Any] | None, answers: Answers | None = None
    ) -> None:
        self.directory = directory
        self._answers = answers
        self.exit: Exit | None = None
        self.warm = bool(shim.get("warm"))
        self._shim = shim
        self._started = started
        self._pidfd = -1
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gone = asyncio.Event()
        self._concluding = asyncio.Lock()

    @property
    def log_path(self) -> Path:
        """The output, in the format of the Container Runtime Interface."""
        return self.directory / record.LOG

    @property
    def stdin_path(self) -> Path:
        """The fifo that its input is written to; there only if it has an input."""
        return self.directory / record.STDIN

    @property
    def shim_pid(self) -> int:
        """The process that keeps it."""
        return int(self._shim.get("pid", 0))

    @property
    def cpu_ticks_before(self) -> int:
        """What that process had counted as its children's processor time, in ticks, before this container."""
        return int((self._started or {}).get("cpu_ticks_before") or 0)

    @property
    def pid(self) -> int | None:
        """Its main process; None if its program never started, or had not when the sandbox was adopted."""
        return int(self._started["pid"]) if self._started else None

    @property
    def started(self) -> dict[str, Any] | None:
        """Its main process for good: ``pid`` and ``ticks``, among others; None as for ``pid``."""
        return self._started

    @property
    def started_at(self) -> datetime | None:
        """When its program started."""
        return parse_time(str(self._started["started_at"])) if self._started else None

    @property
    def cgroups(self) -> Sequence[str]:
        """Its own directory in each hierarchy of control groups; none if it is in no group of its own."""
        return () if self.unlimited else [levels[-1] for levels in self._cgroup_levels]

    @property
    def _cgroup_levels(self) -> Sequence[Sequence[str]]:
        return self._shim.get("cgroups") or ()

    @property
    def unlimited(self) -> str:
        """Why it is not in the control groups that were asked for; empty if it is, or none were."""
        return str((self._started or {}).get("unlimited") or "")

    def watch(self) -> None:
        """Begin to wait for the end. Call it in the event loop.

        The shim of a container that this service started says when that has ended, and may keep another one then. One
        that was found again ends itself.
        """
        self._loop = asyncio.get_running_loop()
        if self._answers is not None:
            self._loop.add_reader(self._answers, self._on_end)
            return
        fd = _open_shim(self._shim)
        if fd < 0:
            self._gone.set()
            return
        self._pidfd = fd
        self._loop.add_reader(fd, self._on_end)

    def _on_end(self) -> None:
        self.detach()
        self._gone.set()

    def detach(self) -> None:
        """Stop watching; the container goes on."""
        if self._loop is None:
            return
        if self._answers is not None:
            self._loop.remove_reader(self._answers)
            self._answers.close()
            self._answers = None
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    async def wait(self) -> Exit:
        """Wait until nothing of the container is left. Any number may wait."""
        if self.exit is None:
            await self._gone.wait()
            async with self._concluding:
                if self.exit is None:
                    # Two small files, just written: a thread would take longer than they do.
                    recorded = self._recorded()
                    self.exit = await asyncio.to_thread(self._conclude) if recorded is None else recorded
        return self.exit

    def signal(self, number: int) -> None:
        """Send a signal to the main process. Nothing happens if it has ended."""
        self._order(f"signal {int(number)}")

    def kill_out_of_memory(self) -> None:
        """Kill it for having used more memory than it may; its reason will be ``OOMKilled``."""
        self._order("oom")

    def resize(self, rows: int, columns: int) -> None:
        """Set the size of its terminal; nothing happens if it has none."""
        self._order(f"resize {int(rows)} {int(columns)}")

    def end_input(self) -> None:
        """Let its program see the end of its input, once nobody writes to it any more. A terminal's has none."""
        self._order("end-input")

    async def kill(self, grace_s: float) -> Exit:
        """End the container: its stop signal now, SIGKILL to everything after ``grace_s`` seconds.

        May be called again with a shorter time. Cancelling this does not cancel the killing.
        """
        if self.exit is None and not self._gone.is_set():
            self._order(f"kill {max(0.0, grace_s):.3f}")
            try:
                async with asyncio.timeout(max(0.0, grace_s) + _SHIM_LATE_S):
                    await self._gone.wait()
            except TimeoutError:
                # The shim hangs, or is stopped. Without it, the processes are found by their marks.
                self._kill_shim()
        return await self.wait()

    def _kill_shim(self) -> None:
        fd = _open_shim(self._shim)
        if fd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
            os.close(fd)

    def _order(self, text: str) -> None:
        # Opening a fifo that nobody reads fails at once; a few bytes always fit.
        with contextlib.suppress(OSError):
            fd = os.open(self.directory / record.CONTROL, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                os.write(fd, text.encode() + b"\n")
            finally:
                os.close(fd)

    def _recorded(self) -> Exit | None:
        """Read how it ended; None if there is no record of it."""
        directory = str(self.directory)
        self._started = record.read_started(directory) or self._started
        ended = record.read(directory, record.EXIT)
        return None if ended is None else exit_of(ended)

    def _conclude(self) -> Exit:
        """Write how it ended, where the shim was killed before it did, and kill what it left. Blocks."""
        ended = self._vanished()
        with contextlib.suppress(OSError):
            record.write_exit(str(self.directory), ended)
        return exit_of(ended)

    def _vanished(self) -> dict[str, Any]:
        started = self._started or {}
        left: list[int] = []
        if self._shim.get("boot") == linux.boot_id():
            marks = (str(self._shim.get("id", "")), int(started.get("pid", 0)), int(started.get("ticks", 0)))
            left = kill_strays(*marks, [levels[-1] for levels in self._cgroup_levels])
            for levels in self._cgroup_levels:
                cgroups.remove(levels)
        message = "the process that kept this container was killed, or the machine was restarted"
        if left:
            message += f"; processes {left} cannot be killed"
        return {
            "code": 137,
            "signal": int(signal.SIGKILL),
            "started_at": started.get("started_at"),
            "finished_at": record.now(),
            "killed": False,
            "reason": "Vanished",
            "message": message,
        }

    @property
    def is_shim_alive(self) -> bool:
        """Whether its shim was alive when it was last looked at."""
        return not self._gone.is_set()

    def end(self) -> None:
        """Take it as ended, without looking at its shim: there is an exit record."""
        self._gone.set()


def exit_of(ended: dict[str, Any]) -> Exit:
    """Read an exit record."""
    code = int(ended["code"])
    reason = "StartError" if ended.get("stage") else ("Error" if code else "Completed")
    started_at = ended.get("started_at")
    return Exit(
        code=code,
        signal=ended.get("signal"),
        reason=str(ended.get("reason") or reason),
        message=str(ended.get("message") or ""),
        started_at=parse_time(str(started_at)) if started_at else None,
        finished_at=parse_time(str(ended["finished_at"])).astimezone(UTC),
        killed=bool(ended.get("killed")),
    )


def _open_shim(shim: dict[str, Any]) -> int:
    """Open the shim by its pid and start time. -1 if it is gone, even where its pid is another's by now."""
    pid = int(shim.get("pid", 0))
    if not pid or shim.get("boot") not in (None, linux.boot_id()):
        return -1
    try:
        fd = linux.pidfd_open(pid)
    except OSError:
        return -1
    if linux.start_ticks(pid) != shim.get("ticks"):
        os.close(fd)
        return -1
    return fd
