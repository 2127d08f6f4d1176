"""Finding and killing what a dead shim left behind.

A shim ends with its container and leaves nothing. Only when the shim itself was killed may processes go on; the kernel
kills their first one then (its parent's death signal), and the rest are found here by the marker in their environment,
by their session, and by their control group. Blocking; call it in a thread.
"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Sequence

from beamhall.embedded.agent.sandbox.child import cgroups, linux, record

_LIMIT_S = 30.0
_PAUSE_S = 0.005


def kill_strays(sandbox_id: str, leader: int, leader_ticks: int, groups: Sequence[str] = ()) -> list[int]:
    """Kill every process of a sandbox whose shim is dead, and wait until they are gone.

    Args:
        sandbox_id: The value of BEAMHALL_SANDBOX.
        leader: The container's main process, whose session the others are in; 0 if it is not known.
        leader_ticks: When that started, in ticks since boot.
        groups: The directories of its control groups.

    Returns:
        The pids that are still there after 30 s: none, but for a process stuck in the kernel.
    """
    until = time.monotonic() + _LIMIT_S
    while found := find_strays(sandbox_id, leader, leader_ticks, groups):
        for pid in found:
            _kill(pid, max(0.0, until - time.monotonic()))
        if time.monotonic() >= until:
            return found
        time.sleep(_PAUSE_S)
    return []


def _kill(pid: int, limit_s: float) -> None:
    """Kill a process and wait until it is dead: its marks are gone before its files and ports are closed."""
    with contextlib.suppress(OSError):
        fd = linux.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(fd, signal.SIGKILL)
            dead = select.poll()
            dead.register(fd, select.POLLIN)
            dead.poll(limit_s * 1000)
        finally:
            os.close(fd)


def find_strays(sandbox_id: str, leader: int, leader_ticks: int, groups: Sequence[str] = ()) -> list[int]:
    """Find the living processes of a sandbox; arguments as for ``kill_strays``."""
    marker = f"{record.MARKER}={sandbox_id}".encode()
    # A session's number is free again once all of its processes are gone; then a stranger may be its leader.
    is_session_ours = bool(leader) and linux.start_ticks(leader) in (0, leader_ticks)
    members = {pid for path in groups for pid in _members(path)}
    found: list[int] = []
    for pid in linux.processes():
        fields = linux.stat_fields(pid)
        if not fields or fields[0] in "ZX" or pid == os.getpid():
            continue
        in_session = is_session_ours and int(fields[3]) == leader and int(fields[19]) >= leader_ticks
        if pid in members or in_session or marker in _environment(pid):
            found.append(pid)
    return found


def _environment(pid: int) -> list[bytes]:
    try:
        return linux.read_file(f"/proc/{pid}/environ").split(b"\0")
    except OSError:
        return []


def _members(path: str) -> list[int]:
    try:
        return [int(pid) for pid in linux.read_file(f"{path}/{cgroups.PROCESSES}").split()]
    except OSError:
        return []
