"""System calls that Python's library lacks, by ctypes, and facts about processes from ``/proc``.

Knows Linux and nothing of sandboxes. Used by every other module here, and by the service for ``/proc``.
"""

from __future__ import annotations

import ctypes
import functools
import os
import socket

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWUSER = 0x10000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_NOATIME = 1024
MS_NODIRATIME = 2048
MS_BIND = 4096
MS_REC = 16384
MS_UNBINDABLE = 1 << 17
MS_SLAVE = 1 << 19
MS_RELATIME = 1 << 21
MNT_DETACH = 2

_MACHINE = os.uname().machine
IS_KNOWN_MACHINE = _MACHINE in ("x86_64", "aarch64") and ctypes.sizeof(ctypes.c_void_p) == 8
SYS_PIVOT_ROOT = 155 if _MACHINE == "x86_64" else 41
SYS_SECCOMP = 317 if _MACHINE == "x86_64" else 277
SYS_CAPSET = 126 if _MACHINE == "x86_64" else 91
SYS_PIDFD_OPEN = 434
SYS_PIDFD_GETFD = 438
SYS_BIND = 49 if _MACHINE == "x86_64" else 200
SYS_CONNECT = 42 if _MACHINE == "x86_64" else 203
SYS_KILL = 62 if _MACHINE == "x86_64" else 129
AUDIT_ARCH = 0xC000003E if _MACHINE == "x86_64" else 0xC00000B7

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def syscall(number: int, *arguments: object) -> int:
    """Make a system call.

    Args:
        number: The call's number on this machine.
        arguments: Integers, or what ctypes passes as a pointer.

    Raises:
        OSError: It failed.
    """
    values = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _check(int(_libc.syscall(ctypes.c_long(number), *values)), f"system call {number}")


def prctl(option: int, value: int | bytes) -> None:
    """Change a property of this process. Raises OSError where it is refused."""
    argument = ctypes.c_char_p(value) if isinstance(value, bytes) else ctypes.c_ulong(value)
    zero = ctypes.c_ulong(0)
    _check(_libc.prctl(ctypes.c_int(option), argument, zero, zero, zero), f"prctl({option})")


def unshare(flags: int) -> None:
    """Give this process namespaces of its own. Raises OSError where it is not permitted."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def setns(fd: int) -> None:
    """Enter the namespace that a descriptor stands for. Raises OSError where it is not permitted."""
    _check(_libc.setns(ctypes.c_int(fd), ctypes.c_int(0)), "setns")


def mount(source: str, target: str, fstype: str, flags: int, options: str = "") -> None:
    """Mount. Raises OSError that names the target."""
    result = _libc.mount(
        os.fsencode(source), os.fsencode(target), os.fsencode(fstype), ctypes.c_ulong(flags), os.fsencode(options)
    )
    _check(result, f"mount on {target}")


def unmount(target: str, flags: int) -> None:
    """Unmount. Raises OSError that names the target."""
    _check(_libc.umount2(ctypes.c_char_p(os.fsencode(target)), ctypes.c_int(flags)), f"unmount {target}")


def pivot_root(new: str, old: str) -> None:
    """Change the root of this mount namespace. Raises OSError."""
    syscall(SYS_PIVOT_ROOT, ctypes.c_char_p(os.fsencode(new)), ctypes.c_char_p(os.fsencode(old)))


def sethostname(name: str) -> None:
    """Set the host name in this UTS namespace. Raises OSError."""
    data = os.fsencode(name)
    _check(_libc.sethostname(ctypes.c_char_p(data), ctypes.c_size_t(len(data))), "sethostname")


def pidfd_open(pid: int) -> int:
    """Open a process. ``os.pidfd_open`` is missing from Pythons that were built on old systems. Raises OSError."""
    fd = syscall(SYS_PIDFD_OPEN, pid, 0)
    os.set_inheritable(fd, False)
    return fd


def receive(channel: socket.socket, size: int, limit: int = 1) -> tuple[bytes, list[int]]:
    """Receive a message with at most ``limit`` descriptors, which programs will not inherit. Raises OSError."""
    data, fds, _, _ = socket.recv_fds(channel, size, limit)
    for fd in fds:  # by hand: recv_fds ignores its flags in some versions
        os.set_inheritable(fd, False)
    return data, fds


def clear_environment() -> None:
    """Empty the C environment, also of what ``os.environ`` never knew of."""
    _libc.clearenv()


def drop_capabilities() -> None:
    """Give up all capabilities, as ``execve`` does for who is not root. Raises OSError."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    syscall(SYS_CAPSET, header, (ctypes.c_uint32 * 6)())


def populate(address: int, size_bytes: int) -> bool:
    """Give this process pages of its own there, as writing to them would. False if that cannot be done."""
    return int(_libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(size_bytes), ctypes.c_int(23))) == 0


def write_memory(address: int, data: bytes) -> None:
    """Overwrite bytes of this process at an address. The caller must know that they may be written."""
    ctypes.memmove(ctypes.c_void_p(address), data, len(data))


def read_file(path: str) -> bytes:
    """Read a small file whole, with no more system calls than that takes. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = b""
        while part := os.read(fd, 65536):
            data += part
        return data
    finally:
        os.close(fd)


def stat_fields(pid: int | str) -> list[str]:
    """Read ``/proc/PID/stat``.

    Args:
        pid: A process, or ``"self"``.

    Returns:
        Its fields from the third (the state) on: [0] state, [1] parent, [3] session, [19] start time in clock ticks
        since boot, [45] and [46] the ends of the command line's memory, [47] and [48] those of the environment's.
        Empty if there is no such process. Source: proc_pid_stat(5).
    """
    try:
        text = read_file(f"/proc/{pid}/stat")
    except OSError:
        return []
    return text[text.rfind(b")") + 2 :].decode().split()


def start_ticks(pid: int) -> int:
    """Give when a process started, in ticks since boot: with its pid, that names it for good. 0 if there is none."""
    fields = stat_fields(pid)
    return int(fields[19]) if fields else 0


@functools.lru_cache(maxsize=1)
def boot_id() -> str:
    """Give what names this boot of the machine; empty where that cannot be told."""
    try:
        return read_file("/proc/sys/kernel/random/boot_id").decode().strip()
    except OSError:
        return ""


def children(pid: int) -> list[int]:
    """Give the direct children of a process, of all of its threads. Empty if it is gone."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += map(int, read_file(f"/proc/{pid}/task/{thread}/children").split())
    except FileNotFoundError:
        if not os.path.exists("/proc/self/task/" + str(os.getpid()) + "/children"):
            return [p for p in processes() if (stat_fields(p) or ["", "0"])[1] == str(pid)]
    except OSError:
        pass
    return found


def processes() -> list[int]:
    """Give the pids of all processes that can be seen."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]
