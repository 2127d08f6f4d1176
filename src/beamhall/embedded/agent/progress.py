"""Progress told at a bearable pace: the newest line, at most one a period, and never the wrong one last."""

import asyncio
from collections.abc import Callable


class Progress:
    """Passes lines on. Used within one event loop; ``close`` it when nothing more is to be said.

    Args:
        say: Takes a line.
        period_s: The shortest time between two lines.
    """

    def __init__(self, say: Callable[[str], None], period_s: float) -> None:
        self._say = say
        self._period_s = period_s
        self._newest = ""
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self, line: str) -> None:
        """Say a line now, or, soon after another, once the period is over unless a newer one comes."""
        self._newest = line
        if self._timer is None:
            self._tell()

    def close(self) -> None:
        """Forget what has not been said."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell(self) -> None:
        self._timer = None
        if self._newest:
            self._say(self._newest)
            self._newest = ""
            self._timer = asyncio.get_running_loop().call_later(self._period_s, self._tell)
