"""Times of recurring work: cron expressions in a time zone, and the short forms ``@hourly``, ``@every 1h30m`` ...

A value that is asked for moments; who keeps time and starts things is elsewhere. Expressions are read by cronsim.

Source: Kubernetes "CronJob", section "Schedule syntax"; ``github.com/robfig/cron/v3`` for the short forms.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

_SHORT = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3}
_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_EVERY = "@every "
_LONGEST_S = 100 * 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Schedule:
    """When something is due. Made by ``parse_schedule``.

    Attributes:
        expression: Five cron fields, or six of which the first are seconds; empty if ``every`` is set.
        zone: The time zone whose wall clock the fields mean.
        every: A fixed distance between two times, counted from the first.
    """

    expression: str
    zone: tzinfo = UTC
    every: timedelta | None = None

    def times(self, moment: datetime) -> Iterator[datetime]:
        """Give the times after a moment, in order, in UTC; there may be none."""
        if self.every is not None:
            while True:
                moment = moment.replace(microsecond=0) + self.every
                yield moment
        for time in CronSim(self.expression, moment.astimezone(self.zone)):
            yield time.astimezone(UTC)

    def latest(self, since: datetime, until: datetime) -> datetime | None:
        """Give the last time after ``since`` and not after ``until``, in UTC; None if there is none."""
        if self.every is not None:
            n_passed = (until - since.replace(microsecond=0)) // self.every
            return since.replace(microsecond=0) + n_passed * self.every if n_passed > 0 else None
        whole = until.replace(microsecond=0) + timedelta(seconds=1)
        found = next(CronSim(self.expression, whole.astimezone(self.zone), reverse=True), None)
        return found.astimezone(UTC) if found is not None and since < found else None

    def following(self, since: datetime, now: datetime) -> datetime | None:
        """Give the first time after ``now``, in UTC, of those counted from ``since``; None if there is none."""
        return next(self.times(self.latest(since, now) or (since if self.every else now)), None)


def parse_schedule(text: str, zone_name: str = "", *, may_have_seconds: bool = False) -> Schedule:
    """Read a schedule.

    Args:
        text: Five cron fields, or a short form.
        zone_name: A name of the IANA time zone database; empty: UTC.
        may_have_seconds: Whether there may be six fields, the first of them seconds.

    Raises:
        ValueError: The text is no schedule, or there is no such zone; the message says which part.
    """
    zone: tzinfo = find_zone(zone_name) if zone_name else UTC
    text = text.strip()
    if text.startswith(_EVERY):
        return Schedule("", zone, _parse_distance(text.removeprefix(_EVERY)))
    if text.startswith("@") and text not in _SHORT:
        raise ValueError(f"unrecognized descriptor: {text}; use {', '.join(_SHORT)} or @every 1h30m")
    expression = _SHORT.get(text, text).replace("?", "*")
    fields = expression.split()
    if len(fields) == 6 and may_have_seconds:
        # At second 0 the five others say it all, and they are what knows how summer time begins and ends.
        expression = " ".join(fields[1:]) if fields[0] == "0" else expression
    elif len(fields) != 5:
        wanted = "5 or 6" if may_have_seconds else "exactly 5"
        raise ValueError(f"expected {wanted} fields, found {len(fields)}: {text!r}")
    try:
        CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise ValueError(f"{str(error)[:1].lower()}{str(error)[1:]} in {text!r}") from None
    return Schedule(expression, zone)


def find_zone(name: str) -> ZoneInfo:
    """Give a time zone by its name in the IANA database.

    Raises:
        ValueError: There is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not found, no possible name, the name of a directory
        raise ValueError(f"unknown time zone {name}") from None


def _parse_distance(text: str) -> timedelta:
    """Read a Go duration such as ``1h30m``: at least one second, whole seconds."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        raise ValueError(f"failed to parse duration @every {text}; write it as 1h30m")
    seconds = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    if seconds > _LONGEST_S:
        raise ValueError(f"failed to parse duration @every {text}; the longest is 876000h")
    return timedelta(seconds=max(1, int(seconds)))
