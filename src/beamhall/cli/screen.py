"""The end of a terminal's output that is drawn anew while it changes; what is printed goes above it."""

import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import click

_REDRAW_S = 0.2
_CLEAR_LINE = "\x1b[2K"
_CLEAR_BELOW = "\x1b[J"


class Screen:
    """Draws lines at the end of the output, several times a second.

    Args:
        lines: Gives what is to be seen now. It is called on another thread, under ``changing``.
    """

    def __init__(self, lines: Callable[[], Sequence[str]]) -> None:
        self._lines = lines
        self._drawn = 0
        self._lock = threading.Lock()
        self._closed = threading.Event()

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Draw while the context is open, and leave the last picture on the terminal."""
        thread = threading.Thread(target=self._redraw, name="screen", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._closed.set()
            thread.join()
            with self._lock:
                self._draw()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Keep what ``lines`` reads as it is for nobody else while the context is open."""
        with self._lock:
            yield

    def print_above(self, text: str) -> None:
        """Print something that stays, above the picture; under ``changing``."""
        self._erase()
        click.echo(text)
        self._draw()

    def _redraw(self) -> None:
        while not self._closed.wait(_REDRAW_S):
            with self._lock:
                self._draw()

    def _draw(self) -> None:
        width, height = shutil.get_terminal_size()
        lines = list(self._lines())
        if len(lines) >= height:
            hidden = len(lines) - height + 2
            lines = [*lines[: height - 2], f"… {hidden} more lines"]
        self._erase()
        click.echo("\n".join(f"{_CLEAR_LINE}{_shortened(line, width)}" for line in lines))
        self._drawn = len(lines)

    def _erase(self) -> None:
        if self._drawn:
            sys.stdout.write(f"\x1b[{self._drawn}A\r{_CLEAR_BELOW}")
            self._drawn = 0


def _shortened(line: str, width: int) -> str:
    """Cut a line that would be wrapped, without its colours: the picture must have the height that was counted."""
    plain = click.unstyle(line)
    return line if len(plain) < width else f"{plain[: max(0, width - 2)]}…"
