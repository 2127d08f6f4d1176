"""What every process that keeps another does: fork it, learn how its start went, answer its network calls, reap.

The ``shim`` keeps a container's program so, ``execution`` a command beside it. Knows nothing of logs and orders.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
from collections.abc import Mapping
from typing import Any

from beamhall.embedded.agent.sandbox.child import linux, loopback

SWEEP_PAUSE_MS = 20
"""How long to wait between two rounds of killing."""

_MESSAGE_BYTES = 8192
_ORDER_BYTES = 32 * 1024
"""Read at a time; a larger buffer is mapped and unmapped each time."""
_FDS_LIMIT = 3


def read_order(channel: socket.socket) -> tuple[bytes, list[int]]:
    """Read what is to be started: four bytes of length, big-endian, and a JSON object; descriptors come with it.

    Returns:
        The object's text; empty if the service died before it had said everything: then nothing is started.
    """
    data = b""
    fds: list[int] = []
    while len(data) < 4 or len(data) < 4 + struct.unpack(">I", data[:4])[0]:
        part, received = linux.receive(channel, _ORDER_BYTES, _FDS_LIMIT)
        fds += received
        if not part:
            return b"", fds
        data += part
    return data[4:], fds


def pass_order(channel: socket.socket, order: bytes) -> None:
    """Pass on what is to be started, as ``read_order`` reads it. Raises OSError."""
    channel.sendall(struct.pack(">I", len(order)) + order)


def tell(channel: socket.socket, answer: Mapping[str, object]) -> bool:
    """Answer the service for the last time. False if it is gone, or no longer listens."""
    is_heard = say(channel, answer)
    channel.close()
    return is_heard


def say(channel: socket.socket, answer: Mapping[str, object]) -> bool:
    """Answer the service, which may be told more. False if it is gone, or no longer listens."""
    try:
        channel.sendall(json.dumps(answer).encode() + b"\n")
    except OSError:
        return False
    return True


class Birth:
    """One fork, on both sides of it.

    Attributes:
        pid: The new process; 0 in it.
        status: How the new process tells of its start; each side has its own end.
        wake: In the old process: becomes readable when a child ends.
    """

    def __init__(self) -> None:
        self.status, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.wake, wakener = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(wakener, False)
        signal.signal(signal.SIGCHLD, _nothing)
        signal.set_wakeup_fd(wakener, warn_on_full_buffer=False)
        self.pid = os.fork()
        if self.pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self.status.close()
            self.status = theirs
            os.close(self.wake)
            os.close(wakener)
        else:
            theirs.close()
            self._wakener = wakener

    def close(self) -> None:
        """In the old process, once the new one is reaped: let go of everything."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.status.close()
        os.close(self.wake)
        os.close(self._wakener)


class Keeper:
    """The state of one process and all that it starts, in the process that keeps it."""

    def __init__(self, spec: Mapping[str, Any], channel: socket.socket) -> None:
        self._spec = spec
        self._channel = channel
        self._poll = select.poll()
        self._birth: Birth | None = None
        self._status: socket.socket | None = None
        self._wake = -1
        self._proxy: loopback.Proxy | None = None
        self._main = 0
        self._wait_status: int | None = None
        self._has_children = True
        self._failure: dict[str, Any] | None = None

    def _keep(self, birth: Birth) -> bool:
        """Be one side of a fork. True in the process that keeps; False in the one that is kept."""
        self._birth = birth
        self._main, self._status, self._wake = birth.pid, birth.status, birth.wake
        if birth.pid == 0:
            return False
        self._poll.register(birth.wake, select.POLLIN)
        self._poll.register(birth.status.fileno(), select.POLLIN)
        return True

    def _on_ready(self, fd: int) -> None:
        if fd == self._wake:
            with contextlib.suppress(BlockingIOError):
                os.read(fd, 4096)
        elif self._status is not None and fd == self._status.fileno():
            self._on_status(self._status)
        elif self._proxy is not None and fd == self._proxy.fd and not self._proxy.serve():
            self._poll.unregister(fd)
            os.close(fd)
            self._proxy = None

    def _on_status(self, status: socket.socket) -> None:
        try:
            data, fds = linux.receive(status, _MESSAGE_BYTES)
        except OSError:
            data, fds = b"", []
        if fds:
            self._proxy = loopback.Proxy(fds[0], str(self._spec["address"]), str(self._spec.get("chosen_ports") or ""))
            self._poll.register(fds[0], select.POLLIN)
        elif data:
            self._on_message(data)
        else:
            self._poll.unregister(status.fileno())
            status.close()
            self._status = None
            if self._failure is None:
                self._announce()

    def _on_message(self, data: bytes) -> None:
        self._failure = json.loads(data)

    def _announce(self) -> None:
        """Take in that the program runs now."""
        raise NotImplementedError

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._has_children = False
                return
            if pid == 0:
                return
            if pid == self._main:
                self._wait_status = status


def _nothing(_number: int, _frame: object) -> None:
    """Be a handler, so that the signal writes to the wake-up pipe."""


def kill_children() -> None:
    """Send SIGKILL to all children of this process.

    Their own children are then its children, and are next. Only a parent can be sure that a pid is still its child's.
    """
    for child in linux.children(os.getpid()):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(child, signal.SIGKILL)
