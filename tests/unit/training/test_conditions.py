"""The list of conditions, step by step as upstream changes it."""

import pytest

from beamhall.training.conditions import set_condition


def _add(conditions: list[dict[str, str]], type_: str, status: str = "True", *, at: str = "t1") -> list[dict[str, str]]:
    new = {"type": type_, "status": status, "reason": f"TFJob{type_}", "message": f"{type_} at {at}"}
    return [dict(c) for c in set_condition(conditions, new, at)]


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        (["Created", "Running", "Succeeded"], ["Created=True", "Running=False", "Succeeded=True"]),
        (["Created", "Running", "Restarting"], ["Created=True", "Restarting=True"]),
        (["Created", "Running", "Restarting", "Running"], ["Created=True", "Running=True"]),
        (["Created", "Running", "Failed", "Running"], ["Created=True", "Running=False", "Failed=True"]),
        (["Created", "Restarting", "Failed"], ["Created=True", "Restarting=True", "Failed=True"]),
    ],
)
def test_types_displace_each_other(types: list[str], expected: list[str]) -> None:
    conditions: list[dict[str, str]] = []
    for type_ in types:
        conditions = _add(conditions, type_)
    assert [f"{c['type']}={c['status']}" for c in conditions] == expected


def test_the_same_status_and_reason_change_nothing() -> None:
    conditions = _add([], "Running")
    assert _add(conditions, "Running", at="t2") == conditions


def test_a_new_reason_keeps_the_time_of_transition() -> None:
    conditions = _add([], "Suspended")
    changed = set_condition(conditions, {**conditions[0], "reason": "Other"}, "t2")
    assert [(c["lastUpdateTime"], c["lastTransitionTime"]) for c in changed] == [("t2", "t1")]


def test_a_new_status_is_a_transition_and_comes_last() -> None:
    conditions = _add(_add([], "Suspended"), "Created")
    changed = _add(conditions, "Suspended", "False", at="t2")
    assert [(c["type"], c["lastTransitionTime"]) for c in changed] == [("Created", "t1"), ("Suspended", "t2")]
