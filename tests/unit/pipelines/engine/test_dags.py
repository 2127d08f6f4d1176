"""What starts when in a DAG, with which inputs; what it comes to."""

from typing import Any

import pytest

from beamhall.pipelines.engine.decisions import Kind, State
from beamhall.pipelines.engine.events import Finished, Options
from tests.unit.pipelines.dags import anyway, dag, leaf, ok, play, task, when


def test_a_task_waits_for_all_that_it_reads_and_comes_after() -> None:
    run = play({"a": task(), "b": task(), "c": task(after=("a",), n=("b", "out")), "d": task()})
    assert run.started == ["/a", "/b", "/d"]
    run.finish("/a")
    assert run.started == ["/a", "/b", "/d"]
    run.finish("/b", ok("/b", out=7))
    assert run.started[3:] == ["/c"]
    assert run.inputs["/c"].parameters == {"n": 7}
    run.to_end()
    assert run.end is not None
    assert (run.end.state, run.end.error) == (State.SUCCEEDED, "")


def test_what_follows_a_failure_is_skipped_and_the_rest_goes_on() -> None:
    run = play({"a": task(), "b": task(after=("a",)), "c": task(after=("b",)), "d": task(), "e": task(after=("d",))})
    run.fail("/a")
    run.to_end()
    assert run.states() == {
        "": "FAILED", "/a": "FAILED", "/b": "SKIPPED", "/c": "SKIPPED", "/d": "SUCCEEDED", "/e": "SUCCEEDED",
    }  # fmt: skip
    assert run.end is not None
    assert run.end.error == "/a: boom"


def test_of_several_failures_the_first_of_the_specification_is_told_whenever_it_happened() -> None:
    run = play({"a": task(), "b": task("sub"), "c": task()}, sub=dag({"x": task()}))
    run.fail("/c")
    run.fail("/b/x")
    run.finish("/a")
    assert run.end is not None
    assert run.end.error == "/b/x: boom"
    assert run.rows["/b"].error == "/b/x: boom"


def test_fail_fast_starts_nothing_more_in_the_dag_but_what_runs_after_failures() -> None:
    tasks = {
        "a": task(), "b": task(), "c": task(after=("b",)), "d": task("sub"), "late": anyway(task(after=("c",))),
    }  # fmt: skip
    run = play(tasks, options=Options(fail_fast=True), sub=dag({"x": task(), "y": task(after=("x",))}))
    run.fail("/a")
    assert run.states()["/c"] == "SKIPPED"
    assert run.started[-1] == "/late", "what it waited for is settled"
    run.to_end()
    assert run.states()["/b"] == "SUCCEEDED"
    assert run.states()["/d/y"] == "SUCCEEDED", "another DAG goes on"
    assert run.states()[""] == "FAILED"


def test_a_task_that_ignores_failures_has_defaults_for_what_is_missing() -> None:
    component = leaf()
    component["inputDefinitions"]["parameters"]["n"] = {"parameterType": "NUMBER_INTEGER", "defaultValue": 5.0}
    tasks = {
        "a": task(), "b": anyway(task("defaults", n=("a", "out"))), "c": anyway(task("needy", k=("a", "out"))),
        "d": anyway(task(art=("a", "art"))),
    }  # fmt: skip
    run = play(tasks, defaults=component, needy=leaf(k="STRING"))
    run.fail("/a")
    run.to_end()
    assert run.inputs["/b"].parameters == {"n": 5}
    assert run.states()["/b"] == "SUCCEEDED"
    assert run.states()["/c"] == "FAILED"
    assert "'k' is required" in run.rows["/c"].error
    assert run.inputs["/d"].artifacts == {}
    assert "/c" not in run.started


@pytest.mark.parametrize(("given", "condition", "state"), [
    ("heads", "inputs.parameter_values['x'] == 'heads'", "SUCCEEDED"),
    ("tails", "inputs.parameter_values['x'] == 'heads'", "SKIPPED"),
    ("tails", "!(inputs.parameter_values['x'] == 'heads')", "SUCCEEDED"),
    (None, "inputs.parameter_values['x'] == 'heads'", "FAILED"),
])  # fmt: skip
def test_a_condition_decides(given: Any, condition: str, state: str) -> None:
    run = play({"if": when(condition, task("sub", x={"from": "x"}))}, given={"x": given}, sub=dag({"t": task()}))
    run.to_end()
    assert run.states()["/if"] == state
    assert ("/if/t" in run.started) == (state == "SUCCEEDED")
    assert run.states()[""] == ("FAILED" if state == "FAILED" else "SUCCEEDED")


