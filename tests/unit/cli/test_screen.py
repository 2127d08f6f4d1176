"""The end of a terminal's output, drawn anew."""

import os
import shutil

import pytest

from beamhall.cli.screen import Screen


def seen(output: str) -> list[str]:
    """Give what a terminal shows after this output: it knows the codes that a screen writes."""
    lines = [""]
    for part in output.replace("\x1b[2K", "").replace("\r", "").split("\x1b["):
        code, rest = ("", part)
        if part and part[0].isdigit() and "A" in part:
            code, _, rest = part.partition("A")
            lines = [*lines[: len(lines) - 1 - int(code)], ""]
        elif part.startswith("J"):
            rest = part[1:]
        head, *more = rest.split("\n")
        lines[-1] += head
        lines += more
    return lines[:-1]


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((20, 6)))


def test_a_picture_is_drawn_over_the_one_before_and_what_is_printed_stays(capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["one"]
    screen = Screen(lambda: lines)
    with screen.drawing(), screen.changing():
        lines.append("two")
        screen.print_above("kept")
        lines[0] = "1"
    assert seen(capsys.readouterr().out) == ["kept", "1", "two"]


def test_a_picture_is_no_larger_than_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Screen(lambda: ["x" * 30, *map(str, range(9))]).drawing():
        pass
    assert seen(capsys.readouterr().out) == ["x" * 18 + "…", "0", "1", "2", "… 6 more lines"]
