"""What goes wrong, by name: a full disk, a damaged file, a clock that jumps, a client that stops reading."""

import os
import resource
import socket
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.leftovers import forget_sockets
from tests.service import ServiceProcess

__all__ = ["forget_sockets"]

DISK_BYTES = 64 * 1024 * 1024


class FullDisk:
    """A place for a data directory whose disk can be filled and emptied.

    A small file system of its own where that can be mounted; elsewhere a limit on the size of the service's files,
    which makes its writes fail in the same place.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        options = ["-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(path)]
        self._is_mounted = (
            os.geteuid() == 0 and subprocess.run(["mount", *options], capture_output=True, check=False).returncode == 0
        )
        self._pid = 0

    def close(self) -> None:
        """Take the file system away."""
        if self._is_mounted:
            subprocess.run(["umount", "--lazy", str(self.path)], check=True)

    def fill(self, service: ServiceProcess) -> None:
        """Leave no room."""
        if not self._is_mounted:
            assert service.process is not None
            self._pid = service.process.pid
            resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
            return
        with (self.path / "filler").open("wb", buffering=0) as filler:
            size = 1024 * 1024
            while size:
                try:
                    filler.write(b"x" * size)
                except OSError:
                    size //= 2

    def free(self) -> None:
        """Make room again."""
        if self._is_mounted:
            (self.path / "filler").unlink()
        else:
            resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[FullDisk]:
    """Give a disk that can be filled; it is empty at first."""
    disk = FullDisk(tmp_path / "disk")
    try:
        yield disk
    finally:
        disk.close()


@pytest.fixture
def corrupt_file() -> Callable[[Path], None]:
    """Give what damages a database: its first pages stay, so that only reading what is in it tells."""

    def corrupt(file: Path) -> None:
        content = bytearray(file.read_bytes())
        pages = len(content) // 4096
        for page in range(10, pages):
            content[page * 4096 : page * 4096 + 2048] = b"\xa5" * 2048
        file.write_bytes(content)

    return corrupt


class JumpingClock:
    """A machine's clock that is set forward and back; the monotonic one goes on by itself."""

    def __init__(self) -> None:
        self._time = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        self._monotonic = 100.0

    def now(self) -> datetime:
        return self._time

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._time += timedelta(seconds=seconds)
        self._monotonic += seconds

    def jump(self, step: timedelta) -> None:
        """Set the wall clock."""
        self._time += step


@pytest.fixture
def jumping_clock() -> JumpingClock:
    """Give a clock that can be set."""
    return JumpingClock()


class StalledWatch:
    """A client that asks for a watch and does not read it until it is told to."""

    def __init__(self, url: str, token: str, path: str) -> None:
        where = urlsplit(url)
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # the kernel takes little in its place
        self._socket.settimeout(60)
        self._socket.connect((where.hostname, where.port))
        request = f"GET {path} HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {token}\r\n\r\n"
        self._socket.sendall(request.encode())
        self._stream = self._socket.makefile("rb")

    def lines(self) -> Iterator[bytes]:
        """Read on: give the events as lines, to the end."""
        while line := self._stream.readline():
            if line.startswith(b"{"):
                yield line

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


@pytest.fixture
def stalled_watch() -> Iterator[Callable[[ServiceProcess, str], StalledWatch]]:
    """Give a maker of watches that nobody reads."""
    made: list[StalledWatch] = []

    def make(service: ServiceProcess, path: str) -> StalledWatch:
        made.append(StalledWatch(service.url, service.token, path))
        return made[-1]

    yield make
    for watch in made:
        watch.close()
