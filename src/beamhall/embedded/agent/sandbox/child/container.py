"""A container's first moments: from the fork off its shim to its program.

Everything here happens in the container's own process, before its program. What goes wrong is told to the shim as a
stage and a message. Knows nothing of the service. Next: ``namespaces``, ``seccomp``, ``warm``.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from beamhall.embedded.agent.sandbox.child import linux, namespaces, seccomp


class StartError(Exception):
    """The program cannot be started.

    Args:
        stage: ``command-not-found``, ``permission``, ``exec``, ``cwd``, ``mount``, ``namespace`` or ``network``.
        message: What is wrong, with which name.
        code: The exit code that a shell would give.
    """

    def __init__(self, stage: str, message: str, code: int = 128) -> None:
        super().__init__(message)
        self.stage = stage
        self.message = message
        self.code = code


def prepare(
    spec: Mapping[str, Any],
    shim_pid: int,
    status: socket.socket,
    enter: Callable[[Mapping[str, Any]], None] = namespaces.enter,
) -> None:
    """Make this process into the container, up to but without its program.

    Args:
        spec: What the container is to be.
        shim_pid: The parent, without which it must not live.
        status: Where the listener of its network calls is sent.
        enter: Gives this process its namespaces.

    Raises:
        StartError: Something that the specification asks for cannot be had here.
    """
    if os.getsid(0) != os.getpid():  # else it was forked ahead
        os.setsid()
    try:
        enter(spec)
    except namespaces.MountError as error:
        raise StartError("mount", str(error)) from error
    except OSError as error:
        raise StartError("namespace", f"cannot isolate the container: {error.strerror}") from error
    if spec["address"]:
        try:
            seccomp.send_listener(status)
        except OSError as error:
            raise StartError("network", f"cannot give the container its address: {error.strerror}") from error
    try:
        _confine(spec.get("confinement") or {})
    except OSError as error:
        raise StartError("permission", f"cannot confine the container: {error.strerror}") from error
    # After all that: gaining capabilities in a user namespace clears it, and becoming another user does.
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != shim_pid:
        os.kill(os.getpid(), signal.SIGKILL)
    os.umask(int(spec["umask"]))
    _stand_back(int(spec.get("niceness") or 0))
    try:
        os.chdir(spec["cwd"])
    except OSError as error:
        raise StartError("cwd", f"working directory {spec['cwd']!r}: {error.strerror}") from error


def _stand_back(niceness: int) -> None:
    """Weigh less than others. A session of its own is a group of its own to some kernels, which weigh that first."""
    if niceness:
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
        with contextlib.suppress(OSError), open("/proc/self/autogroup", "w") as file:
            file.write(str(niceness))


def _confine(confinement: Mapping[str, Any]) -> None:
    """Give up what the container may not have. Raises OSError."""
    for capability in confinement.get("dropped") or ():
        with contextlib.suppress(OSError):  # one that this kernel does not know
            linux.prctl(linux.PR_CAPBSET_DROP, capability)
    identity = confinement.get("identity")
    if identity:
        for fd in (1, 2):
            with contextlib.suppress(OSError):  # so that it can open /dev/stdout
                os.fchown(fd, identity["uid"], identity["gid"])
        os.setgroups(identity["groups"])
        os.setresgid(identity["gid"], identity["gid"], identity["gid"])
        os.setresuid(identity["uid"], identity["uid"], identity["uid"])
    if confinement.get("no_new_privileges"):
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)


def execute(argv: Sequence[str], env: Mapping[str, str]) -> None:
    """Become the program. Does not return.

    Raises:
        StartError: There is no such program, or it cannot be run.
    """
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    denied = ""
    for path in _candidates(argv[0], env.get("PATH", os.defpath)):
        try:
            os.execve(path, list(argv), dict(env))  # noqa: S606
        except FileNotFoundError:
            if os.path.exists(path):
                raise StartError(
                    "exec", f"cannot run {path!r}: the interpreter that it names is missing", 127
                ) from None
        except NotADirectoryError:
            continue
        except PermissionError:
            denied = path
        except OSError as error:
            raise StartError("exec", _exec_message(path, error), 126) from error
    if denied:
        raise StartError("permission", f"cannot run {denied!r}: permission denied", 126)
    raise StartError("command-not-found", f"command {argv[0]!r} was not found{_where(argv[0], env)}", 127)


def _candidates(command: str, path: str) -> list[str]:
    if "/" in command or not command:
        return [command]
    return [os.path.join(directory or ".", command) for directory in path.split(":")]


def _where(command: str, env: Mapping[str, str]) -> str:
    return "" if "/" in command else f" in PATH={env.get('PATH', os.defpath)}"


def _exec_message(path: str, error: OSError) -> str:
    if error.errno == errno.ENOEXEC:
        return f"cannot run {path!r}: not a program of this machine, and no #! line"
    return f"cannot run {path!r}: {error.strerror}"


def report(status: socket.socket, error: StartError) -> None:
    """Tell the shim why there is no program."""
    status.send(json.dumps({"stage": error.stage, "message": error.message[:1000], "code": error.code}).encode())
