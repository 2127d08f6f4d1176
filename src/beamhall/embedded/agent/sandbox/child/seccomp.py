"""The filter that hands a container's ``bind`` and ``connect`` to its shim, and how to speak with the kernel about it.

It also refuses signals to everybody.

Knows nothing of addresses; what is done with the calls is in ``loopback``.
Source: seccomp_unotify(2), seccomp(2); the Linux headers seccomp.h, filter.h and audit.h for the numbers.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import socket
import struct

from beamhall.embedded.agent.sandbox.child import linux

_SET_MODE_FILTER = 1
_FLAG_SPEC_ALLOW = 1 << 2
_FLAG_NEW_LISTENER = 1 << 3
_FLAG_WAIT_KILLABLE = 1 << 5
_RET_USER_NOTIF = 0x7FC00000
_RET_ALLOW = 0x7FFF0000
_RET_ERRNO = 0x00050000
_IOCTL_RECV = 0xC0502100
_IOCTL_SEND = 0xC0182101
_IOCTL_ID_VALID = 0x40082102
_CONTINUE = 1
_LOAD = 0x20
_JUMP_IF_EQUAL = 0x15
_RETURN = 0x06

_EVERYBODY = 0xFFFFFFFF
_PROGRAM = (
    (_LOAD, 0, 0, 4),  # the architecture
    (_JUMP_IF_EQUAL, 0, 6, linux.AUDIT_ARCH),
    (_LOAD, 0, 0, 0),  # the call's number
    (_JUMP_IF_EQUAL, 5, 0, linux.SYS_BIND),
    (_JUMP_IF_EQUAL, 4, 0, linux.SYS_CONNECT),
    (_JUMP_IF_EQUAL, 0, 2, linux.SYS_KILL),
    (_LOAD, 0, 0, 16),  # the lower half of its first argument
    (_JUMP_IF_EQUAL, 2, 0, _EVERYBODY),
    (_RETURN, 0, 0, _RET_ALLOW),
    (_RETURN, 0, 0, _RET_USER_NOTIF),
    (_RETURN, 0, 0, _RET_ERRNO | errno.EPERM),
)
"""Refused is ``kill(-1)``: in a container of its own process ids it ends what is in it, here it would end all that the
user runs, the service too."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install() -> int:
    """Put the filter on this process and all that it will start.

    Returns:
        The listener, through which the calls are answered.

    Raises:
        OSError: The kernel is too old, or forbids it.
    """
    if not linux.IS_KNOWN_MACHINE:
        raise OSError(errno.ENOSYS, "the filter is written for x86_64 and aarch64 only")
    code = b"".join(struct.pack("=HBBI", *line) for line in _PROGRAM)
    program = _Program(len(_PROGRAM), code)
    # Killable: a signal of the container's own must not interrupt a bind that the shim has already done.
    for extra in (_FLAG_WAIT_KILLABLE, 0):
        flags = _FLAG_NEW_LISTENER | _FLAG_SPEC_ALLOW | extra
        try:
            return linux.syscall(linux.SYS_SECCOMP, _SET_MODE_FILTER, flags, ctypes.byref(program))
        except OSError as error:
            if error.errno == errno.EACCES:  # not root: only for who can gain no privileges
                linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
                return linux.syscall(
                    linux.SYS_SECCOMP, _SET_MODE_FILTER, _FLAG_NEW_LISTENER | _FLAG_SPEC_ALLOW, ctypes.byref(program)
                )
            if error.errno != errno.EINVAL or not extra:
                raise
    raise AssertionError("unreachable")


def send_listener(status: socket.socket) -> None:
    """Install the filter and send its listener. Raises OSError."""
    listener = install()
    socket.send_fds(status, [b"L"], [listener])
    socket.close(listener)


class Call:
    """One call of the container that waits for an answer.

    Attributes:
        thread: The thread that made it.
        number: Which system call.
        fd: Its first argument.
        address: Where in its memory the socket address is.
        length_bytes: How long that is.
    """

    def __init__(self, data: bytes) -> None:
        self._id, self.thread, _, self.number = struct.unpack_from("=QIIi", data)
        fd, self.address, length = struct.unpack_from("=QQQ", data, 32)
        self.fd = fd & 0xFFFFFFFF
        self.length_bytes = length & 0xFFFFFFFF


def receive(listener: int) -> Call | None:
    """Take the next call. None if its thread is gone already. Raises OSError when the listener is of no more use."""
    data = bytearray(80)
    try:
        fcntl.ioctl(listener, _IOCTL_RECV, data)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
            return None
        raise
    return Call(bytes(data))


def is_waiting(listener: int, call: Call) -> bool:
    """Tell whether the call still waits: what was read of its thread's memory was then really that thread's."""
    try:
        fcntl.ioctl(listener, _IOCTL_ID_VALID, struct.pack("=Q", call._id))
    except OSError:
        return False
    return True


def answer(listener: int, call: Call, error: int | None) -> None:
    """Let the call return.

    Args:
        listener: From ``install``.
        call: From ``receive``.
        error: Its errno, 0 for success, or None: the kernel shall go on and do the call itself.
    """
    flags = _CONTINUE if error is None else 0
    data = bytearray(struct.pack("=QqiI", call._id, 0, -(error or 0), flags))
    try:
        fcntl.ioctl(listener, _IOCTL_SEND, data)
    except OSError as failure:
        if failure.errno not in (errno.ENOENT, errno.EINPROGRESS):  # ENOENT: the thread died meanwhile
            raise
