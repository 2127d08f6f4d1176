"""Macros in the parameters of recurring runs."""

from datetime import UTC, datetime
from typing import Any

import pytest

from beamhall.pipelines.schedules.macros import Values, fill_macros, go_time

VALUES = Values(
    scheduled=datetime(2026, 3, 5, 16, 7, 9, tzinfo=UTC), now=datetime(2026, 3, 5, 16, 7, 42, 1500, tzinfo=UTC),
    index=3, run_id="abc",
)  # fmt: skip


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("[[ScheduledTime]]", "20260305160709"),
        ("[[CurrentTime]]", "20260305160742"),
        ("data/[[ScheduledTime.2006/01/02]]/n=[[Index]]", "data/2026/03/05/n=3"),
        ("[[CurrentTime.15-04-05]] [[RunUUID]]", "16-07-42 abc"),
        ("{{$.scheduledTime.strftime('%Y-%m-%d')}}", "2026-03-05"),
        ('{{$.scheduledTime.strftime("%H")}}h', "16h"),
        # What nobody knows, and what is not one, stays.
        ("[[Unknown]] [[1, 2], [3]] [[Index.x]] {{$.inputs.parameters['a']}}", None),
        ("{{$.scheduledTime.strftime('\0')}}", None),
        # What replaces one is not looked through again.
        ({"a": ["[[Index]]", 1, None, {"[[Index]]": "[[Index]]"}]}, {"a": ["3", 1, None, {"[[Index]]": "3"}]}),
        (7, None),
    ],
)
def test_macros_are_filled_in(value: Any, expected: Any) -> None:
    assert fill_macros(value, VALUES) == (value if expected is None else expected)


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("Mon Jan _2 15:04:05 2006", "Thu Mar  5 16:07:42 2026"),
        ("Monday, 02-Jan-06 15:04:05 MST", "Thursday, 05-Mar-26 16:07:42 UTC"),
        ("2006-01-02T15:04:05Z07:00", "2026-03-05T16:07:42Z"),
        ("2006-01-02T15:04:05.999999999Z07:00", "2026-03-05T16:07:42.0015Z"),
        ("3:04PM 03 pm 4 5 1 2 002", "4:07PM 04 pm 7 42 3 5 064"),
        ("15:04:05.000 -0700 -07:00", "16:07:42.001 +0000 +00:00"),
        ("January_2006", "March_2026"),
        ("plain", "plain"),
    ],
)
def test_layouts_are_those_of_go(layout: str, expected: str) -> None:
    assert go_time(VALUES.now, layout) == expected
