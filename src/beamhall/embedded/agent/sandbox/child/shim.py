"""The shim: one process for each container. It starts it, logs its output, and ends it whole.

It claims the sandbox's directory, forks the container, pumps its output into the log, takes orders from a fifo, waits,
kills every descendant that is left, and writes how it ended. As the subreaper of its descendants it inherits each
process whose parent died, so that not even a daemon that forked twice and made a session of its own gets away.
It lives on when the service dies. Next: ``keeper``, ``container``, ``output``, ``record``, ``loopback``.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from beamhall.embedded.agent.sandbox.child import cgroups, console, container, execution, linux, output, record, warm
from beamhall.embedded.agent.sandbox.child.ahead import Ahead
from beamhall.embedded.agent.sandbox.child.keeper import (
    SWEEP_PAUSE_MS,
    Birth,
    Keeper,
    kill_children,
    read_order,
    say,
    tell,
)

_SHUTDOWN_GRACE_S = 10.0
_CALM_S = 0.008
_COLD = b"cold"
_UNLIMITED = b"unlimited "


class Shim(Keeper):
    """The state of one container, in the process that keeps it.

    Args:
        spec: What is to be started.
        channel: Where the service listens until the container has ended.
        cpu_ticks: What the containers that this process kept before have used.
    """

    def __init__(self, spec: Mapping[str, Any], channel: socket.socket, cpu_ticks: int = 0) -> None:
        super().__init__(spec, channel)
        self._cpu_ticks = cpu_ticks
        self._directory = str(spec["directory"])
        self._log: output.Log
        self._console: console.Console
        self._streams: dict[int, output.Stream] = {}
        self._control = -1
        self._started_at = ""
        self._killed = False
        self._cgroups = cgroups.Cgroups(spec["cgroups"])
        self._is_out_of_memory = False
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
            "cgroups": self._cgroups.levels,
        }
        try:
            if record.claim(self._directory, self._holder, self._spec):
                return True
            tell(self._channel, {"already": True})
        except OSError as error:
            message = f"cannot make {self._directory}: {error.strerror}"
            tell(self._channel, {"stage": "service", "message": message})
        return False

    def start(self, order: bytes, ahead: Ahead | None) -> bool:
        """Fork the container, or tell the one that was forked ahead what it is.

        Args:
            order: The text of the specification.
            ahead: A container that was forked ahead.

        Returns:
            True in the shim; False in the container, which is ready for its program.
        """
        log = os.open(os.path.join(self._directory, record.LOG), os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        path = os.path.join(self._directory, record.LOG)
        self._log = output.Log(log, path, int(self._spec["log_max_bytes"]), int(self._spec["log_max_files"]))
        self._control = os.open(os.path.join(self._directory, record.CONTROL), os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGTERM, self._on_term)
        self._cgroups.make()
        if ahead is not None and ahead.order(order):
            self._console = ahead.console
            self._keep(ahead.birth)
        else:
            self._console = console.Console(self._directory, stdin=self._spec["stdin"], tty=self._spec["tty"])
            shim_pid = os.getpid()
            if not self._keep(Birth()):
                self._become_container(shim_pid)
                for fd in (log, self._control):
                    os.close(fd)
                self._channel.close()
                return False
            self._console.hand_over()
        for name, fd in self._console.outputs.items():
            self._streams[fd] = output.Stream(name, fd, self._log, is_eager=self._spec["stdin"])
        for fd in (*self._streams, self._control, *({self._console.input} - {-1})):
            self._poll.register(fd, select.POLLIN)
        return True

    def _become_container(self, shim_pid: int) -> None:
        assert self._status is not None
        try:
            self._cgroups.join()
        except OSError as error:
            self._status.send(_UNLIMITED + f"{error.filename}: {error.strerror}".encode())
        try:
            self._console.take()
            container.prepare(self._spec, shim_pid, self._status)
            self._console.control()
            if self._spec["warm"] is None:
                container.execute(self._spec["argv"], self._spec["env"])
            elif not warm.prepare(self._spec):
                self._status.send(_COLD)
                container.execute(self._spec["argv"], self._spec["env"])
        except container.StartError as error:
            container.report(self._status, error)
            os._exit(127)
        self._console.forget()

    def take_place(self, ahead: Ahead) -> None:
        """In a container that was forked ahead and knows now what it is: be ready for the program."""
        self._console = ahead.console
        self._keep(ahead.birth)
        self._become_container(os.getppid())

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

    def serve(self) -> bool:
        """Keep the container until nothing of it is left, and write how it ended.

        Returns:
            Whether the service has heard of the end: then this process may keep another one. A service that does not
            listen waits for the end of this process.
        """
        while self._wait_status is None or self._has_children:
            for fd, _ in self._poll.poll(self._pause_ms()):
                self._on_ready(fd)
            self._reap()
            self._enforce()
        self._finish()
        self._let_go()
        return tell(self._channel, self._failure or {"ended": True})

    def _let_go(self) -> None:
        """Close all that was the container's."""
        assert self._birth is not None
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._birth.close()
        self._console.close()
        self._log.close()
        os.close(self._control)
        if self._proxy is not None:
            os.close(self._proxy.fd)

    def _pause_ms(self) -> float | None:
        if self._wait_status is not None:
            return SWEEP_PAUSE_MS
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - time.monotonic()) * 1000

    def _on_ready(self, fd: int) -> None:
        if fd == self._console.input or (self._console.is_full and fd in self._streams):
            self._pump_input()
        if fd in self._streams:
            self._streams[fd].pump()
            if not self._streams[fd].is_open:
                self._poll.unregister(fd)
                del self._streams[fd]
        elif fd == self._control:
            self._take_orders()
        else:
            super()._on_ready(fd)

    def _on_message(self, data: bytes) -> None:
        if data == _COLD:
            self._holder["warm"] = False
        elif data.startswith(_UNLIMITED):
            self._cgroups.give_up(data.removeprefix(_UNLIMITED).decode())
        else:
            super()._on_message(data)

    def _announce(self) -> None:
        self._started_at = record.now()
        started: dict[str, object] = {
            "pid": self._main,
            "ticks": linux.start_ticks(self._main),
            "started_at": self._started_at,
            "unlimited": self._cgroups.problem,
            "cpu_ticks_before": self._cpu_ticks,
        }
        with contextlib.suppress(OSError):
            record.write_started(self._directory, started)
        say(self._channel, {**started, "shim": self._holder})

    def _enforce(self) -> None:
        """Kill what must be dead by now."""
        if self._wait_status is not None:
            if self._has_children:
                kill_children()
        elif self._deadline is not None and time.monotonic() >= self._deadline:
            self._deadline = None
            os.kill(self._main, signal.SIGKILL)

    def _pump_input(self) -> None:
        """Pass input on to the terminal; while that is full, wait for it instead of for the clients."""
        self._console.pump()
        self._poll.modify(self._console.input, 0 if self._console.is_full else select.POLLIN)
        for fd in self._streams:
            self._poll.modify(fd, select.POLLIN | (select.POLLOUT if self._console.is_full else 0))

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
                elif verb == "oom":
                    self._is_out_of_memory = True
                    self._signal(signal.SIGKILL)
                elif verb == "resize":
                    self._console.resize(*map(int, value.split()))
                elif verb == "end-input":
                    self._console.end_input()

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
                os.kill(self._main, number)

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
        if code and (self._is_out_of_memory or self._cgroups.has_run_out_of_memory()):
            ended["reason"] = "OOMKilled"
        self._cgroups.remove()
        if self._failure is not None:
            ended.update(code=128, signal=None, stage=self._failure["stage"], message=self._failure["message"])
        try:
            record.write_exit(self._directory, ended)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):  # else: the directory was removed under our feet
                raise


