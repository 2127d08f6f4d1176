"""Lines of logs as figures of progress."""

from datetime import UTC, datetime, timedelta

import pytest

from beamhall.training.progress import Figures, Mark, last_figures, read_figures, trainer_status

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_line_with_a_step_is_progress_and_its_numbers_are_metrics() -> None:
    figures = read_figures('{"step": 30, "steps": 120, "loss": 0.5, "phase": "warm", "ok": true}')
    assert figures == Figures({"step": 30, "steps": 120, "loss": 0.5}, 0.25)


@pytest.mark.parametrize(
    ("line", "fraction"),
    [
        ('{"epoch": 1, "epochs": 4}', 0.25),
        ('{"global_step": 5, "max_steps": 10}', 0.5),
        ('{"step": 5, "total_steps": 10, "epoch": 0}', 0.5),
        ('{"step": 12, "steps": 10}', 1.0),
        ('{"step": 12}', None),
        ('{"step": 12, "steps": 0}', None),
    ],
)
def test_how_much_is_done_is_said_where_the_line_says_out_of_how_many(line: str, fraction: float | None) -> None:
    figures = read_figures(line)
    assert figures is not None
    assert figures.fraction == fraction


@pytest.mark.parametrize(
    "line",
    [
        "",
        "step 1",
        "{",
        '{"loss": 0.5}',
        '{"step": "1"}',
        '{"step": true}',
        '{"step": NaN}',
        '["step"]',
        '{"step": 1' + " " * 20_000 + "}",
    ],
)
def test_other_lines_are_none(line: str) -> None:
    assert read_figures(line) is None


def test_of_several_lines_the_last_counts() -> None:
    assert last_figures(['{"step": 1}', '{"step": 2}', "saved"]) == Figures({"step": 2}, None)
    assert last_figures(["a", "b"]) is None


def test_the_status_is_as_trainers_send_it_and_replaces_what_is_not_told_any_more() -> None:
    assert trainer_status(Figures({"step": 3, "loss": 0.5}, None), None, NOW) == {
        "metrics": [{"name": "step", "value": "3"}, {"name": "loss", "value": "0.5"}],
        "lastUpdatedTime": "2026-01-02T03:04:05Z",
        "progressPercentage": None,
        "estimatedRemainingSeconds": None,
    }


def test_the_time_that_is_left_follows_from_the_pace_since_the_first_figure() -> None:
    first = Mark(NOW - timedelta(seconds=30), 0.5)  # a job that was resumed in the middle
    status = trainer_status(Figures({"step": 8, "steps": 10}, 0.8), first, NOW)
    assert (status["progressPercentage"], status["estimatedRemainingSeconds"]) == (80, 20)
    assert trainer_status(Figures({}, 0.5), first, NOW)["estimatedRemainingSeconds"] is None
