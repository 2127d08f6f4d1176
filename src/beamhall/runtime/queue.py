"""Which key to plan next: each at most once in the queue, never twice at a time, now or after a delay.

The order is that of arrival. Bounds: a key is held once however often it is added, so there are no more than there are
objects; planning is level-triggered, so coalescing loses nothing. Time is read from ``Clock``; nothing polls.
"""

import asyncio
import heapq
from collections import deque

from beamhall.kernel.clock import Clock
from beamhall.kernel.objects import Key

BACK_OFF_MIN_S = 0.02
BACK_OFF_MAX_S = 60.0


class KeyQueue:
    """A queue for one consumer of ``get``, whatever the number of keys that are under way."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ready: deque[Key] = deque()
        self._waiting: set[Key] = set()  # in _ready, or to be put there when done
        self._active: set[Key] = set()
        self._due: dict[Key, tuple[float, int]] = {}  # and which of the timers that is
        self._timers: list[tuple[float, int, Key]] = []  # a heap; one counts only while _due names it
        self._sequence = 0
        self._failures: dict[Key, int] = {}
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way or waits, delayed keys aside."""
        return not self._waiting and not self._active

    def add(self, key: Key) -> None:
        """Plan a key soon; if it is under way, once more after that."""
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._active:
            self._ready.append(key)
            self._wake.set()

    def add_after(self, key: Key, delay_s: float) -> None:
        """Plan a key after a delay. The earlier of two delays holds; being planned for another reason ends both."""
        due = self._clock.monotonic() + max(0.0, delay_s)
        if key in self._due and self._due[key][0] <= due:
            return
        self._sequence += 1
        self._due[key] = (due, self._sequence)
        heapq.heappush(self._timers, (due, self._sequence, key))
        if len(self._timers) > 2 * len(self._due) + 64:  # drop what no longer counts, so that memory stays bounded
            self._timers = [timer for timer in self._timers if self._counts(timer)]
            heapq.heapify(self._timers)
        if self._timers[0][2] == key:
            self._wake.set()

    def add_failed(self, key: Key) -> int:
        """Plan a key again after a delay that doubles with each failure in a row. Gives their number."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self.add_after(key, min(BACK_OFF_MAX_S, BACK_OFF_MIN_S * 2.0 ** min(failures - 1, 30)))
        return failures

    def forget_failures(self, key: Key) -> None:
        """Begin counting failures anew, since it went well or the object is gone."""
        self._failures.pop(key, None)

    def pop(self) -> Key | None:
        """Take the next key that is due, or None. It is under way until ``done``."""
        self._collect_due()
        if not self._ready:
            return None
        key = self._ready.popleft()
        self._waiting.discard(key)
        self._due.pop(key, None)
        self._active.add(key)
        return key

    def done(self, key: Key) -> None:
        """End what ``pop`` began."""
        self._active.discard(key)
        if key in self._waiting:
            self._ready.append(key)
            self._wake.set()

    def next_delay_s(self) -> float | None:
        """Give the seconds until a delayed key is due, or None."""
        while self._timers and not self._counts(self._timers[0]):
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - self._clock.monotonic()) if self._timers else None

    async def get(self) -> Key:
        """Wait for a key that is due and take it."""
        while (key := self.pop()) is None:
            self._wake.clear()
            try:
                async with asyncio.timeout(self.next_delay_s()):
                    await self._wake.wait()
            except TimeoutError:
                continue
        return key

    def poke(self) -> None:
        """Look at the clock again: for clocks that are moved by hand."""
        self._wake.set()

    def _counts(self, timer: tuple[float, int, Key]) -> bool:
        return self._due.get(timer[2]) == timer[:2]

    def _collect_due(self) -> None:
        while self.next_delay_s() == 0.0:
            _, _, key = heapq.heappop(self._timers)
            del self._due[key]
            self.add(key)