def test_one_of_gives_what_the_branch_that_ran_gave() -> None:
    branches = dag(
        {
            "condition-1": when("inputs.parameter_values['x'] == 'a'", task("branch", x={"from": "x"})),
            "condition-2": when("!(inputs.parameter_values['x'] == 'a')", task("branch", x={"from": "x"})),
        },
        parameters={"one": [("condition-1", "out"), ("condition-2", "out")]},
        artifacts={"art": [("condition-1", "art"), ("condition-2", "art")]},
    )
    branch = dag({"t": task()}, parameters={"out": ("t", "out")}, artifacts={"art": ("t", "art")})
    tasks = {
        "condition-branches-1": task("branches", x="b"),
        "after": task(n=("condition-branches-1", "one"), art=("condition-branches-1", "art")),
    }
    run = play(tasks, branches=branches, branch=branch)
    path = "/condition-branches-1/condition-2/t"
    run.finish(path, ok(path, art="made", out=3))
    assert run.inputs["/after"].parameters == {"n": 3}
    assert [ref.id for ref in run.inputs["/after"].artifacts["art"]] == ["made"]
    run.to_end()
    kinds = {note.path: note.kind for note in run.notes}
    assert kinds["/condition-branches-1"] is Kind.CONDITION_BRANCH
    assert kinds["/condition-branches-1/condition-2"] is Kind.CONDITION
    assert run.states()["/condition-branches-1/condition-1"] == "SKIPPED"
    assert run.states()[""] == "SUCCEEDED"


@pytest.mark.parametrize(("end", "state", "error"), [
    ("fine", "SUCCEEDED", {}),
    ("bad", "FAILED", {"code": 2, "message": "/exit-handler-1/t: boom"}),
])  # fmt: skip
@pytest.mark.parametrize("fail_fast", [True, False])
def test_an_exit_task_runs_once_after_all_and_is_told_how_it_went(
    end: str, state: str, error: Any, fail_fast: bool
) -> None:
    exit_task = anyway(task(after=("exit-handler-1",), status={"status": "exit-handler-1"}))
    options = Options(fail_fast=fail_fast, job={"pipeline_job_resource_name": "runs/1"})
    run = play(
        {"exit-handler-1": task("body"), "exit": exit_task}, options=options, body=dag({"t": task(), "u": task()})
    )
    if end == "bad":
        run.fail("/exit-handler-1/t")
        assert "/exit" not in run.started, "another task of the body still runs"
    run.to_end()
    assert run.started.count("/exit") == 1
    assert run.inputs["/exit"].parameters["status"] == {
        "state": state, "pipelineJobResourceName": "runs/1", "pipelineTaskName": "exit-handler-1", "error": error,
    }  # fmt: skip
    assert run.states()["/exit"] == "SUCCEEDED"
    assert run.states()[""] == state


def test_the_spelling_of_success_can_be_that_of_the_backend() -> None:
    exit_task = anyway(task(after=("exit-handler-1",), status={"status": "exit-handler-1"}))
    options = Options(final_status_state="COMPLETE")
    run = play({"exit-handler-1": task("body"), "exit": exit_task}, options=options, body=dag({"t": task()})).to_end()
    assert run.inputs["/exit"].parameters["status"]["state"] == "COMPLETE"


def test_cancel_stops_what_runs_and_then_runs_exit_tasks() -> None:
    tasks = {
        "exit-handler-1": task("body"), "exit": anyway(task("sub", after=("exit-handler-1",))),
        "waits": task(after=("exit-handler-1",)), "ignores": anyway(task(after=("waits",))),
    }  # fmt: skip
    body = dag({"t": task(), "u": task(after=("t",))})
    run = play(tasks, body=body, sub=dag({"s": task(), "v": task(after=("s",))}))
    run.cancel()
    run.cancel()
    assert run.stopped == ["/exit-handler-1/t"]
    assert [note.state for note in run.notes if not note.path] == [State.RUNNING, State.CANCELING]
    run.stop_stopped()
    assert list(run.pending) == ["/exit/s"]
    run.to_end()
    assert run.states() == {
        "": "CANCELED", "/exit-handler-1": "CANCELED", "/exit-handler-1/t": "CANCELED", "/exit-handler-1/u": "CANCELED",
        "/exit": "SUCCEEDED", "/exit/s": "SUCCEEDED", "/exit/v": "SUCCEEDED", "/waits": "CANCELED",
        "/ignores": "CANCELED",
    }  # fmt: skip


