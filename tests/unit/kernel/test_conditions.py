"""Conditions: one of each type, and times that say when the status changed."""

from datetime import UTC, datetime, timedelta

from beamhall.kernel.conditions import conditions_of, find_condition, is_true, make_condition, with_condition

NOW = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
READY = make_condition("Ready", "True", "Up", "it answers", NOW)


def test_a_new_condition_stands_last() -> None:
    other = make_condition("Other", "False", "No", "", NOW)
    assert with_condition([other], READY) == [other, READY]
    assert with_condition(None, READY) == [READY]


def test_a_condition_takes_the_place_of_its_type() -> None:
    other = make_condition("Other", "False", "No", "", NOW)
    down = make_condition("Ready", "False", "Down", "gone", LATER)
    assert with_condition([READY, other], down) == [down, other]


def test_the_time_stays_where_the_status_does() -> None:
    still = make_condition("Ready", "True", "StillUp", "it answers yet", LATER)
    assert with_condition([READY], still) == [still | {"lastTransitionTime": "2024-01-02T03:04:05Z"}]


def test_fields_of_others_survive() -> None:
    (placed,) = with_condition([READY | {"observedGeneration": 3}], READY)
    assert placed["observedGeneration"] == 3


def test_the_old_list_is_left_alone() -> None:
    old = [dict(READY)]
    with_condition(old, make_condition("Ready", "False", "Down", "", LATER))
    assert old == [READY]


def test_conditions_are_found() -> None:
    pod = {"status": {"conditions": [READY]}}
    assert find_condition(conditions_of(pod), "Ready") == READY
    assert find_condition(conditions_of({"status": None}), "Ready") is None
    assert is_true(pod, "Ready")
    assert not is_true(pod, "Other")
    assert not is_true({"status": {"conditions": [READY | {"status": "Unknown"}]}}, "Ready")
