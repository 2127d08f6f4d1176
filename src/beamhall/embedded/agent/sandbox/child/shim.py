"""The shim: one process for each container. It starts it, logs its output, and ends it whole.

It claims the sandbox's directory, forks the container, pumps its output into the log, takes orders from a fifo, waits,
kills every descendant that is left, and writes how it ended. As the subreaper of its descendants it inherits each
process whose parent died, so that not even a daemon that forked twice and made a session of its own gets away.
It lives on when the service dies. Next: ``container``, ``output``, ``record``, ``loopback``.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from beamhall.embedded.agent.sandbox.child import container, linux, loopback, output, record, warm

_SHUTDOWN_GRACE_S = 10.0
_SWEEP_PAUSE_MS = 20
_MESSAGE_BYTES = 8192
_COLD = b"cold"


def read_order(channel: socket.socket) -> dict[str, Any] | None:
    """Read what is to be started: four bytes of length, big-endian, and a JSON object.

    Returns:
        None if the service died before it had said everything; then nothing is started.
    """
    data = b""
    while len(data) < 4 or len(data) < 4 + struct.unpack(">I", data[:4])[0]:
        part = channel.recv(256 * 1024)
        if not part:
            return None
        data += part
    spec: dict[str, Any] = json.loads(data[4:])
    return spec


def tell(channel: socket.socket, answer: Mapping[str, object]) -> None:
    """Answer the service, which may be gone."""
    with contextlib.suppress(OSError):
        channel.sendall(json.dumps(answer).encode() + b"\n")
    channel.close()


class Shim:
    """The state of one container, in the process that keeps it."""

    def __init__(self, spec: Mapping[str, Any], channel: socket.socket) -> None:
        self._spec = spec
        self._channel = channel
        self._directory = str(spec["directory"])
        self._poll = select.poll()
        self._log: output.Log
        self._streams: dict[int, output.Stream] = {}
        self._control = -1
        self._status: socket.socket | None = None
        self._wake = -1
        self._proxy: loopback.Proxy | None = None
        self._container = 0
        self._wait_status: int | None = None
        self._has_children = True
        self._failure: dict[str, Any] | None = None
        self._started_at = ""
        self._killed = False
        self._deadline: float | None = None
        self._orders = b""
        self._holder: dict[str, object] = {}

    def claim(self) -> bool:
        """Make the sandbox's directory. False, with the service told, if this cannot be done or it is there already."""
        pid = os.getpid()
        self._holder = {
            "pid": pid,
            "ticks": linux.start_ticks(pid),
            "boot": linux.boot_id(),
            "id": self._spec["id"],
            "warm": self._spec["warm"] is not None,
        }
        try:
            if record.claim(self._directory, self._holder):
                return True
            tell(self._channel, {"already": True})
        except OSError as error:
            message = f"cannot make {self._directory}: {error.strerror}"
            tell(self._channel, {"stage": "service", "message": message})
        return False

    def start(self) -> bool:
        """Fork the container.

        Returns:
            True in the shim; False in the container, which is ready for its program.
        """
        log = os.open(os.path.join(self._directory, record.LOG), os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._log = output.Log(log)
        self._control = os.open(os.path.join(self._directory, record.CONTROL), os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pipes = {name: os.pipe() for name in ("stdout", "stderr")}
        self._wake, wakener = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wakener, False)
        signal.signal(signal.SIGCHLD, _nothing)
        signal.signal(signal.SIGTERM, self._on_term)
        signal.set_wakeup_fd(wakener, warn_on_full_buffer=False)
        shim_pid = os.getpid()
        self._container = os.fork()
        if self._container == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._status = theirs
            self._become_container(shim_pid, {name: ends[1] for name, ends in pipes.items()})
            for fd in (log, self._control, self._wake, wakener, *(fd for ends in pipes.values() for fd in ends)):
                os.close(fd)
            ours.close()
            self._channel.close()
            return False
        theirs.close()
        self._status = ours
        for name, (fd, other) in pipes.items():
            os.close(other)
            os.set_blocking(fd, False)
            self._streams[fd] = output.Stream(name, fd, self._log)
        for fd in (*self._streams, self._control, self._wake, ours.fileno()):
            self._poll.register(fd, select.POLLIN)
        return True

    def _become_container(self, shim_pid: int, outputs: Mapping[str, int]) -> None:
        assert self._status is not None
        try:
            null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
            os.dup2(null, 0)
            os.close(null)
            os.dup2(outputs["stdout"], 1)
            os.dup2(outputs["stderr"], 2)
            container.prepare(self._spec, shim_pid, self._status)
            if self._spec["warm"] is None:
                container.execute(self._spec["argv"], self._spec["env"])
            elif not warm.prepare(self._spec):
                self._status.send(_COLD)
                container.execute(self._spec["argv"], self._spec["env"])
        except container.StartError as error:
            container.report(self._status, error)
            os._exit(127)

    def program(self) -> Callable[[], None]:
        """In the container: say that its program starts now, as ``execve`` does by itself, and give what runs it."""
        assert self._status is not None
        self._status.close()
        return warm.program(self._spec["warm"])

    def crash(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """Leave a note on a defect of ours, and end: the service then cleans up after us."""
        text = "".join(traceback.format_exception(kind, error, trace))
        if self._status is not None and os.getpid() != self._holder.get("pid"):
            container.report(self._status, container.StartError("service", text[-1000:]))
        with contextlib.suppress(OSError), open(os.path.join(self._directory, record.CRASH), "a") as file:
            file.write(text)
        os._exit(70)

    def serve(self) -> None:
        """Keep the container until nothing of it is left, and write how it ended."""
        while self._wait_status is None or self._has_children:
            for fd, _ in self._poll.poll(self._pause_ms()):
                self._on_ready(fd)
            self._reap()
            self._enforce()
        self._finish()

    def _pause_ms(self) -> float | None:
        if self._wait_status is not None:
            return _SWEEP_PAUSE_MS
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - time.monotonic()) * 1000

    def _on_ready(self, fd: int) -> None:
        if fd in self._streams:
            self._streams[fd].pump()
            if not self._streams[fd].is_open:
                self._poll.unregister(fd)
                del self._streams[fd]
        elif fd == self._control:
            self._take_orders()
        elif fd == self._wake:
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
            self._proxy = loopback.Proxy(fds[0], str(self._spec["address"]))
            self._poll.register(fds[0], select.POLLIN)
        elif data == _COLD:
            self._holder["warm"] = False
        elif data:
            self._failure = json.loads(data)
        else:
            self._poll.unregister(status.fileno())
            status.close()
            self._status = None
            if self._failure is None:
                self._announce()

    def _announce(self) -> None:
        self._started_at = record.now()
        started: dict[str, object] = {
            "pid": self._container,
            "ticks": linux.start_ticks(self._container),
            "started_at": self._started_at,
        }
        with contextlib.suppress(OSError):
            record.write(self._directory, record.STARTED, started)
        tell(self._channel, {**started, "shim": self._holder})

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._has_children = False
                return
            if pid == 0:
                return
            if pid == self._container:
                self._wait_status = status

    def _enforce(self) -> None:
        """Kill what must be dead by now."""
        if self._wait_status is not None:
            if self._has_children:
                kill_children()
        elif self._deadline is not None and time.monotonic() >= self._deadline:
            self._deadline = None
            os.kill(self._container, signal.SIGKILL)

    def _take_orders(self) -> None:
        try:
            self._orders += os.read(self._control, 4096)
        except BlockingIOError:
            return
        *lines, self._orders = self._orders.split(b"\n")
        for line in lines:
            verb, _, value = line.decode("ascii", "replace").partition(" ")
            with contextlib.suppress(ValueError):
                if verb == "kill":
                    self._stop(float(value))
                elif verb == "signal":
                    self._signal(int(value))

    def _on_term(self, _number: int, _frame: object) -> None:
        # Who stops all processes of a machine or of a unit means the container.
        self._stop(_SHUTDOWN_GRACE_S)

    def _stop(self, grace_s: float) -> None:
        until = time.monotonic() + grace_s
        if not self._killed and grace_s > 0:
            self._signal(int(self._spec["stop_signal"]))
        self._killed = True
        self._deadline = until if self._deadline is None else min(until, self._deadline)

    def _signal(self, number: int) -> None:
        if self._wait_status is None:
            with contextlib.suppress(OSError):
                os.kill(self._container, number)

    def _finish(self) -> None:
        for stream in self._streams.values():
            while stream.pump():
                pass
            stream.close()
        while self._status is not None:
            self._on_status(self._status)
        assert self._wait_status is not None
        code = os.waitstatus_to_exitcode(self._wait_status)
        ended: dict[str, object] = {
            "code": 128 - code if code < 0 else code,
            "signal": -code if code < 0 else None,
            "started_at": self._started_at or None,
            "finished_at": record.now(),
            "killed": self._killed,
        }
        if self._failure is not None:
            ended.update(code=128, signal=None, stage=self._failure["stage"], message=self._failure["message"])
        try:
            record.write_exit(self._directory, ended)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):  # else: the directory was removed under our feet
                raise
        if self._failure is not None:
            tell(self._channel, self._failure)


def _nothing(_number: int, _frame: object) -> None:
    """Be a handler, so that the signal writes to the wake-up pipe."""


def kill_children() -> None:
    """Send SIGKILL to all children of this process.

    Their own children are then its children, and are next. Only a parent can be sure that a pid is still its child's.
    """
    for child in linux.children(os.getpid()):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(child, signal.SIGKILL)


def run(channel: socket.socket) -> Callable[[], None]:
    """Be the shim of one container, from the order to the exit record, and end the process.

    Returns:
        Only in a container that starts warm: what runs its program.
    """
    os.setsid()
    linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    linux.prctl(linux.PR_SET_NAME, b"beamhall-shim")
    spec = read_order(channel)
    if spec is None:
        os._exit(0)
    shim = Shim(spec, channel)
    hook = sys.excepthook
    sys.excepthook = shim.crash
    if shim.claim():
        if not shim.start():
            sys.excepthook = hook
            return shim.program()
        shim.serve()
    # At once: what the warm modules would do at their end is no business of this process.
    os._exit(0)
