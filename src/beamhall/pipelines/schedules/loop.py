"""Keeping time for schedules: sleeping until the next run is due or a schedule changes, then making what is due.

All that it knows is in the history: it may end at any moment, and another one goes on where it was.
"""

import structlog

from beamhall.history.history import History
from beamhall.history.records import Moment
from beamhall.kernel.clock import Clock
from beamhall.kernel.errors import ServiceUnavailable, UserError
from beamhall.pipelines.schedules.making import make_runs
from beamhall.pipelines.schedules.triggers import moment_of
from beamhall.pipelines.signals import Signals

CLOCK_CHECK_S = 30.0
"""How long at most it sleeps, since the clock may be set."""

ROOM_CHECK_S = 2.0
"""How often it looks whether a run has ended that another one waits for."""

RETRY_S = 10.0
"""After how many seconds it looks again whether the database can be used."""

_log = structlog.get_logger(__name__)


class Schedules:
    """Makes the runs of recurring runs.

    Args:
        history: Where they are.
        clock: The time.
        signals: Rings when a schedule was changed, and is rung when a run was made.
        zone: The time zone of cron expressions that name none.
    """

    def __init__(self, history: History, clock: Clock, signals: Signals, zone: str = "UTC") -> None:
        self._history = history
        self._clock = clock
        self._signals = signals
        self._zone = zone
        self._next_at: Moment = 0

    async def run(self) -> None:
        """Make runs until cancelled. A history without anything in it is not opened."""
        if not self._history.may_have_records():
            await self._signals.rescheduled(None)
        while True:
            await self.look()
            while not await self._signals.rescheduled(self._wait_s()) and not self._is_due():
                pass

    async def look(self) -> None:
        """Make what is due now."""
        now = moment_of(self._clock.now())
        try:
            made = await self._history.write(lambda tx: make_runs(tx, now, self._zone))
        except (ServiceUnavailable, UserError) as error:  # the database cannot be written, or cannot be opened
            _log.warning("runs of schedules cannot be made now", error=str(error))
            self._next_at = now + int(RETRY_S * 1e6)
            return
        self._next_at = made.next_at
        for run_id in made.run_ids:
            self._signals.wake(run_id)

    def _is_due(self) -> bool:
        return 0 < self._next_at <= moment_of(self._clock.now())

    def _wait_s(self) -> float | None:
        """Give the seconds to sleep; None: until a schedule changes."""
        if not self._next_at:
            return None
        left_s = (self._next_at - moment_of(self._clock.now())) / 1e6
        return min(left_s, CLOCK_CHECK_S) if left_s > 0 else ROOM_CHECK_S
