"""What is remembered of a container's runs: how many ended quickly in a row, and what they said at their end."""

from types import SimpleNamespace
from typing import Any

import pytest

from beamhall.embedded.agent.criformat import read_last_text
from beamhall.embedded.agent.directory import PodDirectory
from beamhall.embedded.agent.runs import Runs, Words
from beamhall.embedded.agent.sandbox import Exit
from beamhall.embedded.agent.settings import BackOff
from tests.unit.embedded.agent.builders import at


class Started:
    """Stands for the processes: each run takes so many seconds, and the last one runs."""

    def __init__(self, *took_s):
        self.took_s = list(took_s)

    async def launch(self, spec):
        took_s = self.took_s.pop(0)
        end = None if took_s is None else Exit(1, None, "Error", "", at(0), at(took_s), False)
        return SimpleNamespace(exit=end, started_at=at(0), directory=spec.directory, log_path=spec.directory / "log")


@pytest.mark.parametrize(
    ("took_s", "quick_ends"),
    [
        ([1], 1),
        ([1, 1, 1], 3),
        ([1, 1, None], 2),
        ([1, 1, 600], 0),
        ([1, 1, 599.9], 3),
        ([1, 600, 1], 1),
        ([None], 0),
    ],
)
async def test_quick_ends_in_a_row(tmp_path, took_s, quick_ends):
    own = PodDirectory(tmp_path, "u")
    own.path.mkdir()
    clock = SimpleNamespace(now=lambda: at(0))
    sandboxes: Any = Started(*took_s)
    runs: Any = Runs(own, sandboxes, clock, BackOff(10, 300, 600))
    for number in range(len(took_s)):
        await runs.launch("c", number, SimpleNamespace(directory=tmp_path / str(number)))
    assert runs.quick_ends("c") == quick_ends
    assert len(runs.of("c")) == min(2, len(took_s))


def test_the_back_off_doubles_up_to_its_limit():
    assert [BackOff(10, 300, 600).delay_s(n) for n in (0, 1, 2, 3, 5, 6, 100)] == [0, 10, 20, 40, 160, 300, 300]


LINE = b"2026-01-01T00:00:00.000000000Z stdout F %s\n"


@pytest.mark.parametrize(
    ("file", "is_talkative", "code", "expected"),
    [
        (b"why", True, 1, "why"),
        (b"why", False, 0, "why"),
        (b"", True, 1, "logged"),
        (b"", True, 0, ""),
        (b"", False, 1, ""),
        (None, True, 1, "logged"),
        (b"x" * 5000, False, 1, "x" * 4096),
    ],
)
def test_words(tmp_path, file, is_talkative, code, expected):
    (tmp_path / "log").write_bytes(LINE % b"logged")
    if file is not None:
        (tmp_path / "message").write_bytes(file)
    assert Words(tmp_path / "message", is_talkative).read(tmp_path / "log", code) == expected


def test_last_words_of_a_rotated_log(tmp_path):
    (tmp_path / "log.9").write_bytes(LINE % b"nine")
    (tmp_path / "log.10").write_bytes(LINE % b"ten")
    (tmp_path / "log").write_bytes(LINE % b"now")
    assert read_last_text(tmp_path / "log") == "nine\nten\nnow"
    assert read_last_text(tmp_path / "none" / "log") == ""
