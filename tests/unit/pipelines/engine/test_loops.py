"""Loops: over what, how many at once, what Collected gathers, what is kept in memory."""

import gc
from typing import Any

import pytest

from beamhall.pipelines.engine.decisions import Forget, Kind, Start, State
from beamhall.pipelines.engine.events import Finished, Options
from beamhall.pipelines.engine.machine import RunMachine
from beamhall.pipelines.engine.scope import Scope
from beamhall.pipelines.engine.values import ArtifactRef, Outputs
from tests.unit.pipelines.dags import dag, leaf, loop, loop_artifacts, ok, play, read, task, when

BODY = dag({"t": task(x={"from": "x"})}, parameters={"out": ("t", "out")}, artifacts={"art": ("t", "art")})


def test_each_item_gets_an_iteration_and_collected_is_in_their_order() -> None:
    run = play({"for-loop-1": loop('["a", 2, {"k": [1.0]}]'), "all": task(l=("for-loop-1", "out"))}, body=BODY)
    assert [run.inputs[f"/for-loop-1[{n}]/t"].parameters["x"] for n in range(3)] == ["a", "2", '{"k":[1]}']
    for number in (2, 0, 1):
        path = f"/for-loop-1[{number}]/t"
        run.finish(path, ok(path, out=number * 10))
    assert run.inputs["/all"].parameters == {"l": [0, 10, 20]}
    run.to_end()
    notes = {note.path: note for note in reversed(run.notes)}
    assert (notes["/for-loop-1"].kind, notes["/for-loop-1"].iterations) == (Kind.LOOP, 3)
    assert (notes["/for-loop-1[2]"].kind, notes["/for-loop-1[2]"].iteration) == (Kind.ITERATION, 2)


@pytest.mark.parametrize("items", [[5.0, 6.0], "[5, 6]"])
def test_items_come_from_outputs_as_lists_or_as_their_text(items: Any) -> None:
    run = play({"a": task(), "loop": loop(("a", "xs"))}, body=BODY)
    run.finish("/a", ok("/a", xs=items))
    assert [inputs.parameters["x"] for path, inputs in run.inputs.items() if "loop" in path] == ["5", "6"]


def test_an_inner_loop_may_go_over_the_same_list() -> None:
    outer = dag({"inner": loop({"from": "items"})})
    run = play({"a": task(), "outer": loop(("a", "xs"), "outer")}, outer=outer, body=BODY)
    run.finish("/a", ok("/a", xs=[5, 6]))
    found = [inputs.parameters["x"] for path, inputs in run.inputs.items() if "inner" in path]
    assert found == ["5", "6", "5", "6"]


def test_the_list_itself_may_be_text_whatever_type_the_iterations_declare() -> None:
    inputs = leaf(items="LIST")["inputDefinitions"]
    run = play({"a": task(), "loop": loop(("a", "xs"))}, body={**BODY, "inputDefinitions": inputs})
    run.finish("/a", ok("/a", xs="[5, 6]"))
    assert run.started[1:] == ["/loop[0]/t", "/loop[1]/t"]


@pytest.mark.parametrize("items", ["no list", {"k": 1}, 3])
def test_what_is_no_list_fails_the_loop(items: Any) -> None:
    run = play({"a": task(), "loop": loop(("a", "xs"))}, body=BODY)
    run.finish("/a", ok("/a", xs=items))
    assert run.states()["/loop"] == "FAILED"
    assert "must be a list" in run.rows["/loop"].error


def test_a_loop_over_nothing_succeeds_and_gives_empty_lists() -> None:
    run = play({"loop": loop("[]"), "all": task(l=("loop", "out"), art=("loop", "art"))}, body=BODY)
    assert run.states()["/loop"] == "SUCCEEDED"
    assert run.inputs["/all"].parameters == {"l": []}
    assert list(run.inputs["/all"].artifacts["art"]) == []


def test_nested_loops_nest_parameters_and_flatten_artifacts() -> None:
    outer = dag(
        {"inner": loop({"from": "x", "select": 'parseJson(string_value)["k"]'}, "body")},
        parameters={"out": ("inner", "out")},
        artifacts={"art": ("inner", "art")},
    )
    tasks = {
        "outer": loop('[{"k": [1, 2]}, {"k": []}, {"k": [3]}]', "outer"),
        "all": task(l=("outer", "out"), art=("outer", "art")),
    }
    run = play(tasks, outer=outer, body=BODY)
    for path in sorted(run.pending, reverse=True):
        run.finish(path, ok(path, art=path, out=int(run.inputs[path].parameters["x"])))
    assert run.inputs["/all"].parameters == {"l": [[1, 2], [], [3]]}
    assert [ref.id for ref in run.inputs["/all"].artifacts["art"]] == [
        "/outer[0]/inner[0]/t", "/outer[0]/inner[1]/t", "/outer[2]/inner[0]/t",
    ]  # fmt: skip


def test_iterations_whose_producer_was_skipped_are_left_out() -> None:
    branch = dag({"t": task()}, parameters={"out": ("t", "out")})
    condition = when("int(inputs.parameter_values['x']) >= 2", task("branch", x={"from": "x"}))
    body = dag({"condition-1": condition}, parameters={"out": ("condition-1", "out")})
    run = play({"loop": loop("[1, 2, 3]"), "all": task(l=("loop", "out"))}, body=body, branch=branch)
    for path in list(run.pending):
        run.finish(path, ok(path, out=2 * int(path[6]) + 2))
    assert run.inputs["/all"].parameters == {"l": [4, 6]}


