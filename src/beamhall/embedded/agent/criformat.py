"""Container logs as the Container Runtime Interface writes them, and as ``kubectl logs`` shows them.

Each line of a file is ``<RFC 3339 time> <stdout|stderr> <F|P> <text>``; P marks a part whose line goes on. Pure.
Source: kubernetes/enhancements "CRI logging"; ``pkg/kubelet/kuberuntime/logs``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from beamhall.client.protocol import StreamName
from beamhall.embedded.agent.sandbox import log_files

_MESSAGE_LINES = 80
_MESSAGE_BYTES = 2048
_READ_BYTES = 65536


@dataclass(slots=True)
class LogText:
    """Turns a log file, given in blocks of any size, into the text that a reader asked for.

    Attributes:
        timestamps: Whether each line begins with its time.
        since: Lines whose time is before this one (same format) are left out; empty: none are.
        limit_bytes: No more than so many bytes are given; None: no limit.
    """

    timestamps: bool = False
    since: str = ""
    limit_bytes: int | None = None
    _rest: bytes = b""
    _goes_on: bool = False

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached."""
        return self.limit_bytes is not None and self.limit_bytes <= 0

    def feed(self, block: bytes) -> bytes:
        """Give the text of a block; a line whose end is still missing is kept for the next."""
        lines = (self._rest + block).split(b"\n")
        self._rest = lines.pop()
        text = b"".join(self._text(line) for line in lines)
        if self.limit_bytes is not None:
            text = text[: self.limit_bytes]
            self.limit_bytes -= len(text)
        return text

    def _text(self, line: bytes) -> bytes:
        parts = line.split(b" ", 3)
        if len(parts) < 4:
            return b""
        moment, _, tag, text = parts
        begins = not self._goes_on
        self._goes_on = tag == b"P"
        if self.since and moment.decode("ascii", "replace") < self.since:
            return b""
        head = moment + b" " if self.timestamps and begins else b""
        return head + text + (b"" if tag == b"P" else b"\n")


@dataclass(slots=True)
class LogOutputs:
    """Turns a log file, given in blocks of any size, back into what the container wrote, by stream."""

    _rest: bytes = b""

    def feed(self, block: bytes) -> Iterator[tuple[StreamName, bytes]]:
        """Give what a block holds; a log line whose end is still missing is kept for the next."""
        lines = (self._rest + block).split(b"\n")
        self._rest = lines.pop()
        parts = [line.split(b" ", 3) for line in lines]
        whole = [(part[1], part[3] + (b"" if part[2] == b"P" else b"\n")) for part in parts if len(part) == 4]
        for stream, run in groupby(whole, itemgetter(0)):
            yield "stderr" if stream == b"stderr" else "stdout", b"".join(text for _, text in run)


def tail_offset(read: Callable[[int, int], bytes], size: int, lines: int, block: int = 65536) -> tuple[int, int]:
    """Find where the last lines of a log file begin, and how many are to be looked for in the file before it.

    Args:
        read: Gives the bytes of the file at (offset, length).
        size: The file's size.
        lines: How many whole lines are wanted; parts of one line count once.
        block: How much is read at a time, from the end backwards.
    """
    if lines <= 0:
        return size, 0
    found = 0
    rest = b""
    position = size
    while position > 0:
        start = max(0, position - block)
        chunk = read(start, position - start) + rest
        position = start
        begin = chunk.find(b"\n") + 1 if start > 0 else 0
        rest, whole = chunk[:begin], chunk[begin:]
        offset = start + begin + len(whole)
        for line in reversed(whole.splitlines(keepends=True)):
            if _ends_a_line(line):
                found += 1
                if found > lines:
                    return offset, 0
            offset -= len(line)
    return 0, lines - found


def last_text(content: bytes, max_lines: int, max_bytes: int) -> str:
    """Give the end of a log as one text, for the message of a container that ended."""
    text = LogText().feed(content if content.endswith(b"\n") else content + b"\n")
    kept = b"".join(text.splitlines(keepends=True)[-max_lines:])[-max_bytes:]
    return kept.decode(errors="replace").rstrip("\n")


def read_last_text(path: Path) -> str:
    """Read the end of a log as Kubernetes does for ``FallbackToLogsOnError``: 80 lines, 2048 bytes. Blocks."""
    content = b""
    for file in reversed(log_files(path)):
        content = _end_of(file, _READ_BYTES - len(content)) + content
        if len(content) >= _READ_BYTES // 2:
            break
    return last_text(content, _MESSAGE_LINES, _MESSAGE_BYTES)


def _end_of(path: Path, limit_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - limit_bytes))
            content = file.read()
    except OSError:
        return b""
    return content.partition(b"\n")[2] if size > limit_bytes else content


def _ends_a_line(line: bytes) -> bool:
    parts = line.split(b" ", 3)
    return len(parts) == 4 and parts[2] == b"F"
