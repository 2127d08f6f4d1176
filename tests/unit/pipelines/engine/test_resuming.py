"""Runs that go on from their rows: after a crash, and by a retry."""

import random

from beamhall.pipelines.engine.decisions import End, Start, State, Stop
from beamhall.pipelines.engine.events import Options, Row
from beamhall.pipelines.engine.machine import RunMachine
from beamhall.pipelines.engine.retrying import stale
from beamhall.pipelines.engine.rows import parent_of, surviving
from tests.models.pipeline_runs import Play, well
from tests.unit.pipelines.dags import anyway, dag, loop, ok, read, task, when

BODY = dag({"t": task(x={"from": "x"}), "u": task(after=("t",), n=("t", "out"))})
PIPELINE = read({"a": task(), "loop": loop("[1, 2]"), "b": task(after=("a",), n=("a", "out"))}, body=BODY)
OPTIONS = Options(fail_fast=False)


def restored(*rows: Row, canceling: bool = False) -> tuple[RunMachine, list[str]]:
    machine, decisions = RunMachine.restored(PIPELINE, {}, OPTIONS, rows, canceling=canceling)
    return machine, [f"{type(one).__name__} {getattr(one, 'path', '')}" for one in decisions]


def test_paths_nest() -> None:
    assert [parent_of(path) for path in ("", "/a", "/l[3]", "/l[3]/a", "/l[3]/m[0]")] == [
        None, "", "/l", "/l[3]", "/l[3]/m",
    ]  # fmt: skip


def test_rows_inside_of_what_has_ended_are_not_kept() -> None:
    rows = [Row(path, State.SUCCEEDED) for path in ("/l[0]", "/l[0]/t", "/a")]
    rows += [
        Row("", State.RUNNING),
        Row("/l", State.RUNNING),
        Row("/l[1]/t", State.SUCCEEDED),
        Row("/l[1]", State.RUNNING),
    ]
    assert sorted(surviving(rows)) == ["", "/a", "/l", "/l[0]", "/l[1]", "/l[1]/t"]


def test_what_was_lost_is_decided_again_and_what_ended_does_not_run() -> None:
    machine, decided = restored(
        Row("", State.RUNNING), Row("/a", State.SUCCEEDED, ok("/a", out=9).outputs), Row("/loop", State.RUNNING),
        Row("/loop[0]", State.SUCCEEDED), Row("/loop[0]/t", State.SUCCEEDED),
    )  # fmt: skip
    assert decided == ["Note /loop[1]", "Start /loop[1]/t", "Start /b"]
    assert sorted(machine.running) == ["/b", "/loop[1]/t"]


def test_a_task_whose_row_is_there_is_started_again_and_says_so() -> None:
    _, decisions = RunMachine.restored(PIPELINE, {}, OPTIONS, [Row("", State.RUNNING), Row("/a", State.PENDING)])
    starts = {one.path: one.again for one in decisions if isinstance(one, Start)}
    assert starts == {"/a": True, "/loop[0]/t": False, "/loop[1]/t": False}


def test_a_run_that_had_ended_ends_again() -> None:
    machine, decisions = RunMachine.restored(PIPELINE, {}, OPTIONS, [Row("", State.FAILED, error="/a: boom")])
    assert list(decisions) == [End(State.FAILED, "/a: boom")]
    assert machine.has_ended


def test_a_run_that_was_being_canceled_stops_what_may_run_and_starts_nothing() -> None:
    rows = (
        Row("", State.CANCELING),
        Row("/a", State.RUNNING),
        Row("/loop", State.RUNNING),
        Row("/loop[1]", State.RUNNING),
    )
    _, decisions = RunMachine.restored(PIPELINE, {}, OPTIONS, rows, canceling=True)
    assert [one.path for one in decisions if isinstance(one, Stop)] == ["/a"]
    assert not [one for one in decisions if isinstance(one, Start)]


def test_a_started_task_goes_on_after_a_failure_that_is_known_first() -> None:
    pipeline = read({"a": task(), "b": task(after=("c",)), "c": task()})
    rows = [Row("", State.RUNNING), Row("/a", State.FAILED), Row("/b", State.RUNNING), Row("/c", State.SUCCEEDED)]
    machine, _ = RunMachine.restored(pipeline, {}, Options(fail_fast=True), rows)
    assert list(machine.running) == ["/b"]


def retried(play: Play) -> list[str]:
    """Retry a run, all tasks being well now; give what was started."""
    for path in stale(play.pipeline, play.rows.values()):
        del play.rows[path]
    play.started, play.stopped, play.behave, play.canceling = [], [], well, False
    play.crash()
    play.to_end(random.Random(1))
    assert play.end is not None
    assert play.end.state is State.SUCCEEDED
    return sorted(play.started)


def test_a_retry_runs_what_failed_and_what_was_skipped() -> None:
    play = Play(PIPELINE, options=OPTIONS).begin()
    play.finish("/loop[1]/t", ok("/loop[1]/t", out=4))
    play.fail("/loop[1]/u")
    play.fail("/a")
    play.to_end()
    assert retried(play) == ["/a", "/b", "/loop[1]/u"]
    assert play.inputs["/loop[1]/u"].parameters == {"n": 4}


def test_a_retry_runs_exit_tasks_of_what_runs_again_and_of_nothing_else() -> None:
    tasks = {
        "exit-handler-1": task("body"), "exit-1": anyway(task(after=("exit-handler-1",))),
        "exit-handler-2": task("body"), "exit-2": anyway(task(after=("exit-handler-2",))),
        "last": task(after=("exit-1",)),
    }  # fmt: skip
    play = Play(read(tasks, body=BODY), options=OPTIONS).begin()
    play.fail("/exit-handler-1/t")
    play.to_end()
    assert play.states()["/last"] == "SUCCEEDED"
    assert retried(play) == ["/exit-1", "/exit-handler-1/t", "/exit-handler-1/u", "/last"]


def test_a_retry_of_a_canceled_run_does_what_was_left() -> None:
    play = Play(PIPELINE, options=OPTIONS).begin()
    play.finish("/a", ok("/a", out=1))
    play.cancel()
    play.to_end()
    assert retried(play) == ["/b", "/loop[0]/t", "/loop[0]/u", "/loop[1]/t", "/loop[1]/u"]


def test_a_branch_that_was_not_taken_is_not_taken_by_a_retry() -> None:
    branch = when("inputs.parameter_values['x'] == 'a'", task("body", x="b"))
    play = Play(read({"condition-1": branch, "t": task()}, body=BODY), options=OPTIONS).begin()
    play.fail("/t")
    assert retried(play) == ["/t"]
    assert play.states()["/condition-1"] == "SKIPPED"
