"""Keeps a second process from opening the same store; the kernel lets go when the process ends, however it ends."""

import fcntl
import os
from pathlib import Path

from beamhall.kernel.errors import UserError


class StoreLocked(UserError):
    """Another process has the store open; the message says which."""


class FileLock:
    """An exclusive lock on a file beside the store, holding the process id of its owner."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def acquire(self) -> None:
        """Take the lock, without waiting.

        Raises:
            StoreLocked: Another process, or another store of this process, holds it.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise StoreLocked(
                f"{self._path.parent} is in use by another Beamhall (process {owner}); stop that one,"
                " or use another directory"
            ) from err
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go of the lock; the file stays, since removing it would let two owners in."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
