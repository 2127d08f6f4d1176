"""What is told of a job while it runs, and where its files go."""

from pathlib import Path
from typing import Any

import click
import pytest

from beamhall.cli.job_files import files_of
from beamhall.cli.job_story import JobStory
from beamhall.cli.submitting import MAX_NAME, starting_name
from beamhall.kernel.names import label_1035_problem


def _pod(replica: str, phase: str, **more: Any) -> dict[str, Any]:
    return {
        "event": "pod", "replica": replica, "phase": phase, "uid": "1", "restarts": 0, "reason": "", **more,
    }  # fmt: skip


def _told(story: JobStory, *events: dict[str, Any]) -> list[str]:
    return [line for event in events for line in story.take(event)]


def test_logs_are_prefixed_and_states_and_telling_events_said_once() -> None:
    story = JobStory("j")
    pulling = {"event": "event", "reason": "Pulling", "message": "m"}
    lines = _told(
        story,
        {"event": "job", "state": "Created"},
        pulling,
        pulling,
        {"event": "event", "reason": "Started", "message": "m"},
        {"event": "job", "state": "Running", "replicas": 2},
        {"event": "job", "state": "Running", "replicas": 2},
        _pod("worker-0", "Running"),
        {"event": "log", "replica": "worker-0", "lines": ["a", "b"]},
    )
    assert lines == ["j: Created", "j: Pulling: m", "j: Running", "worker-0 | a", "worker-0 | b"]
    assert story.summary() == "j: Running, 1/2 running"
    assert not story.has_ended


def test_a_failure_is_told_with_the_last_lines_of_who_failed_first() -> None:
    story = JobStory("j")
    many = [str(i) for i in range(100)]
    _told(
        story,
        _pod("worker-1", "Failed", exitCode=1, finishedAt="2026-01-01T00:00:05Z", reason="Error"),
        _pod("worker-0", "Failed", exitCode=3, finishedAt="2026-01-01T00:00:01Z", reason="Error"),
        {"event": "log", "replica": "worker-0", "lines": many},
        {"event": "log", "replica": "worker-1", "lines": ["consequence"]},
        {"event": "job", "state": "Failed", "message": "1 replica failed"},
    )
    assert story.has_ended
    told = list(story.failure())
    assert told[:2] == ["the job failed: 1 replica failed", "worker-0 ended with exit code 3; the end of its log:"]
    assert told[2:] == [f"  worker-0 | {line}" for line in many[-20:]]


def test_a_replica_that_starts_again_is_told_with_why_and_is_no_failure() -> None:
    story = JobStory("j")
    lines = _told(
        story,
        _pod("worker-0", "Running"),
        _pod("worker-0", "Failed", exitCode=137, reason="OOMKilled"),
        _pod("worker-0", "Pending", uid="2"),
        {"event": "job", "state": "Failed", "message": "m"},
    )
    assert lines == ["j: worker-0 starts again; it was killed by signal 9 (OOMKilled)"]
    assert list(story.failure()) == ["the job failed: m"]


def test_progress_stands_in_the_line_below() -> None:
    story = JobStory("j")
    progress = {
        "metrics": [{"name": "loss", "value": "0.123456789"}],
        "progressPercentage": 40,
        "estimatedRemainingSeconds": 7,
    }
    _told(story, {"event": "job", "state": "Running", "replicas": 1, "progress": progress})
    assert story.summary() == "j: Running, 0/1 running, loss 0.123457, 40 %, 7 s left"


@pytest.mark.parametrize("stem", ["train", "My_Script", "3d-net", "x" * 100, "_"])
def test_names_of_jobs_are_made_of_names_of_scripts(stem: str) -> None:
    name = starting_name(stem)
    assert label_1035_problem(name) == ""
    assert len(name) <= MAX_NAME
    assert name != starting_name(stem)


def test_files_below_the_script_keep_their_places_and_others_lie_beside_it(tmp_path: Path) -> None:
    for place in ("project/train.py", "project/pkg/a.py", "project/pkg/__pycache__/a.pyc", "lib/b.py", "c.yaml"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(place)
    script = tmp_path / "project/train.py"
    included = [tmp_path / "project/pkg", tmp_path / "lib", tmp_path / "c.yaml"]
    assert {place: content.decode() for place, content in files_of(script, included).items()} == {
        "train.py": "project/train.py",
        "pkg/a.py": "project/pkg/a.py",
        "lib/b.py": "lib/b.py",
        "c.yaml": "c.yaml",
    }
    assert set(files_of(script, [tmp_path / "project"])) == {"train.py", "pkg/a.py"}
    (tmp_path / "train.py").write_text("another")
    with pytest.raises(click.ClickException, match=r"would both be train\.py"):
        files_of(script, [tmp_path / "train.py"])