def test_a_loop_over_artifacts_gives_each_iteration_one() -> None:
    body = dag({"t": task(art="art")}, artifacts={"art": ("t", "art")})
    run = play({"a": task(), "loop": loop_artifacts(("a", "art")), "all": task(art=("loop", "art"))}, body=body)
    refs = [ArtifactRef(id=name) for name in "pqr"]
    run.finish("/a", Finished("/a", State.SUCCEEDED, Outputs(artifacts={"art": refs})))
    assert [[ref.id for ref in run.inputs[f"/loop[{n}]/t"].artifacts["art"]] for n in range(3)] == [["p"], ["q"], ["r"]]
    for path in list(run.pending):
        run.finish(path, ok(path, art=path))
    assert len(run.inputs["/all"].artifacts["art"]) == 3


def test_a_task_with_an_executor_may_loop_itself() -> None:
    run = play({"loop": loop("[1, 2]", "leaf"), "all": task(l=("loop", "out"))})
    assert run.started == ["/loop[0]", "/loop[1]"]
    assert run.starts["/loop[1]"].iteration == 1
    run.finish("/loop[1]", ok("/loop[1]", out=2))
    run.finish("/loop[0]", ok("/loop[0]", out=1))
    assert run.inputs["/all"].parameters == {"l": [1, 2]}


@pytest.mark.parametrize("fail_fast", [True, False])
def test_one_failed_iteration_fails_the_loop_and_the_others_go_on(fail_fast: bool) -> None:
    run = play({"loop": loop("[1, 2, 3]", limit=1)}, options=Options(fail_fast=fail_fast), body=BODY)
    run.fail("/loop[0]/t")
    run.to_end()
    assert run.states()["/loop[2]"] == "SUCCEEDED"
    assert run.end is not None
    assert (run.end.state, run.end.error) == (State.FAILED, "/loop[0]/t: boom")


def test_of_several_failed_iterations_the_first_is_told() -> None:
    run = play({"loop": loop("[1, 2, 3]")}, body=BODY)
    for number in (1, 0, 2):
        run.fail(f"/loop[{number}]/t")
    assert run.rows["/loop"].error == "/loop[0]/t: boom"


def test_an_item_of_the_wrong_type_fails_its_iteration() -> None:
    body = dag({"t": task()})
    run = play({"loop": loop([1, "one"], item="n")}, body=body)
    run.to_end()
    assert (run.states()["/loop[0]"], run.states()["/loop[1]"]) == ("SUCCEEDED", "FAILED")
    assert "'n' must be a whole number" in run.rows["/loop[1]"].error


def test_items_in_the_pipeline_itself_are_what_they_are() -> None:
    """The SDK declares them all as what the first is: ``dsl.ParallelFor([1, 0.5, "auto"])``."""
    run = play({"loop": loop('[1, 0.5, "auto"]', item="n")}, body=dag({"t": task(y={"from": "n"})}))
    assert [run.inputs[f"/loop[{i}]/t"].parameters["y"] for i in range(3)] == [1, 0.5, "auto"]
    run.to_end()
    assert run.states()["/loop"] == "SUCCEEDED"


@pytest.mark.parametrize(("limit", "window", "alive"), [(2, 256, 2), (0, 3, 3), (9, 3, 3), (0, 256, 5)])
def test_no_more_are_alive_than_allowed(limit: int, window: int, alive: int) -> None:
    options = Options(fail_fast=False, loop_window=window)
    run = play({"loop": loop("[1, 2, 3, 4, 5]", limit=limit)}, options=options, body=BODY)
    while run.pending:
        left = 5 - (len(run.started) - len(run.pending))
        assert len(run.pending) == min(alive, left)
        run.finish(sorted(run.pending)[-1])
    assert run.states()[""] == "SUCCEEDED"


def test_the_window_is_shared_by_nested_loops() -> None:
    outer = dag({"inner": loop(str(list(range(100))))})
    run = play({"outer": loop(str(list(range(4))), "outer")}, options=Options(loop_window=8), outer=outer, body=BODY)
    assert len(run.pending) == 8


def alive(machine: RunMachine) -> int:
    """Count the DAGs that a machine holds."""
    gc.collect()
    options = machine._run.options
    return sum(isinstance(one, Scope) and one.options is options for one in gc.get_objects())


def test_memory_does_not_grow_with_finished_iterations() -> None:
    pipeline = read({"loop": loop(str(list(range(3000))))}, body=BODY)
    machine = RunMachine(pipeline, {}, Options(loop_window=5))
    ready = [one.path for one in machine.begin() if isinstance(one, Start)]
    forgotten = 0
    for number in range(3000):
        decisions = machine.handle(ok(ready.pop(), out=1))
        ready += [one.path for one in decisions if isinstance(one, Start)]
        forgotten += sum(isinstance(one, Forget) for one in decisions)
        if number % 500 == 250:
            assert alive(machine) <= 6
    assert machine.has_ended
    assert forgotten == 3001


def test_cancel_begins_no_more_iterations() -> None:
    run = play({"loop": loop("[1, 2, 3]", limit=1)}, body=BODY)
    run.cancel()
    run.to_end()
    assert run.states() == {"": "CANCELED", "/loop": "CANCELED", "/loop[0]": "CANCELED", "/loop[0]/t": "CANCELED"}


def test_required_inputs_of_the_body_are_those_of_the_loop() -> None:
    body = {**BODY, "inputDefinitions": leaf(k="STRING")["inputDefinitions"]}
    assert play({"loop": loop("[1]")}, body=body).states()["/loop"] == "FAILED"
    assert play({"loop": loop("[1]", k="here")}, body=body).started == ["/loop[0]/t"]
