import os
import re
from pathlib import Path

import pytest

from beamhall.embedded.agent.sandbox.child.output import LINE_LIMIT_BYTES, Log, Stream


class Pipe:
    """A stream that reads from a pipe, and what it has logged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        reader, self.writer = os.pipe()
        os.set_blocking(reader, False)
        self.log = Log(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
        self.stream = Stream("stdout", reader, self.log)

    def send(self, data: bytes) -> None:
        os.write(self.writer, data)
        while self.stream.pump():
            pass

    def lines(self) -> list[tuple[bytes, bytes]]:
        """Give each line's flag and text, having checked its head."""
        found = []
        for line in self.path.read_bytes().split(b"\n")[:-1]:
            stamp, name, flag, text = line.split(b" ", 3)
            assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", stamp)
            assert name == b"stdout"
            found.append((flag, text))
        return found

    def close(self) -> None:
        os.close(self.writer)
        assert not self.stream.pump()
        assert not self.stream.is_open


@pytest.fixture
def pipe(tmp_path: Path) -> Pipe:
    return Pipe(tmp_path / "log")


def test_a_line_is_logged_once_it_is_complete(pipe):
    pipe.send(b"one\ntw")
    assert pipe.lines() == [(b"F", b"one")]
    pipe.send(b"o\n\n")
    assert pipe.lines() == [(b"F", b"one"), (b"F", b"two"), (b"F", b"")]
    pipe.close()
    assert len(pipe.lines()) == 3


def test_what_is_left_at_the_end_is_a_part(pipe):
    pipe.send(b"no end")
    pipe.close()
    assert pipe.lines() == [(b"P", b"no end")]


def test_any_bytes_survive(pipe):
    data = bytes(range(256))
    pipe.send(data)
    pipe.close()
    assert [text for _, text in pipe.lines()] == data.split(b"\n")


@pytest.mark.parametrize("size", [LINE_LIMIT_BYTES - 1, LINE_LIMIT_BYTES, LINE_LIMIT_BYTES + 1, 3 * LINE_LIMIT_BYTES])
@pytest.mark.parametrize("step", [1000, 65536])
def test_long_lines_are_logged_in_parts(pipe, size, step):
    data = bytes(48 + i % 70 for i in range(size)) + b"\n"
    for start in range(0, len(data), step):
        pipe.send(data[start : start + step])
    pipe.close()
    lines = pipe.lines()
    assert b"".join(text for _, text in lines) == data[:-1]
    assert all(len(text) <= LINE_LIMIT_BYTES for _, text in lines)
    assert [flag for flag, _ in lines[-1:]] == [b"F"]
    assert {flag for flag, _ in lines[:-1]} <= {b"P"}


def test_a_full_disk_loses_output_and_says_so(pipe, monkeypatch):
    pipe.send(b"before\n")
    write = os.write

    def full_disk(fd: int, data: memoryview) -> int:
        room = 10
        if fd != pipe.writer and len(data) > room:
            if len(data) < 40:  # what is left of a line that was begun
                raise OSError(28, "No space left on device")
            return write(fd, data[:room])
        return write(fd, data)

    monkeypatch.setattr(os, "write", full_disk)
    pipe.send(b"lost\n")
    monkeypatch.undo()
    pipe.send(b"after\n")
    lines = pipe.path.read_bytes().split(b"\n")
    assert lines[0].endswith(b" stdout F before")
    assert len(lines[1]) == 10
    assert b"stderr F [beamhall] about 45 bytes of output were lost: No space left on device" in lines[2]
    assert lines[3].endswith(b" stdout F after")


def test_a_log_is_rotated_between_lines(tmp_path):
    path = tmp_path / "log"
    log = Log(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), str(path), 100, 3)
    for number in range(40):
        log.write(b"line %02d of ten and some\n" % number)
        assert path.exists()
    files = sorted(tmp_path.iterdir(), key=lambda file: int(file.suffix[1:] or 99))
    assert [file.name for file in files] == ["log.8", "log.9", "log"]
    assert all(file.stat().st_size <= 100 for file in files)
    assert b"".join(file.read_bytes() for file in files).split(b"\n")[0] == b"line 28 of ten and some"
    assert files[-1].read_bytes().endswith(b"line 39 of ten and some\n")


def test_a_log_that_cannot_be_rotated_goes_on(tmp_path):
    path = tmp_path / "log"
    log = Log(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), str(path), 20, 3)
    (tmp_path / "log.new").mkdir()
    for number in range(10):
        log.write(b"line %d\n" % number)
    assert path.read_bytes().count(b"\n") == 10
    (tmp_path / "log.new").rmdir()
    for number in range(10):
        log.write(b"line %d\n" % number)
    assert list(tmp_path.glob("log.[0-9]"))
