"""What makes a recurring run due: a cron expression in a time zone, or an interval, between two moments. Pure.

A cron expression has five fields, or six with seconds first, or is one of the short forms of ``kernel.schedules``. Its
time zone may stand before it, as in ``CRON_TZ=Europe/Zurich 0 3 * * *``: upstream has one for the whole service only.

Source: ``github.com/robfig/cron/v3``; kubeflow/pipelines ``scheduledworkflow/util/cron_schedule.go`` and
``periodic_schedule.go``; reference "KFP", section 1.6.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from beamhall.history.records import Moment, RecurringRun
from beamhall.kernel.schedules import Schedule, parse_schedule

LONGEST_INTERVAL_S = 100 * 365 * 24 * 3600
"""Seconds between two runs: a hundred years."""

LONGEST_CRON = 200
"""Characters of a cron expression."""

_ZONE = re.compile(r"(?:CRON_)?TZ=(\S*)\s+(.*)", re.DOTALL)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def time_of(moment: Moment) -> datetime:
    """Give the time of a moment."""
    return _EPOCH + moment * _MICROSECOND


def moment_of(time: datetime) -> Moment:
    """Give the moment of a time."""
    return (time - _EPOCH) // _MICROSECOND


def parted_cron(written: str) -> tuple[str, str]:
    """Give the expression and the time zone that a user wrote; no time zone is empty.

    Raises:
        ValueError: It cannot be understood; the message says what is wrong.
    """
    if len(written) > LONGEST_CRON:
        raise ValueError(f"it has {len(written)} characters, and may have {LONGEST_CRON}")
    match = _ZONE.fullmatch(written.strip())
    zone, expression = (match.group(1), match.group(2).strip()) if match else ("", written.strip())
    if match and not zone:
        raise ValueError("no time zone stands after TZ=; write it as CRON_TZ=Europe/Zurich 0 3 * * *")
    parse_schedule(expression, zone, may_have_seconds=True)
    return expression, zone


def written_cron(recurring: RecurringRun) -> str:
    """Give the cron expression as users write it, its time zone before it."""
    return f"CRON_TZ={recurring.time_zone} {recurring.cron}" if recurring.time_zone else recurring.cron


def ticks(recurring: RecurringRun, zone: str, since: Moment) -> Iterator[Moment]:
    """Give the moments after one at which runs are due, in order, each once, up to the end of the schedule.

    Args:
        recurring: The schedule.
        zone: The time zone of those that name none.
        since: They come after this.
    """
    found = _schedule(recurring, zone).times(time_of(since))
    last = since
    try:
        for time in found:
            tick = moment_of(time)
            if recurring.end_at and tick > recurring.end_at:
                return
            # Where summer time ends an hour comes twice, and the time of day of its second pass was there already.
            if tick > last:
                last = tick
                yield tick
    except OverflowError:  # after the year 9999
        return


def latest_tick(recurring: RecurringRun, zone: str, since: Moment, until: Moment) -> Moment | None:
    """Give the last moment after ``since`` and not after ``until`` at which a run is due; None if there is none."""
    until = min(until, recurring.end_at) if recurring.end_at else until
    if until <= since:
        return None
    near = _schedule(recurring, zone).latest(time_of(since), time_of(until))
    found = None if near is None else moment_of(near)
    # Looking back in time over the end of summer time passes some by.
    for tick in ticks(recurring, zone, since if found is None else found):
        if tick > until:
            break
        found = tick
    return found


def _schedule(recurring: RecurringRun, zone: str) -> Schedule:
    if recurring.interval_s:
        return Schedule("", every=timedelta(seconds=recurring.interval_s))
    return parse_schedule(recurring.cron, recurring.time_zone or zone, may_have_seconds=True)
