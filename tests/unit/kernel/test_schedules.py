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


def test_there_may_be_none() -> None:
    with pytest.raises(ValueError, match="bad day-of-month"):
        parse_schedule("0 0 30 2 *")
    assert parse_schedule("0 0 29 2 *").after(_at("2026-01-01T00:00:00")) == _at("2028-02-29T00:00:00")
