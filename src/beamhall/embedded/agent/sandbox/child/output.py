"""A container's output, written to its log file in the format of the Container Runtime Interface.

Each line is ``<RFC 3339 time with nanoseconds> <stdout|stderr> <F|P> <text>``; P marks a part whose line goes on.
Source: Kubernetes, "CRI logging", design-proposals/node/kubelet-cri-logging.md. Knows nothing of processes.
"""

from __future__ import annotations

import os
import time

LINE_LIMIT_BYTES = 16 * 1024
READ_BYTES = 64 * 1024


class Log:
    """The log file. A full disk loses output, and says so when there is room again; it never blocks the container."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._second = -1
        self._prefix = ""
        self._lost_bytes = 0
        self._lost_why = ""
        self._torn = False

    def stamp(self) -> bytes:
        """Give the time now as the log writes it."""
        second, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._prefix}.{nanoseconds:09d}Z".encode()

    def write(self, lines: bytes) -> None:
        """Write complete log lines."""
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
