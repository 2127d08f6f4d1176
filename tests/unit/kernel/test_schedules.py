"""When recurring work is due."""

from datetime import UTC, datetime
from itertools import islice

import pytest

from beamhall.kernel.schedules import parse_schedule


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "zone", "after", "expected"),
    [
        ("*/15 * * * *", "", "2026-01-01T00:00:00", ["2026-01-01T00:15:00", "2026-01-01T00:30:00"]),
        ("@hourly", "", "2026-01-01T00:59:59", ["2026-01-01T01:00:00", "2026-01-01T02:00:00"]),
        ("0 9 * * MON", "", "2026-01-01T00:00:00", ["2026-01-05T09:00:00", "2026-01-12T09:00:00"]),
        ("0 9 ? * 1", "", "2026-01-01T00:00:00", ["2026-01-05T09:00:00"]),
        ("@every 90s", "", "2026-01-01T00:00:00.5", ["2026-01-01T00:01:30", "2026-01-01T00:03:00"]),
        ("0 12 * * *", "Europe/Zurich", "2026-03-28T12:00:00", ["2026-03-29T10:00:00", "2026-03-30T10:00:00"]),
        ("30 2 * * *", "Europe/Zurich", "2026-03-28T12:00:00", ["2026-03-29T01:00:00", "2026-03-30T00:30:00"]),
    ],
)
def test_times(text: str, zone: str, after: str, expected: list[str]) -> None:
    found = list(islice(parse_schedule(text, zone).times(_at(after)), len(expected)))
    assert found == [_at(time) for time in expected]


@pytest.mark.parametrize(
    ("text", "zone", "since", "until", "expected"),
    [
        ("*/15 * * * *", "", "2026-01-01T00:00:00", "2026-01-01T10:20:00", "2026-01-01T10:15:00"),
        ("*/15 * * * *", "", "2026-01-01T00:00:00", "2026-01-01T10:15:00", "2026-01-01T10:15:00"),
        ("*/15 * * * *", "", "2026-01-01T10:15:00", "2026-01-01T10:29:59.9", None),
        ("* 9 * * *", "", "2026-01-01T00:00:00", "2026-01-03T18:00:00", "2026-01-03T09:59:00"),
        ("@every 1h", "", "2026-01-01T00:10:00", "2026-01-01T05:00:00", "2026-01-01T04:10:00"),
        ("@every 1h", "", "2026-01-01T00:10:00", "2026-01-01T01:00:00", None),
        ("30 12 * * *", "Asia/Kolkata", "2026-01-01T00:00:00", "2026-01-02T08:00:00", "2026-01-02T07:00:00"),
    ],
)
def test_the_latest(text: str, zone: str, since: str, until: str, expected: str | None) -> None:
    found = parse_schedule(text, zone).latest(_at(since), _at(until))
    assert found == (_at(expected) if expected else None)


@pytest.mark.parametrize(
    ("text", "expected"), [("@hourly", "2026-01-01T06:00:00"), ("@every 1h", "2026-01-01T05:10:00")]
)
def test_what_follows_is_counted_from_the_beginning(text: str, expected: str) -> None:
    found = parse_schedule(text).following(_at("2026-01-01T00:10:00"), _at("2026-01-01T05:00:00"))
    assert found == _at(expected)


def test_seconds_are_only_for_those_that_have_them() -> None:
    found = next(parse_schedule("15 0 3 * * *", may_have_seconds=True).times(_at("2026-01-01T00:00:00")))
    assert found == _at("2026-01-01T03:00:15")
    with pytest.raises(ValueError, match="expected exactly 5 fields, found 6"):
        parse_schedule("15 0 3 * * *")


def test_there_may_be_none() -> None:
    with pytest.raises(ValueError, match="bad day-of-month"):
        parse_schedule("0 0 30 2 *")
    leap = parse_schedule("0 0 29 2 *")
    assert next(leap.times(_at("2026-01-01T00:00:00"))) == _at("2028-02-29T00:00:00")