def test_whoever_asks_how_a_task_ended_is_told_that_it_was_canceled() -> None:
    run = play({"a": task(), "told": anyway(task(status={"status": "a"}))})
    run.cancel()
    run.to_end()
    status = run.inputs["/told"].parameters["status"]
    assert (status["state"], status["error"]) == ("CANCELLED", {"code": 1, "message": "stopped"})


def test_policies_of_retries_are_handed_down_to_tasks_without_their_own() -> None:
    outer, inner = task("sub"), task("leaf")
    outer["retryPolicy"], inner["retryPolicy"] = {"maxRetryCount": 1}, {"maxRetryCount": 2}
    run = play(
        {"s": outer, "t": task()}, sub=dag({"a": task(), "b": inner, "c": task("deep")}), deep=dag({"d": task()})
    )
    counts = {path: start.retry.max_retry_count if start.retry else 0 for path, start in run.starts.items()}
    assert counts == {"/t": 0, "/s/a": 1, "/s/b": 2, "/s/c/d": 1}


def test_values_are_selected_converted_and_filled_in() -> None:
    run = play(
        {
            "a": task(x=3.0, n=3.0, d={"k": [1.0, 2.5]}),
            "b": task(x={"from": "d", "select": 'parseJson(string_value)["k"]["z"]'}),
            "c": task(x="{{$.inputs.parameters['n']}} in {{$.pipeline_job_name}} by {{$.pipeline_task_name}}", n=4.0),
            "e": task(d={"{{$.inputs.parameters['x']}}": ["{{$.inputs.parameters['x']}}!"]}, x="q"),
            "f": task(x={"from": "nothing"}),
            "g": task(n="no number"),
            "h": task(x={"from": "d", "select": 'parseJson(string_value)["absent"]'}),
        },
        given={"d": {"k": {"z": [1.0]}}},
        options=Options(fail_fast=False, job={"pipeline_job_name": "job"}),
    )
    found = {path: dict(inputs.parameters) for path, inputs in run.inputs.items()}
    assert found == {
        "/a": {"x": "3", "n": 3, "d": {"k": [1, 2.5]}}, "/b": {"x": "[1]"}, "/c": {"x": "4 in job by c", "n": 4},
        "/e": {"d": {"q": ["q!"]}, "x": "q"}, "/f": {},
    }  # fmt: skip
    assert isinstance(found["/a"]["n"], int)
    assert isinstance(found["/a"]["d"]["k"][0], int)
    run.to_end()
    assert "'n' must be a whole number" in run.rows["/g"].error
    assert "absent" in run.rows["/h"].error


def test_null_is_absent_through_nested_pipelines() -> None:
    inner = dag({"t": task("leaf", x={"from": "x"}, n={"from": "n"})})
    inner["inputDefinitions"] = {
        "parameters": {
            "x": {"parameterType": "STRING", "isOptional": True},
            "n": {"parameterType": "NUMBER_INTEGER", "defaultValue": 2.0, "isOptional": True},
        }
    }
    run = play({"p": task("sub", x={"from": "x"}, n=None)}, given={"x": None}, sub=inner)
    assert run.inputs["/p/t"].parameters == {"n": 2}


def test_a_run_without_a_required_parameter_fails_at_once() -> None:
    root = dag({"t": task()})
    root["inputDefinitions"] = {"parameters": {"k": {"parameterType": "STRING"}}}
    run = play(root)
    assert run.end is not None
    assert run.end.state is State.FAILED
    assert "'k' is required" in run.end.error


def test_what_is_told_twice_or_of_unknown_tasks_changes_nothing() -> None:
    run = play({"a": task(), "b": task(after=("a",))})
    run.finish("/a")
    assert run.machine.handle(Finished("/a", State.FAILED)) == ()
    assert run.machine.handle(Finished("/never", State.FAILED)) == ()
    run.to_end()
    assert run.machine.handle(Finished("/b", State.FAILED)) == ()


def test_an_empty_dag_succeeds_and_outputs_of_the_run_are_noted() -> None:
    root = dag({"s": task("empty"), "t": task()}, parameters={"result": ("t", "out")}, artifacts={"art": ("t", "art")})
    run = play(root, empty=dag({}))
    run.finish("/t", ok("/t", art="a", out=1))
    outputs = run.outputs()[""]
    assert outputs is not None
    assert outputs.parameters == {"result": 1}
    assert outputs.artifacts["art"][0].id == "a"


def test_a_chain_of_thousands_that_is_skipped_needs_no_stack() -> None:
    tasks = {"t0": task(), **{f"t{n}": task(after=(f"t{n - 1}",)) for n in range(1, 5000)}}
    run = play(tasks)
    run.fail("/t0")
    assert run.end is not None
    assert run.states()["/t4999"] == "SKIPPED"
