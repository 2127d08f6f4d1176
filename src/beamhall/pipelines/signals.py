"""Bells inside one process: the API rings when a run wants attention, the driver when something happened to one.

They carry no facts and may ring for nothing; facts are in the history. Whoever listens also looks there now and then,
since what happened before it listened rang for nobody. Used by ``api``, ``driver`` and ``schedules``.
"""

import asyncio
from collections.abc import Set as AbstractSet


class Signals:
    """The bells of one service; for one event loop.

    Attributes:
        closing: Set when the service stops, so that what follows runs ends instead of holding that up.
    """

    def __init__(self) -> None:
        self._awake: set[str] = set()
        self._woken = asyncio.Event()
        self._followed: dict[str, asyncio.Event] = {}
        self._rescheduled = asyncio.Event()
        self.closing = asyncio.Event()

    def wake(self, run_id: str) -> None:
        """Say that a run is new, is gone, or that something was asked of it; after that is committed."""
        self._awake.add(run_id)
        self._woken.set()

    async def woken(self) -> AbstractSet[str]:
        """Wait for a run to want attention, then give all that do; each is given once. For the one driver."""
        await self._woken.wait()
        self._woken.clear()
        awake, self._awake = self._awake, set()
        return awake

    def reschedule(self) -> None:
        """Say that a schedule was made or changed; after that is committed."""
        self._rescheduled.set()

    async def rescheduled(self, timeout_s: float | None) -> bool:
        """Wait for a schedule to have changed, within so many seconds. For the one that makes runs of schedules."""
        is_rung = await wait_for(self._rescheduled, timeout_s)
        self._rescheduled.clear()
        return is_rung

    def publish(self, run_id: str) -> None:
        """Say that something new of a run can be read; after that is committed."""
        event = self._followed.pop(run_id, None)
        if event is not None:
            event.set()

    def follow(self, run_id: str) -> asyncio.Event:
        """Give what is set by the next ``publish`` of a run; several followers share it.

        Ask for it before reading what there is, or what comes between the two rings for nobody.
        """
        return self._followed.setdefault(run_id, asyncio.Event())


async def wait_for(event: asyncio.Event, timeout_s: float | None) -> bool:
    """Wait for an event. False: it did not come within so many seconds; None is however long it takes."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
