"""The pure parts of the driver, as tables."""

from typing import Any

import pytest

from beamhall.history.records import Task
from beamhall.pipelines.driver.ends import end_of, obstacle_of, waits_for
from beamhall.pipelines.driver.live import delay_s
from beamhall.pipelines.driver.records import MAX_ERROR, bounded, row_of
from beamhall.pipelines.driver.slots import Slots
from beamhall.pipelines.spec.ir import RetryPolicy


def pod(phase: str, *, state: Any = None, limit: int = 0, **status: Any) -> Any:
    containers = [{"name": "main", "image": "lab/x", "state": state}] if state else []
    spec = {"activeDeadlineSeconds": limit} if limit else {}
    return {"spec": spec, "status": {"phase": phase, "containerStatuses": containers, **status}}


def terminated(code: int, reason: str = "Error", **more: Any) -> Any:
    return {"terminated": {"exitCode": code, "reason": reason, **more}}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (pod("Succeeded", state=terminated(0, "Completed")), ""),
        (pod("Failed", state=terminated(3)), "it exited with code 3"),
        (pod("Failed", state=terminated(137)), "it exited with code 137, as after signal 9 (SIGKILL)"),
        (pod("Failed", state=terminated(255)), "it exited with code 255"),
        (pod("Failed", state=terminated(0, signal=11)), "it was ended by signal 11 (SIGSEGV)"),
        (
            pod("Failed", state=terminated(137, "OOMKilled")),
            "it was killed because it used more memory than its limit (OOMKilled)",
        ),
        (
            pod("Failed", state=terminated(128, "StartError", message="no such program")),
            "it failed: StartError (exit code 128): no such program",
        ),
        (
            pod("Failed", reason="DeadlineExceeded", limit=5),
            "it ran longer than it may: 5 s (activeDeadlineSeconds), and was stopped",
        ),
        (
            pod(
                "Failed",
                reason="DeadlineExceeded",
                limit=5,
                state={"waiting": {"reason": "CreateContainerConfigError", "message": "no secret"}},
            ),
            "it cannot be started: CreateContainerConfigError: no secret;"
            " after 5 s (activeDeadlineSeconds) it was given up",
        ),
        (pod("Failed", reason="Evicted", message="no disk"), "its Pod failed: Evicted: no disk"),
        (pod("Failed"), "its Pod failed, and nothing says why"),
    ],
)
def test_ends_in_words(given: Any, told: str) -> None:
    end = end_of(given)
    assert end is not None
    assert end.error == told


@pytest.mark.parametrize("phase", ["Pending", "Running", "Unknown"])
def test_what_goes_on_has_no_end(phase: str) -> None:
    assert end_of(pod(phase)) is None
    assert end_of({}) is None


def test_obstacles() -> None:
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "not known"}}
    assert obstacle_of(pod("Pending", state=waiting)) == (
        "it cannot be started: ErrImagePull (image 'lab/x'): not known", False
    )  # fmt: skip
    assert obstacle_of(pod("Pending", state={"waiting": {"reason": "InvalidImageName"}}))[1]
    assert obstacle_of(pod("Pending", state={"waiting": {"reason": "ContainerCreating"}})) == ("", False)


def test_what_a_pod_waits_for() -> None:
    creating = {"waiting": {"reason": "ContainerCreating", "message": 'secret "s" not found'}}
    unscheduled = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}
    assert waits_for(pod("Pending", state=creating)) == 'it waits for its volumes: secret "s" not found'
    assert waits_for(pod("Pending", conditions=[unscheduled])) == "it waits for a node: 0/1 nodes are available"
    assert waits_for(pod("Pending", state={"waiting": {"reason": "ContainerCreating"}})) == ""


@pytest.mark.parametrize(
    ("tries", "wait_s"),
    [(1, 2.0), (2, 6.0), (3, 18.0), (4, 20.0), (5000, 20.0)],
)
def test_back_off(tries: int, wait_s: float) -> None:
    policy = RetryPolicy(max_retry_count=9, backoff_duration=2.0, backoff_factor=3.0, backoff_max_duration=20.0)
    assert delay_s(policy, tries) == wait_s


def test_slots_go_round() -> None:
    granted: list[str] = []
    slots = Slots(2)
    assert slots.take()
    assert slots.take()
    assert not slots.take()
    for number in range(3):
        slots.wait("big", f"b{number}", granted.append)
    slots.wait("small", "s0", granted.append)
    assert granted == []
    for _ in range(3):
        slots.give_back()
    assert granted == ["b0", "s0", "b1"]
    assert not slots.take()
    assert slots.withdraw("big", "b2")
    assert not slots.withdraw("big", "b2")
    slots.give_back()
    assert slots.take()


def test_what_waits_of_a_forgotten_run_gets_nothing() -> None:
    granted: list[str] = []
    slots = Slots(1)
    slots.force()
    slots.wait("a", "x", granted.append)
    slots.wait("b", "y", granted.append)
    slots.forget("a")
    slots.give_back()
    assert granted == ["y"]


def test_long_errors_keep_both_ends() -> None:
    error = bounded("begin " + "x" * 100_000 + " end")
    assert len(error) < MAX_ERROR + 10
    assert error.startswith("begin")
    assert error.endswith(" end")


def test_a_row_of_what_failed_has_no_outputs() -> None:
    found = row_of(Task(id="i", namespace="n", run_id="r", path="/a", name="a", created_at=1, state="FAILED"))
    assert (found.path, found.state, found.outputs) == ("/a", "FAILED", None)
