"""The zygote: a small process that forks shims on request, so that a container costs a fork and not an interpreter.

Usage: ``PYTHON zygote.py FD [MODULE...]``, or ``PYTHON zygote.py probe`` to print what works here. FD is a Unix socket
to the service. Modules are imported first, and containers may then start in this interpreter with them (see ``warm``).
The first message to the service says that it is ready, or why it cannot be. Each request is one socket, on which the
shim is told what to start, and a byte with the name of the tenant after it, for whom alone the shim may be used again;
without a name it is not. It ends when the service does. Containers outlive it. Next: ``shim``.
"""

# ruff: noqa: E402
from __future__ import annotations

import os
import sys
import types

_PACKAGE = "beamhall.embedded.agent.sandbox.child"


def _make_importable() -> None:
    """Let the files beside this one be imported by their names, where Beamhall is not installed."""
    name = ""
    for part in _PACKAGE.split("."):
        name = f"{name}.{part}" if name else part
        module = types.ModuleType(name)
        module.__path__ = []
        sys.modules[name] = module
    module.__path__ = [os.path.dirname(os.path.abspath(__file__))]


def forget(names: Sequence[str]) -> None:
    """Take these files out of ``sys.modules``: a program must find its own ``beamhall``, or none."""
    for name in names:
        sys.modules.pop(name, None)


if __name__ == "__main__":
    if sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
        sys.path.pop(0)
    _make_importable()

import gc
import importlib
import json
import select
import signal
import socket
import traceback
from collections.abc import Callable, Sequence

from beamhall.embedded.agent.sandbox.child import linux, probe, shim, warm

_TRACEBACK_BYTES = 4000
_TENANT_BYTES = 300
_IDLE_LIMIT = 4
_REST_MS = 3000
"""When nothing happens for so long, an idle shim more than one ends, with the container that it has forked ahead."""


def _import(modules: Sequence[str]) -> str:
    """Import modules. Gives what stands against forking from here, or nothing."""
    for name in modules:
        importlib.import_module(name)
    # Thread pools that know of fork (OpenBLAS) end themselves before one and start again when they are needed. One
    # trial shows whether threads are left: a child would have lost them, with the locks that they held.
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    threads = len(os.listdir("/proc/self/task"))
    return f"{threads - 1} threads were started by importing {', '.join(modules)}" if threads > 1 else ""


def _tell_problem(channel: socket.socket, kind: type[BaseException], error: BaseException) -> None:
    text = "".join(traceback.format_exception(kind, error, error.__traceback__))
    channel.send(json.dumps({"problem": text[-_TRACEBACK_BYTES:]}).encode())


class _Shims:
    """The shims that were forked, and which of them can keep another container.

    One that has kept a container knows what that was told, and its next container is forked from it: it keeps no
    other tenant's.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)
        self._all: dict[int, tuple[socket.socket, bytes]] = {}
        self._idle: list[int] = []

    def wait(self) -> tuple[bytes, list[int]]:
        """Give the next order: whose it is, and its channel. Ends the process when the service is gone."""
        channel = self._channel.fileno()
        while True:
            ready = [fd for fd, _ in self._poll.poll(_REST_MS if len(self._idle) > 1 else None)]
            if not ready:
                self._drop(self._idle[0])
            for fd in ready:
                if fd != channel:  # first: one that is idle now can take the order
                    self._hear(fd)
            if channel in ready:
                data, fds = linux.receive(self._channel, _TENANT_BYTES)
                if not data:
                    os._exit(0)
                return data[1:], fds

    def _hear(self, fd: int) -> None:
        """Take in that a shim is idle, or gone."""
        shim, _ = self._all[fd]
        if not shim.recv(1):
            self._drop(fd)
            return
        self._idle.append(fd)
        if len(self._idle) > _IDLE_LIMIT:
            self._drop(self._idle[0])

    def _drop(self, fd: int) -> None:
        """Let a shim go; it ends when it is idle."""
        self._poll.unregister(fd)
        self._all.pop(fd)[0].close()
        if fd in self._idle:
            self._idle.remove(fd)

    def pass_on(self, tenant: bytes, fds: Sequence[int]) -> bool:
        """Give an order to a shim that has kept a container of this tenant. False: there is none."""
        for fd in [fd for fd in reversed(self._idle) if self._all[fd][1] == tenant]:
            self._idle.remove(fd)
            try:
                socket.send_fds(self._all[fd][0], [b"!"], fds)
            except OSError:  # it was killed
                self._drop(fd)
            else:
                return True
        return False

    def fork(self, tenant: bytes) -> socket.socket | None:
        """Fork a shim. Gives, in it only, its end of what connects it with the zygote."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            for fd in (self._channel, ours, *(shim for shim, _ in self._all.values())):
                fd.close()
            return theirs
        theirs.close()
        if tenant:
            self._all[ours.fileno()] = ours, tenant
            self._poll.register(ours, select.POLLIN)
        else:
            ours.close()
        return None


def serve(fd: int, modules: Sequence[str]) -> Callable[[], None]:
    """Fork shims until the service is gone; then end the process.

    Returns:
        Only in a container that starts warm: what runs its program.
    """
    if modules:
        warm.register()
    channel = socket.socket(fileno=fd)
    channel.set_inheritable(False)
    hook = sys.excepthook
    sys.excepthook = ours = lambda kind, error, _: _tell_problem(channel, kind, error)
    problem = _import(modules)
    if sys.excepthook is ours:  # else a module has put its own there, which programs then have too
        sys.excepthook = hook
    channel.send(json.dumps({"problem": problem}).encode())
    if problem:
        os._exit(1)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    linux.boot_id()  # known to all that are forked
    gc.collect()
    gc.freeze()
    warm.remember()
    shims = _Shims(channel)
    while True:
        tenant, fds = shims.wait()
        if not tenant or not shims.pass_on(tenant, fds):
            zygote = shims.fork(tenant)
            if zygote is not None:
                shim.begin()
                return shim.keep(zygote, fds[0])
        for received in fds:
            os.close(received)


if __name__ == "__main__" and sys.argv[1] == "probe":
    print(json.dumps(probe.findings()))  # noqa: T201  (its standard output is how it answers)
elif __name__ == "__main__":
    # Known before there is a container: to look through all modules there would write to most of their names.
    _ours = [name for name in sys.modules if name.partition(".")[0] == "beamhall"]
    _program = serve(int(sys.argv[1]), sys.argv[2:])
    forget(_ours)
    _program()
