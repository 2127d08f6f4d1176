"""The zygote: a small process that forks shims on request, so that a container costs a fork and not an interpreter.

Usage: ``PYTHON zygote.py FD [MODULE...]``, or ``PYTHON zygote.py probe`` to print what works here. FD is a Unix socket
to the service. Modules are imported first, and containers may then start in this interpreter with them (see ``warm``).
The first message to the service says that it is ready, or why it cannot be. Each request is one byte with one socket,
on which the shim is told what to start. It ends when the service does. Containers outlive it. Next: ``shim``.
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
import signal
import socket
import traceback
from collections.abc import Callable, Sequence

from beamhall.embedded.agent.sandbox.child import linux, probe, shim, warm

_TRACEBACK_BYTES = 4000


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


def _hand_over(spare: socket.socket | None, fds: Sequence[int]) -> bool:
    """Give an order to the shim that was forked ahead. False: there is none."""
    if spare is None:
        return False
    try:
        with spare:
            socket.send_fds(spare, [b"!"], fds)
    except OSError:  # it was killed
        return False
    return True


def _stand_by(zygote: socket.socket) -> socket.socket:
    """In a shim that was forked ahead: wait for its order, and give where it comes from."""
    shim.begin()
    shim.rehearse()
    with zygote:
        data, fds = linux.receive(zygote, 1)
    if not data:  # the zygote is gone
        os._exit(0)
    return socket.socket(fileno=fds[0])


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
    warm.remember()
    gc.collect()
    gc.freeze()
    spare: socket.socket | None = None
    while True:
        data, fds = linux.receive(channel, 1)
        if not data:
            os._exit(0)
        if not _hand_over(spare, fds) and os.fork() == 0:
            channel.close()
            shim.begin()
            return shim.run(socket.socket(fileno=fds[0]))
        for received in fds:
            os.close(received)
        if not modules:
            continue
        # Many that start warm are short and come one after another: the next shim is there before it is asked for.
        spare, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            channel.close()
            spare.close()
            return shim.run(_stand_by(theirs))
        theirs.close()


if __name__ == "__main__" and sys.argv[1] == "probe":
    print(json.dumps(probe.findings()))  # noqa: T201  (its standard output is how it answers)
elif __name__ == "__main__":
    # Known before there is a container: to look through all modules there would write to most of their names.
    _ours = [name for name in sys.modules if name.partition(".")[0] == "beamhall"]
    _program = serve(int(sys.argv[1]), sys.argv[2:])
    forget(_ours)
    _program()
