"""Which runs of a schedule are due now, and when to look again. Pure: what is made of it is in ``making``.

What has been made up to is ``RecurringRun.last_at``, and only later times are due: no time is done twice, whatever the
clock does. Without ``no_catchup`` none is left out either, however long nobody looked; with it the last one counts.
``max_concurrency`` limits how many run at once, so also how many are made at once; the others wait.

Source: kubeflow/pipelines ``scheduledworkflow/util/scheduled_workflow.go``; reference "KFP", section 1.6. Unlike there,
``no_catchup`` keeps to the times of the schedule when it is late, for intervals as for cron expressions.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from beamhall.history.records import Moment, RecurringRun
from beamhall.pipelines.schedules.triggers import latest_tick, ticks, time_of

MOST_CONCURRENCY = 10
"""Runs of a schedule that may run at once, as upstream has it."""

_RUNS = uuid.UUID("3f1c5c54-2f0e-4f6b-9a35-5e2b7a3f6c40")


@dataclass(frozen=True, slots=True)
class Due:
    """What a schedule wants.

    Attributes:
        ticks: The scheduled times of the runs to make now, oldest first.
        next_at: When the next one is due that is not among them; before now: it waits for room. 0: never again.
    """

    ticks: Sequence[Moment]
    next_at: Moment


def due(recurring: RecurringRun, now: Moment, running: int, zone: str) -> Due:
    """Decide which runs are to be made now.

    Args:
        recurring: The schedule, of which ``parted_cron`` understood the expression.
        now: The time.
        running: How many of its runs have not ended.
        zone: The time zone of those that name none.
    """
    room = max(0, recurring.max_concurrency - running)
    since = beginning(recurring)
    if recurring.no_catchup:
        latest = latest_tick(recurring, zone, since, now)
        if latest is not None and not room:
            return Due((), latest)
        rest = ticks(recurring, zone, since if latest is None else latest)
        return Due(() if latest is None else (latest,), next(rest, 0))
    made: list[Moment] = []
    for tick in ticks(recurring, zone, since):
        if tick > now or len(made) == room:
            return Due(made, tick)
        made.append(tick)
    return Due(made, 0)


def next_tick(recurring: RecurringRun, zone: str) -> Moment:
    """Give the first time that is not done yet; 0: there is none."""
    return next(ticks(recurring, zone, beginning(recurring)), 0)


def beginning(recurring: RecurringRun) -> Moment:
    """Give the moment after which times count: what is done, or the start, which may lie in the past (a backfill)."""
    if recurring.last_at:
        return max(recurring.last_at, recurring.start_at)
    return recurring.start_at or recurring.created_at


def run_id(recurring: RecurringRun, tick: Moment) -> str:
    """Give the id of the run of a scheduled time: always the same, so that nothing can make it twice."""
    return str(uuid.uuid5(_RUNS, f"{recurring.id}\n{tick}"))


def run_name(recurring: RecurringRun, tick: Moment, index: int) -> str:
    """Give the name of a run: that of the schedule, the number of the run, and its scheduled time in UTC."""
    return f"{recurring.display_name}-{index}-{time_of(tick):%Y%m%d%H%M%S}"
