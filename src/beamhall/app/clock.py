"""The real clock: the one place where the service reads the time."""

import time
from datetime import UTC, datetime


class SystemClock:
    """Tells the machine's time; implements ``kernel.clock.Clock``."""

    def now(self) -> datetime:
        """Give the wall-clock time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Give seconds on a clock that never jumps."""
        return time.monotonic()
