"""A command in a container, beside its program: what ``kubectl exec``, probes and hooks run.

One process for each, forked from the zygote as a shim is. It joins the container's namespaces by way of the command's
process, answers its network calls, tells how it ended, and keeps what it leaves behind. All of it dies with the
container, and the command also when the service hangs up before it has ended. Next: ``keeper``, ``container``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import termios
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from beamhall.embedded.agent.sandbox.child import cgroups, container, linux, namespaces
from beamhall.embedded.agent.sandbox.child.keeper import SWEEP_PAUSE_MS, Birth, Keeper, kill_children, say, tell


class Execution(Keeper):
    """One command, in the process that keeps it.

    Args:
        spec: The container's order with the command's ``argv``, and ``beside``: the ``pid`` and ``ticks`` of the
            container's main process, and whether the command has a terminal (``tty``).
        channel: Answers go here; its end means that the service hung up.
        fds: What its standard input, output and error are.
    """

    def __init__(self, spec: Mapping[str, Any], channel: socket.socket, fds: Sequence[int]) -> None:
        super().__init__(spec, channel)
        self._beside = spec["beside"]
        self._fds = fds
        self._cgroups = cgroups.Cgroups(spec["cgroups"])
        self._container = -1
        self._must_end = False
        self._is_told = False

    def start(self) -> bool:
        """Fork the command. False, with the service told, if the container has ended."""
        pid = int(self._beside["pid"])
        with contextlib.suppress(OSError):
            self._container = linux.pidfd_open(pid)
        if self._container < 0 or linux.start_ticks(pid) != self._beside["ticks"]:
            tell(self._channel, {"stage": "gone", "message": "the container is not running", "code": 128})
            return False
        keeper = os.getpid()
        if not self._keep(Birth()):
            self._become_command(keeper)
        for fd in self._fds:
            os.close(fd)
        for fd in (self._container, self._channel.fileno()):
            self._poll.register(fd, select.POLLIN)
        return True

    def _become_command(self, keeper: int) -> NoReturn:
        assert self._status is not None
        with contextlib.suppress(OSError):  # the container has none after all
            self._cgroups.join()
        try:
            for number, fd in enumerate(self._fds):
                os.dup2(fd, number)
            pid = int(self._beside["pid"])
            container.prepare(self._spec, keeper, self._status, enter=lambda _: namespaces.join(pid))
            if self._beside["tty"]:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            container.execute(self._spec["argv"], self._spec["env"])
        except container.StartError as error:
            container.report(self._status, error)
        except OSError as error:
            failure = container.StartError("terminal", f"cannot take the terminal: {error.strerror}")
            container.report(self._status, failure)
        os._exit(127)

    def serve(self) -> None:
        """Keep the command, then what it left, until nothing of it is there."""
        while self._has_children:
            for fd, _ in self._poll.poll(SWEEP_PAUSE_MS if self._must_end else None):
                self._on_ready(fd)
            self._reap()
            if self._wait_status is not None and not self._is_told:
                self._conclude(self._wait_status)
            if self._must_end:
                kill_children()
        self._cgroups.remove()  # the container's shim could not, where it ended before this

    def _on_ready(self, fd: int) -> None:
        if fd == self._container or (not self._is_told and fd == self._channel.fileno()):
            self._poll.unregister(fd)
            self._must_end = True
        else:
            super()._on_ready(fd)

    def _announce(self) -> None:
        say(self._channel, {"pid": self._main})

    def _conclude(self, wait_status: int) -> None:
        while self._status is not None:  # why it could not be started
            self._on_status(self._status)
        code = os.waitstatus_to_exitcode(wait_status)
        self._is_told = True
        with contextlib.suppress(KeyError):
            self._poll.unregister(self._channel.fileno())
        tell(self._channel, self._failure or {"code": 128 - code if code < 0 else code})


def run(spec: Mapping[str, Any], channel: socket.socket, fds: Sequence[int]) -> NoReturn:
    """Keep one command from its order to the end of all that it started, and end the process."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # who stops everything means the container, and that is waited for
    execution = Execution(spec, channel, fds)
    if execution.start():
        execution.serve()
    os._exit(0)
