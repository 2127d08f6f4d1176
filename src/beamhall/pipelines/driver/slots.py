"""How many steps run at once, of all runs together, and whose turn it is: runs take turns, whatever their size.

Knows nothing of steps but names. Read on in ``carrier``.
"""

from collections import deque
from collections.abc import Callable

Granted = Callable[[str], None]
"""Told the path of a step that may go on now; it has a slot then, which it must give back."""


class Slots:
    """The slots of one service.

    Args:
        limit: How many there are, at least 1.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: dict[str, tuple[Granted, deque[str]]] = {}

    def take(self) -> bool:
        """Take a slot if one is free and nobody waits for it."""
        if self._free <= 0 or self._waiting:
            return False
        self._free -= 1
        return True

    def force(self) -> None:
        """Take a slot even if none is free: for what runs already."""
        self._free -= 1

    def wait(self, run_id: str, path: str, granted: Granted) -> None:
        """Have a step of a run wait for a slot. It may be told at once."""
        if run_id not in self._waiting:
            self._waiting[run_id] = granted, deque()
        self._waiting[run_id][1].append(path)
        self._grant()

    def withdraw(self, run_id: str, path: str) -> bool:
        """Have a step wait no more. False: it did not wait."""
        _, paths = self._waiting.get(run_id, (None, deque()))
        if path not in paths:
            return False
        paths.remove(path)
        if not paths:
            del self._waiting[run_id]
        return True

    def forget(self, run_id: str) -> None:
        """Have nothing of a run wait any more."""
        self._waiting.pop(run_id, None)

    def give_back(self) -> None:
        """Give a slot back."""
        self._free += 1
        self._grant()

    def _grant(self) -> None:
        while self._free > 0 and self._waiting:
            run_id = next(iter(self._waiting))
            granted, paths = self._waiting.pop(run_id)
            path = paths.popleft()
            if paths:
                self._waiting[run_id] = granted, paths  # at the end: the others come first
            self._free -= 1
            granted(path)
