"""A container's standard streams: pipes or a terminal for its output, and an input that clients may write to.

The input is a fifo in the sandbox's directory, which anyone who attaches opens and writes to; this process keeps it
open, so that the program sees no end of it between two clients, nor when the service is restarted. Knows no log.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import termios

from beamhall.embedded.agent.sandbox.child import record

_INPUT_BYTES = 4096


class Console:
    """The streams of one container, in its shim and, until ``take``, in the container.

    Args:
        directory: The sandbox's.
        stdin: Whether the container has an input; else it reads nothing.
        tty: Whether it has a terminal.

    Attributes:
        outputs: Where its outputs are read, by name; non-blocking.
        input: What is to be polled for what clients write, and then ``pump``; -1: nothing.
        is_full: Whether the terminal takes no more now; then its own descriptor is to be polled until it does.
    """

    def __init__(self, directory: str, *, stdin: bool, tty: bool) -> None:
        self.outputs: dict[str, int] = {}
        self.input = -1
        self.is_full = False
        self._keeper = -1
        self._master = -1
        self._is_terminal = tty
        self._rest = b""
        fifo = os.path.join(directory, record.STDIN)
        if stdin:
            os.mkfifo(fifo, 0o600)
        if tty:
            self._master, slave = os.openpty()
            self.outputs["stdout"] = self._master
            self._theirs = [slave, slave, slave]
            if stdin:
                self.input = os.open(fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        else:
            self.outputs["stdout"], out = os.pipe()
            self.outputs["stderr"], err = os.pipe()
            self._theirs = [
                self._read_end(fifo) if stdin else os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC),
                out,
                err,
            ]
        for fd in self.outputs.values():
            os.set_blocking(fd, False)

    def _read_end(self, fifo: str) -> int:
        opener = os.open(fifo, os.O_RDWR | os.O_CLOEXEC)  # both others would wait for each other
        end = os.open(fifo, os.O_RDONLY | os.O_CLOEXEC)
        self._keeper = os.open(fifo, os.O_WRONLY | os.O_CLOEXEC)
        os.close(opener)
        return end

    def take(self) -> None:
        """In the container: make them this process's own."""
        for number, fd in enumerate(self._theirs):
            os.dup2(fd, number)

    def control(self) -> None:
        """In the container, once it has a session of its own: make the terminal the session's. Raises OSError."""
        if self._is_terminal:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def forget(self) -> None:
        """In the container: close what is the shim's."""
        for fd in {*self._theirs, *self.outputs.values(), self.input, self._keeper} - {-1}:
            os.close(fd)

    def close(self) -> None:
        """In the shim, at the end: close the input. Whoever reads the outputs closes them."""
        for fd in {self.input, self._keeper} - {-1}:
            os.close(fd)

    def hand_over(self) -> None:
        """In the shim, after the fork: close what is the container's."""
        for fd in set(self._theirs):
            os.close(fd)

    def pump(self) -> None:
        """Pass on to the terminal what clients have written, as much as it takes."""
        if not self._rest:
            with contextlib.suppress(BlockingIOError):
                self._rest = os.read(self.input, _INPUT_BYTES)
        try:
            while self._rest:
                self._rest = self._rest[os.write(self._master, self._rest) :]
            self.is_full = False
        except OSError as error:
            self.is_full = error.errno == errno.EAGAIN
            if not self.is_full:  # nobody has the terminal any more
                self._rest = b""

    def resize(self, rows: int, columns: int) -> None:
        """Set the terminal's size."""
        if self._is_terminal:
            with contextlib.suppress(OSError, struct.error):
                fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("=HHHH", rows, columns, 0, 0))

    def end_input(self) -> None:
        """Let the program see the end of its input, once no client writes to it. A terminal's has none."""
        if self._keeper >= 0:
            os.close(self._keeper)
            self._keeper = -1
