"""The triggers of recurring runs as this API has them: read, and written.

Source: Kubeflow Pipelines, backend/api/v2beta1/recurring_run.proto; reference "KFP", sections 1.3 and 1.6.
"""

from collections.abc import Mapping
from typing import Any

from beamhall.history.records import RecurringRun
from beamhall.kernel.errors import BadRequest
from beamhall.pipelines.api.messages import message, moment, text, time_text, whole_number, without_zeros
from beamhall.pipelines.schedules.triggers import LONGEST_INTERVAL_S, parted_cron, written_cron

_SPAN = {"start_time": moment, "end_time": moment}
TRIGGER = message(
    {
        "cron_schedule": message({**_SPAN, "cron": text}),
        "periodic_schedule": message({**_SPAN, "interval_second": whole_number(64)}),
    }
)
"""Reads the field ``trigger``."""


def trigger_fields(trigger: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the fields of the record for a trigger that ``TRIGGER`` read.

    Raises:
        BadRequest: It is none, two, or one that cannot be; the message says which field.
    """
    if len(trigger) != 1:
        count = "both are given" if trigger else "neither is given"
        raise BadRequest(f"trigger: one of cron_schedule and periodic_schedule is needed; {count}")
    ((name, schedule),) = trigger.items()
    fields = {"cron": "", "time_zone": "", "interval_s": 0}
    if name == "cron_schedule":
        fields |= _cron(schedule.get("cron", ""))
    else:
        fields["interval_s"] = _interval(schedule.get("interval_second", 0))
    start, end = schedule.get("start_time", 0), schedule.get("end_time", 0)
    if start < 0 or end < 0:
        raise BadRequest(f"trigger.{name}: start_time and end_time cannot be before 1970")
    if start and end and start >= end:
        raise BadRequest(
            f"trigger.{name}: the start time must be before the end time;"
            f" {time_text(start)} is not before {time_text(end)}"
        )
    return {**fields, "start_at": start, "end_at": end}


def trigger_message(recurring: RecurringRun) -> Mapping[str, Any]:
    """Write the trigger of a recurring run."""
    span = {
        "start_time": time_text(recurring.start_at) if recurring.start_at else "",
        "end_time": time_text(recurring.end_at) if recurring.end_at else "",
    }
    if recurring.interval_s:
        return {"periodic_schedule": without_zeros({**span, "interval_second": str(recurring.interval_s)})}
    return {"cron_schedule": without_zeros({**span, "cron": written_cron(recurring)})}


def _cron(written: str) -> Mapping[str, Any]:
    try:
        cron, zone = parted_cron(written)
    except ValueError as error:
        raise BadRequest(
            "trigger.cron_schedule.cron: schedule cron is not a supported format"
            f" (https://godoc.org/github.com/robfig/cron): {error}"
        ) from None
    return {"cron": cron, "time_zone": zone}


def _interval(interval_s: int) -> int:
    if not 1 <= interval_s <= LONGEST_INTERVAL_S:
        raise BadRequest(
            "trigger.periodic_schedule.interval_second: found invalid period schedule interval"
            f" {interval_s}. Set at interval to least 1 second, and at most to {LONGEST_INTERVAL_S}"
        )
    return interval_s
