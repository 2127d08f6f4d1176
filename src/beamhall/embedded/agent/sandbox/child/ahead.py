"""A container that is forked before it is known what it will be: its start then costs no fork.

It waits in its shim's hands, knows no order, and has touched what every container touches at its start: memory that is
shared with the process it was forked from is copied at first use. Read ``shim`` for who uses it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from typing import Any

from beamhall.embedded.agent.sandbox.child import linux, record, warm
from beamhall.embedded.agent.sandbox.child.console import Console
from beamhall.embedded.agent.sandbox.child.keeper import Birth, pass_order, read_order


class Ahead:
    """Fork a container ahead, with pipes for its outputs and without an input. Both sides have it afterwards.

    Attributes:
        birth: The fork.
        console: Its streams.
        channel: The order's way to it; closed once that is told.
    """

    def __init__(self) -> None:
        self.console = Console("", stdin=False, tty=False)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._shim = os.getpid()
        self.birth = Birth()
        if self.birth.pid:
            theirs.close()
            self.channel = ours
            self.console.hand_over()
        else:
            ours.close()
            self.channel = theirs

    @property
    def is_container(self) -> bool:
        """Whether this is the container's side."""
        return self.birth.pid == 0

    def order(self, text: bytes) -> bool:
        """In the shim: tell the container what it is. False if it is dead, and forgotten."""
        try:
            with self.channel:
                pass_order(self.channel, text)
        except OSError:
            self.forget()
            return False
        return True

    def forget(self) -> None:
        """In the shim: let go of a container that is not wanted."""
        self.channel.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.birth.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.birth.pid, 0)
        for fd in self.console.outputs.values():
            os.close(fd)
        self.birth.close()

    def wait(self) -> dict[str, Any]:
        """In the container: wait for what it is to be; ends the process if that never comes."""
        os.setsid()
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self._shim:
            os._exit(0)
        warm.rehearse()
        with self.channel:
            text, _ = read_order(self.channel)
        if not text:
            os._exit(0)
        spec: dict[str, Any] = json.loads(text)
        return spec


def rehearse() -> None:
    """In the shim: touch what every shim needs."""
    json.loads(json.dumps({"at": record.now(), "ticks": linux.start_ticks(os.getpid())}))
