"""A container's output, written to its log file in the format of the Container Runtime Interface.

Each line is ``<RFC 3339 time with nanoseconds> <stdout|stderr> <F|P> <text>``; P marks a part whose line goes on.
Source: Kubernetes, "CRI logging", design-proposals/node/kubelet-cri-logging.md. Knows nothing of processes.
"""

from __future__ import annotations

import contextlib
import os
import time

LINE_LIMIT_BYTES = 16 * 1024
READ_BYTES = 64 * 1024


class Log:
    """The log file. A full disk loses output, and says so when there is room again; it never blocks the container.

    Args:
        fd: The file, open for appending.
        path: Its path.
        max_bytes: It is rotated when it would grow larger, to ``path.1``, then ``path.2`` and so on; 0: never.
        max_files: How many files are kept, with the one that is written to.
    """

    def __init__(self, fd: int, path: str = "", max_bytes: int = 0, max_files: int = 0) -> None:
        self._fd = fd
        self._path = path
        self._max_bytes = max_bytes
        self._max_files = max(1, max_files)
        self._size = os.fstat(fd).st_size if max_bytes else 0
        self._limit_bytes = max_bytes
        self._rotations = 0
        self._second = -1
        self._prefix = ""
        self._lost_bytes = 0
        self._lost_why = ""
        self._torn = False

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def stamp(self) -> bytes:
        """Give the time now as the log writes it."""
        second, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._prefix}.{nanoseconds:09d}Z".encode()

    def write(self, lines: bytes) -> None:
        """Write complete log lines."""
        if self._max_bytes:
            if self._size > 0 and self._size + len(lines) > self._limit_bytes:
                self._rotate()
            self._size += len(lines)
        if self._lost_bytes or self._torn:
            note = b"%s stderr F [beamhall] about %d bytes of output were lost: %s\n" % (
                self.stamp(),
                self._lost_bytes,
                self._lost_why.encode(),
            )
            if not self._try((b"\n" if self._torn else b"") + note):
                self._lost_bytes += len(lines)
                return
            self._lost_bytes = 0
            self._torn = False
        if not self._try(lines):
            self._lost_bytes += len(lines)

    def _rotate(self) -> None:
        """Begin a new file. At every moment there is one of the plain name; a reader loses nothing of the old one."""
        fresh, earlier = f"{self._path}.new", f"{self._path}.{self._rotations + 1}"
        try:
            fd = os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.link(self._path, earlier)
                os.rename(fresh, self._path)
            except OSError:
                os.close(fd)
                with contextlib.suppress(OSError):
                    os.unlink(earlier)
                raise
        except OSError:
            self._limit_bytes = self._size + self._max_bytes  # go on with this one, and try again in time
            return
        os.close(self._fd)
        self._fd, self._size, self._limit_bytes, self._torn = fd, 0, self._max_bytes, False
        self._rotations += 1
        with contextlib.suppress(OSError):
            os.unlink(f"{self._path}.{self._rotations + 1 - self._max_files}")

    def _try(self, data: bytes) -> bool:
        view = memoryview(data)
        while view:
            try:
                written = os.write(self._fd, view)
            except OSError as error:
                if len(view) < len(data):
                    self._torn = bytes(data[len(data) - len(view) - 1 : len(data) - len(view)]) != b"\n"
                self._lost_why = os.strerror(error.errno or 0)
                return False
            view = view[written:]
        return True


class Stream:
    """One of the container's two outputs: the end of its pipe, and the line that is not yet complete.

    One that is eager logs the beginning of a line at once, as a part: somebody may be waiting for a prompt.
    """

    def __init__(self, name: str, fd: int, log: Log, *, is_eager: bool = False) -> None:
        self.fd = fd
        self._name = name.encode()
        self._log = log
        self._rest = b""
        self._is_eager = is_eager
        self.is_open = True

    def pump(self) -> bool:
        """Read once, without waiting, and log the lines that are complete.

        Returns:
            Whether there was something to read.
        """
        if not self.is_open:
            return False
        try:
            data = os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:  # EIO: nobody has the terminal any more
            data = b""
        if not data:
            self.close()
            return False
        self._take(data)
        return True

    def close(self) -> None:
        """Log what is left of a line, as a part, and close."""
        if self.is_open:
            self.is_open = False
            os.close(self.fd)
            if self._rest:
                self._log.write(self._head() + b" P " + self._rest + b"\n")
                self._rest = b""

    def _head(self) -> bytes:
        return self._log.stamp() + b" " + self._name

    def _take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        head = self._head()
        out: list[bytes] = []
        for line in lines:
            end = line
            while len(end) > LINE_LIMIT_BYTES:
                out.append(b"%s P %s\n" % (head, end[:LINE_LIMIT_BYTES]))
                end = end[LINE_LIMIT_BYTES:]
            out.append(b"%s F %s\n" % (head, end))
        while len(self._rest) >= LINE_LIMIT_BYTES or (self._rest and self._is_eager):
            out.append(b"%s P %s\n" % (head, self._rest[:LINE_LIMIT_BYTES]))
            self._rest = self._rest[LINE_LIMIT_BYTES:]
        if out:
            self._log.write(b"".join(out))
