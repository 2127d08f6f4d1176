"""What of isolation works on this machine for this user, found by trying it in forked children.

Knows what ``namespaces`` and ``seccomp`` need. The service turns the findings into its ``Capabilities``.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from beamhall.embedded.agent.sandbox.child import linux, namespaces, seccomp


def findings() -> dict[str, str]:
    """Try each means.

    Returns:
        For ``root mounts``, ``user mounts``, ``root hostname``, ``user hostname`` and ``network``: empty if it works,
        else why not.
    """
    return {
        "root mounts": _attempt(lambda: _mounts(with_user=False)),
        "user mounts": _attempt(lambda: _mounts(with_user=True)),
        "root hostname": _attempt(lambda: namespaces.unshare(linux.CLONE_NEWUTS, with_user=False)),
        "user hostname": _attempt(lambda: namespaces.unshare(linux.CLONE_NEWUTS, with_user=True)),
        "network": _attempt(_network),
    }


def _mounts(*, with_user: bool) -> None:
    namespaces.unshare(linux.CLONE_NEWNS, with_user=with_user)
    linux.mount("", "/", "", linux.MS_REC | linux.MS_SLAVE)
    linux.mount("tmpfs", "/tmp", "tmpfs", 0)  # noqa: S108  (in a namespace of its own, to see whether it may)


def _network() -> None:
    listener = seccomp.install()
    os.close(listener)
    with socket.socket() as own:
        process = linux.pidfd_open(os.getpid())
        os.close(linux.syscall(linux.SYS_PIDFD_GETFD, process, own.fileno(), 0))


def _attempt(action: Callable[[], None]) -> str:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            action()
        except OSError as error:
            os.write(writer, str(error).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8") as file:
        problem = file.read()
    _, status = os.waitpid(pid, 0)
    return problem or (f"killed by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "")
