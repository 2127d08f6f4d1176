"""The life of a Pod on a simulated node, as steps."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from beamhall.embedded.agent.simulated_pods import Step, next_step, parse_duration

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def pod(annotations: dict[str, str] | None = None, status: Any = None, **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "annotations": annotations or {}, **metadata},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
        "status": status or {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]},
    }


def step(obj: dict[str, Any], now: datetime = NOW) -> Step:
    found = next_step(obj, now)
    assert found is not None
    return found


def status(obj: dict[str, Any], now: datetime = NOW) -> dict[str, Any]:
    found = step(obj, now)
    assert found.status is not None
    return found.status


def test_it_runs_at_once_and_for_as_long_as_is_asked() -> None:
    asked = {"beamhall.io/simulated-run": "1m2.5s", "beamhall.io/simulated-exit-code": "3"}
    running = status(pod(asked))
    assert running["phase"] == "Running"
    assert {c["type"]: c["status"] for c in running["conditions"]} == {
        "Initialized": "True", "ContainersReady": "True", "Ready": "True", "PodScheduled": "True",
    }  # fmt: skip
    assert running["containerStatuses"][0]["ready"] is True
    assert step(pod(asked, running)).after_s == 62.5
    later = NOW + timedelta(seconds=63)
    assert step(pod(asked, running), later).after_s == 0
    ended = status(pod(asked, running), later)
    assert ended["phase"] == "Failed"
    assert ended["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3
    assert next_step(pod(asked, ended), later) is None


def test_without_an_annotation_it_runs_until_it_is_deleted() -> None:
    running = status(pod())
    assert next_step(pod(status=running), NOW + timedelta(days=1)) is None
    assert step(pod(status=running, deletionTimestamp="2026-01-02T03:04:05Z")) == Step(None)


def test_a_wrong_annotation_is_told() -> None:
    asked = {"beamhall.io/simulated-run": "soon"}
    ended = status(pod(asked, status(pod(asked))))
    assert ended["phase"] == "Failed"
    assert "'soon'; write a duration" in ended["containerStatuses"][0]["state"]["terminated"]["message"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5s", 5), ("1h", 3600), ("1h1m1.5s", 3661.5), ("0s", 0), ("", None), ("5", None), ("-1s", None)],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == seconds
