"""A sandbox's directory: the names of its files, and how they are written so that a reader never sees half of one.

``shim``       who holds the directory; there from the moment the directory has its name
``order``      what was to be started, for commands that are to run beside it; in a second line the container's process,
               once its program runs
``log``        the container's output; ``log.1``, ``log.2``, … what was rotated of it, oldest first
``control``    a fifo; lines ``signal NUMBER``, ``kill SECONDS``, ``resize ROWS COLUMNS``, ``end-input``, and ``oom``:
               kill it for having too much memory
``stdin``      a fifo, where the container has an input: what is written to it
``exit.json``  how it ended; after that nothing of it is left
``crash``      the traceback of a defect in the shim; never there
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Mapping

from beamhall.embedded.agent.sandbox.child import linux

SHIM = "shim"
ORDER = "order"
LOG = "log"
CONTROL = "control"
STDIN = "stdin"
EXIT = "exit.json"
CRASH = "crash"
_RESERVED = ".exit"
_RESERVED_BYTES = 4096

MARKER = "BEAMHALL_SANDBOX"
"""The environment variable that every process of a sandbox carries."""


def now() -> str:
    """Give the time as the records write it: RFC 3339, UTC, microseconds."""
    second, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)) + f".{nanoseconds // 1000:06d}Z"


def claim(directory: str, shim: dict[str, object], order: Mapping[str, object]) -> bool:
    """Make the directory, once.

    It is prepared beside its place and then renamed, which fails where a directory with something in it is: so it is
    there with the name of its holder in it, or not at all. Room for the exit record is taken now, so that a disk that
    is full by then cannot lose it.

    Returns:
        False if the directory exists.

    Raises:
        OSError: The parent is missing, or cannot be written.
    """
    parent, name = os.path.split(directory)
    draft = os.path.join(parent, f".{name}.{os.getpid()}")
    os.mkdir(draft, 0o700)
    _put(os.path.join(draft, SHIM), json.dumps(shim).encode())
    _put(os.path.join(draft, ORDER), json.dumps(order).encode() + b"\n")
    _put(os.path.join(draft, _RESERVED), b" " * _RESERVED_BYTES)
    _put(os.path.join(draft, LOG), b"")
    os.mkfifo(os.path.join(draft, CONTROL), 0o600)
    try:
        os.rename(draft, directory)
    except OSError as error:
        for left in os.listdir(draft):
            os.unlink(os.path.join(draft, left))
        os.rmdir(draft)
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            return False
        raise
    return True


def write_started(directory: str, value: dict[str, object]) -> None:
    """Write the container's process into a line of its own: a file more would cost more. Raises OSError."""
    fd = os.open(os.path.join(directory, ORDER), os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        os.write(fd, json.dumps(value).encode() + b"\n")
    finally:
        os.close(fd)


def _put(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while data:
            data = data[os.write(fd, data) :]
    finally:
        os.close(fd)


def write_exit(directory: str, value: dict[str, object]) -> None:
    """Write the exit record into the room that was reserved for it.

    It is not forced to the disk: that would add a disk's latency to the end of each container, and would help only
    where the power fails before a service that was down has read it. Then the sandbox counts as vanished.

    Raises:
        OSError: It cannot be written.
    """
    draft = os.path.join(directory, _RESERVED)
    _put(draft, json.dumps(value).encode().ljust(_RESERVED_BYTES))
    os.rename(draft, os.path.join(directory, EXIT))


def read(directory: str, name: str) -> dict[str, object] | None:
    """Read a record. None if it is not there, or was damaged by a crash of the machine."""
    return _read(os.path.join(directory, name), 0)


def read_started(directory: str) -> dict[str, object] | None:
    """Read the container's process. None if its program never started, or that was damaged by a crash."""
    # Containers that an earlier version has started have a file for it.
    return _read(os.path.join(directory, ORDER), 1) or _read(os.path.join(directory, "started"), 0)


def _read(path: str, number: int) -> dict[str, object] | None:
    try:
        lines = linux.read_file(path).split(b"\n")
        value = json.loads(lines[number]) if number < len(lines) else None
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return value if isinstance(value, dict) else None
