"""Time as a value that is handed in, so that nothing below the composition root reads the wall clock itself.

The wire's timestamp format lives here too, since time leaves the process in it everywhere.
"""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from. The real one is made in ``beamhall.app``; tests move theirs by hand."""

    def now(self) -> datetime:
        """Give the wall-clock time in UTC."""
        ...

    def monotonic(self) -> float:
        """Give seconds on a clock that never jumps, for measuring delays."""
        ...


def format_time(moment: datetime) -> str:
    """Write a moment as Kubernetes' ``metav1.Time``: RFC 3339, UTC, whole seconds."""
    return moment.astimezone(UTC).isoformat("T", "seconds")[:-6] + "Z"  # strftime takes several times as long


def format_micro_time(moment: datetime) -> str:
    """Write a moment as Kubernetes' ``metav1.MicroTime``: RFC 3339, UTC, microseconds."""
    return moment.astimezone(UTC).isoformat("T", "microseconds")[:-6] + "Z"


def parse_time(text: str) -> datetime:
    """Read an RFC 3339 moment, with or without fraction.

    Raises:
        ValueError: The text is no RFC 3339 time, or has no zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time {text!r} has no zone; write it as 2006-01-02T15:04:05Z")
    return moment.astimezone(UTC)