def begin() -> None:
    """Make this process one that keeps others."""
    os.setsid()
    linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    linux.prctl(linux.PR_SET_NAME, b"beamhall-shim")


def keep(zygote: socket.socket, first: int) -> Callable[[], None]:
    """Be the shim of one container after the other, as the zygote has orders. After ``begin``.

    Args:
        zygote: Brings the channels of orders, and is told when another is welcome.
        first: The channel of the first order.

    Returns:
        Only in a container that starts warm: what runs its program.
    """
    program = run(socket.socket(fileno=first))
    while program is None:
        with contextlib.suppress(OSError):
            zygote.send(b".")
        ahead = None
        if not select.select([zygote], (), (), _CALM_S)[0]:  # what comes at once is not kept waiting for a fork
            ahead = Ahead()
            if ahead.is_container:
                zygote.close()
                return contain(ahead)
        data, fds = linux.receive(zygote, 1)
        if not data:  # the zygote is gone, or has no use for this process
            os._exit(0)
        program = run(socket.socket(fileno=fds[0]), ahead)
    zygote.close()
    return program


def run(channel: socket.socket, ahead: Ahead | None = None) -> Callable[[], None] | None:
    """Be the shim of one container, from the order to the exit record. Ends the process if it can keep no other.

    Args:
        channel: Where the order comes from, and where it is answered.
        ahead: A container that was forked ahead.

    Returns:
        In a container that starts warm: what runs its program.
    """
    order, fds = read_order(channel)
    if not order:
        os._exit(0)
    spec = json.loads(order)
    if "beside" in spec:
        execution.run(spec, channel, fds)
    if ahead is not None and (spec["stdin"] or spec["tty"]):
        ahead.forget()
        ahead = None
    used = linux.stat_fields("self")
    shim = Shim(spec, channel, cpu_ticks=int(used[13]) + int(used[14]))
    hook = sys.excepthook
    sys.excepthook = shim.crash
    if not shim.claim():
        os._exit(0)
    if not shim.start(order, ahead):
        sys.excepthook = hook
        return shim.program()
    if not shim.serve():
        os._exit(0)
    sys.excepthook = hook
    return None


def contain(ahead: Ahead) -> Callable[[], None]:
    """Be a container that was forked ahead, once it is told what it is. Returns what runs its program."""
    shim = Shim(ahead.wait(), ahead.channel)
    hook = sys.excepthook
    sys.excepthook = shim.crash
    shim.take_place(ahead)
    sys.excepthook = hook
    return shim.program()
