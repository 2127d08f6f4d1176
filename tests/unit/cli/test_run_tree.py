"""A run as a tree that grows with its events."""

from typing import Any

import click

from beamhall.cli.run_tree import RunTree, duration_text


def task(path: str, state: str, **data: Any) -> dict[str, Any]:
    return {"kind": "task", "path": path, "data": {"id": path, "state": state, **data}}


def text(tree: RunTree, now: int = 10_000_000) -> str:
    return click.unstyle("\n".join(tree.picture(now)))


def test_a_tree_shows_what_runs_inside_of_what() -> None:
    tree = RunTree("digits")
    tree.take({"kind": "run", "data": {"state": "RUNNING"}})
    tree.take(task("/loop", "RUNNING", type="LOOP", name="for-loop-1", started_at=1_000_000))
    tree.take(task("/loop[1]", "RUNNING", type="LOOP_ITERATION", name="for-loop-1", started_at=1_000_000))
    changed = tree.take(task("/loop[1]/train", "RUNNING", name="train", started_at=2_000_000))
    assert changed is not None
    assert changed.path == "/loop[1]/train"
    assert tree.take(task("/loop[1]/train", "RUNNING", name="train", started_at=2_000_000)) is None
    lines = text(tree).splitlines()
    assert [line.strip("│├└─ ") for line in lines] == [
        "● digits",
        "● for-loop-1  9.0 s",
        "● [1]  9.0 s",
        "● train  8.0 s",
    ]


def test_of_many_iterations_those_that_matter_are_shown() -> None:
    tree = RunTree("many")
    tree.take(task("/loop", "RUNNING", type="LOOP", name="loop"))
    for number in range(30):
        state = "FAILED" if number == 17 else "RUNNING" if number == 29 else "SUCCEEDED"
        tree.take(task(f"/loop[{number}]", state, type="LOOP_ITERATION"))
    said = text(tree)
    assert "✗ [17]" in said
    assert "● [29]" in said
    assert "30 iterations so far, 29 have ended" in said
    assert len(said.splitlines()) == 8


def test_the_end_of_a_run_and_its_failed_steps() -> None:
    tree = RunTree("r")
    tree.take(task("/a", "FAILED", error="exit code 1"))
    tree.take(task("/dag", "FAILED", type="DAG", error="/a failed"))
    before = tree.has_ended
    tree.take({"kind": "run", "data": {"state": "FAILED", "error": "/a: exit code 1"}})
    assert (before, tree.has_ended) == (False, True)
    assert tree.error == "/a: exit code 1"
    assert [node.path for node in tree.failed()] == ["/a"]


def test_what_a_step_waits_for_is_shown_once() -> None:
    tree = RunTree("r")
    tree.take(task("/a", "RUNNING"))
    held = tree.take(task("/a", "RUNNING", error="it waits for a node: 0/1 nodes\nmore"))
    assert held is not None
    assert held.held == "it waits for a node: 0/1 nodes"
    assert "it waits for a node: 0/1 nodes" in text(tree)
    assert tree.take(task("/a", "RUNNING", error="it waits for a node: 0/1 nodes")) is None
    assert tree.take(task("/a", "RUNNING")) is None
    assert "waits" not in text(tree)


def test_names_of_users_are_no_markup() -> None:
    tree = RunTree("[bold]x[/bold]")
    tree.take(task("/a", "RUNNING", name="[red]"))
    assert "[bold]x[/bold]" in text(tree)
    assert "[red]" in text(tree)


def test_durations() -> None:
    assert [duration_text(us) for us in (-5, 400_000, 125_000_000, 11_400_000_000)] == [
        "0.0 s", "0.4 s", "2 min 5 s", "3 h 10 min",
    ]  # fmt: skip
