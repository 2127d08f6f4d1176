"""When runs of a schedule are due."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from beamhall.history.records import RecurringRun
from beamhall.pipelines.schedules.planning import Due, due, next_tick, run_id, run_name
from beamhall.pipelines.schedules.triggers import latest_tick, parted_cron, ticks, time_of, written_cron

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _at(text: str) -> int:
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


def _schedule(**fields: Any) -> RecurringRun:
    for name in ("start_at", "end_at", "last_at"):
        if name in fields:
            fields[name] = _at(fields[name])
    created = _at("2026-01-01T10:00:00.7")
    return RecurringRun(
        id="s", namespace="default", experiment_id="e", display_name="nightly", created_at=created, updated_at=created,
        **fields,
    )  # fmt: skip


def _due(recurring: RecurringRun, now: str, running: int = 0, zone: str = "UTC") -> tuple[list[str], str]:
    found = due(recurring, _at(now), running, zone)
    return [f"{time_of(tick):%H:%M:%S}" for tick in found.ticks], (
        f"{time_of(found.next_at):%dT%H:%M:%S}" if found.next_at else ""
    )


@pytest.mark.parametrize(
    ("fields", "now", "expected"),
    [
        # An interval counts from when the schedule was made, in whole seconds.
        ({"interval_s": 60}, "2026-01-01T10:00:59.9", ([], "01T10:01:00")),
        ({"interval_s": 60}, "2026-01-01T10:01:00", (["10:01:00"], "01T10:02:00")),
        # From its start, which may be past, or yet to come.
        ({"interval_s": 60, "start_at": "2026-01-01T09:58:30"}, "2026-01-01T10:00:00", (["09:59:30"], "01T10:00:30")),
        ({"interval_s": 60, "start_at": "2026-01-01T12:00:00"}, "2026-01-01T11:00:00", ([], "01T12:01:00")),
        # From the last run.
        ({"interval_s": 60, "last_at": "2026-01-01T10:07:00"}, "2026-01-01T10:07:30", ([], "01T10:08:00")),
        ({"interval_s": 60, "last_at": "2026-01-01T10:07:00", "start_at": "2026-01-02T00:00:00"},
         "2026-01-01T10:09:00", ([], "02T00:01:00")),
        # A clock that was set back makes nothing twice.
        ({"interval_s": 60, "last_at": "2026-01-01T10:07:00"}, "2026-01-01T10:02:00", ([], "01T10:08:00")),
        # The end belongs to it.
        ({"interval_s": 60, "end_at": "2026-01-01T10:01:00"}, "2026-01-01T11:00:00", (["10:01:00"], "")),
        ({"interval_s": 60, "end_at": "2026-01-01T10:00:59"}, "2026-01-01T11:00:00", ([], "")),
        ({"interval_s": 60, "end_at": "2026-01-01T10:01:00", "no_catchup": True}, "2026-01-01T11:00:00",
         (["10:01:00"], "")),
        # Cron, with and without seconds, and short forms.
        ({"cron": "*/15 * * * *"}, "2026-01-01T10:20:00", (["10:15:00"], "01T10:30:00")),
        ({"cron": "30 */15 * * * *"}, "2026-01-01T10:20:00", (["10:00:30"], "01T10:15:30")),
        ({"cron": "@hourly"}, "2026-01-01T10:20:00", ([], "01T11:00:00")),
        ({"cron": "@every 90s"}, "2026-01-01T10:01:40", (["10:01:30"], "01T10:03:00")),
        # What was missed is made up for as far as there is room, or only the last of it.
        ({"cron": "@hourly", "max_concurrency": 3}, "2026-01-01T18:20:00",
         (["11:00:00", "12:00:00", "13:00:00"], "01T14:00:00")),
        ({"cron": "@hourly", "max_concurrency": 3, "no_catchup": True}, "2026-01-01T18:20:00",
         (["18:00:00"], "01T19:00:00")),
        ({"interval_s": 7, "no_catchup": True}, "2026-01-01T10:00:30", (["10:00:28"], "01T10:00:35")),
        # A time zone, its own before that of the service.
        ({"cron": "0 13 * * *", "time_zone": "Europe/Zurich"}, "2026-01-01T12:00:00", (["12:00:00"], "02T12:00:00")),
    ],
)  # fmt: skip
def test_what_is_due(fields: dict[str, Any], now: str, expected: tuple[list[str], str]) -> None:
    assert _due(_schedule(**fields), now) == expected


def test_what_has_no_room_waits() -> None:
    schedule = _schedule(cron="@hourly", max_concurrency=2)
    assert _due(schedule, "2026-01-01T18:20:00", running=1) == (["11:00:00"], "01T12:00:00")
    assert _due(schedule, "2026-01-01T18:20:00", running=2) == ([], "01T11:00:00")
    assert _due(schedule, "2026-01-01T18:20:00", running=3) == ([], "01T11:00:00")
    last = _schedule(cron="@hourly", no_catchup=True)
    assert _due(last, "2026-01-01T18:20:00", running=1) == ([], "01T18:00:00")


def test_the_zone_of_the_service_is_for_those_that_name_none() -> None:
    daily, named = _schedule(cron="0 13 * * *"), _schedule(cron="0 13 * * *", time_zone="Asia/Tokyo")
    assert _due(daily, "2026-01-01T11:00:00", zone="Europe/Zurich")[1] == "01T12:00:00"
    assert _due(named, "2026-01-01T11:00:00", zone="Europe/Zurich")[1] == "02T04:00:00"


def test_a_year_of_seconds_is_planned_at_once() -> None:
    every_second = _schedule(cron="* * * * * *", max_concurrency=10)
    assert _due(every_second, "2027-01-01T10:00:00")[0] == [f"10:00:{n:02}" for n in range(1, 11)]
    last = _schedule(cron="* * * * * *", no_catchup=True)
    assert _due(last, "2027-01-01T10:00:00") == (["10:00:00"], "01T10:00:01")


@pytest.mark.parametrize("fields", [{"cron": "30 2 * * *"}, {"cron": "0 30 2 * * *"}, {"cron": "*/20 2 * * *"}])
def test_summer_time_makes_no_time_twice_and_none_lost(fields: dict[str, Any]) -> None:
    schedule = _schedule(time_zone="Europe/Zurich", **fields)
    for day in ("2026-03-27", "2026-10-23"):
        found = list(islice(ticks(schedule, "UTC", _at(f"{day}T12:00:00")), 12))
        assert found == sorted(set(found))
        days = {f"{time_of(tick):%d}" for tick in found}
        assert "*" in fields["cron"][:5] or len(days) == 12  # none is left out, the days of the change neither
        # Whenever one looks, what is latest is what is last among those that came.
        for tick in found:
            for later_s in (0, 1, 1799, 3599):
                until = tick + later_s * 1_000_000
                expected = max(one for one in found if one <= until)
                assert latest_tick(schedule, "UTC", _at(f"{day}T12:00:00"), until) == expected


def test_time_ends_before_the_last_year_does() -> None:
    schedule = _schedule(interval_s=100 * 365 * 24 * 3600, last_at="9990-01-01T00:00:00")
    assert due(schedule, _at("2026-01-01T00:00:00"), 0, "UTC") == Due([], 0)
    assert next_tick(_schedule(cron="0 0 1 1 *", last_at="9999-06-01T00:00:00"), "UTC") == 0


def test_a_run_has_one_id_and_a_name_that_tells_its_time() -> None:
    schedule = _schedule(interval_s=60)
    tick = _at("2026-01-01T10:01:00")
    assert run_id(schedule, tick) == run_id(schedule, tick)
    assert run_id(schedule, tick) != run_id(schedule, tick + 1)
    assert run_name(schedule, tick, 3) == "nightly-3-20260101100100"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("0 3 * * *", ("0 3 * * *", "")),
        (" CRON_TZ=Europe/Zurich  0 3 * * * ", ("0 3 * * *", "Europe/Zurich")),
        ("TZ=Asia/Tokyo @daily", ("@daily", "Asia/Tokyo")),
        ("0 0 3 * * 1-5", ("0 0 3 * * 1-5", "")),
        ("0 0 3 ? * MON", ("0 0 3 ? * MON", "")),
    ],
)
def test_cron_expressions_are_read(written: str, expected: tuple[str, str]) -> None:
    cron, zone = parted_cron(written)
    assert (cron, zone) == expected
    assert parted_cron(written_cron(_schedule(cron=cron, time_zone=zone))) == expected


@pytest.mark.parametrize(
    ("written", "part"),
    [
        ("", "expected 5 or 6 fields, found 0"),
        ("* * * *", "expected 5 or 6 fields, found 4"),
        ("* * * * * * *", "expected 5 or 6 fields, found 7"),
        ("61 * * * *", "bad minute"),
        ("61 0 * * * *", "bad second"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("CRON_TZ=Mars/Olympus 0 3 * * *", "unknown time zone Mars/Olympus"),
        ("CRON_TZ=../../etc/passwd 0 3 * * *", "unknown time zone"),
        ("CRON_TZ= 0 3 * * *", "no time zone stands after TZ="),
        ("@never", "unrecognized descriptor: @never"),
        ("@every soon", "failed to parse duration"),
        ("@every 99999999999999h", "the longest is 876000h"),
        ("0 0 1 1 *" + " " * 200, "it has 209 characters"),
    ],
)
def test_what_is_no_cron_expression_says_why(written: str, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        parted_cron(written)
