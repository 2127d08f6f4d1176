"""The control groups of one container: made by its shim, joined by the container itself, removed when it has ended.

Each hierarchy has a chain of directories (``levels``), from the outermost that is Beamhall's to the container's own.
Who needs a level makes it, and who leaves last removes it: so nothing is left over when the service is dead. What
belongs into the files is decided by the service (``limits``). Nothing outside of the levels is touched.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

from beamhall.embedded.agent.sandbox.child import linux

PROCESSES = "cgroup.procs"
_ATTEMPTS = 5


class Cgroups:
    """The control groups that one container is to be in; none of them if it must do without.

    Args:
        orders: For each hierarchy ``levels``, pairs of a path and the files to write there, and ``events``: the file of
            the last level that counts processes killed for want of memory, or empty.

    Attributes:
        problem: Why the container is not in its groups; empty if it is, or has none.
    """

    def __init__(self, orders: Sequence[Mapping[str, Any]]) -> None:
        self._orders = list(orders)
        self.problem = ""

    @property
    def levels(self) -> list[list[str]]:
        """The directories in each hierarchy, from the outermost to the container's own."""
        return [[path for path, _ in order["levels"]] for order in self._orders]

    def make(self) -> None:
        """Make the directories and write their files; without them, if that is refused."""
        try:
            for order in self._orders:
                _make(order["levels"])
        except OSError as error:
            self.give_up(f"{error.filename or 'control group'}: {error.strerror}")

    def give_up(self, problem: str) -> None:
        """Do without them."""
        self.problem = problem
        self.remove()

    def join(self) -> None:
        """In the container: enter, with all that is forked from here on. Raises OSError."""
        for levels in [] if self.problem else self.levels:
            _write(os.path.join(levels[-1], PROCESSES), "0")

    def has_run_out_of_memory(self) -> bool:
        """Tell whether the kernel has killed a process of the container for want of memory."""
        for order in self._orders:
            if order["events"] and oom_kills(os.path.join(order["levels"][-1][0], order["events"])):
                return True
        return False

    def remove(self) -> None:
        """Remove the directories that nobody else needs."""
        for levels in self.levels:
            remove(levels)


def oom_kills(path: str) -> int:
    """Read how many processes were killed, from ``memory.events`` (v2) or ``memory.oom_control`` (v1)."""
    try:
        for line in linux.read_file(path).decode().splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    except OSError:
        pass
    return 0


def remove(levels: Sequence[str]) -> None:
    """Remove directories from the last to the first, as far as they are empty."""
    for path in reversed(levels):
        try:
            os.rmdir(path)
        except FileNotFoundError:
            continue
        except OSError:
            return


def _make(levels: Sequence[tuple[str, Mapping[str, str]]]) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            for path, files in levels:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(path, 0o755)
                for name, value in files.items():
                    _write(os.path.join(path, name), value)
        except FileNotFoundError:
            # Another container of the Pod has just ended, and taken away the level that was empty then.
            if attempt + 1 == _ATTEMPTS:
                raise
        else:
            return


def _write(path: str, value: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(fd)
