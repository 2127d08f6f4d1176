"""Values of a platform configuration: they come from tasks and inputs that nothing else of a task may name."""

from typing import Any

import pytest

from beamhall.pipelines.engine.decisions import State
from beamhall.pipelines.engine.events import Finished, Options
from beamhall.pipelines.engine.values import Outputs
from beamhall.pipelines.spec.checking import checked_pipeline
from beamhall.pipelines.spec.reading import BadSpecification
from tests.models.pipeline_runs import Play
from tests.unit.pipelines.dags import dag, leaf, loop, task

Document = dict[str, Any]
TEXT = {"parameters": {"name": {"parameterType": "STRING"}}}


def output(producer: str, key: str = "name") -> Document:
    return {"taskOutputParameter": {"producerTask": producer, "outputParameterKey": key}}


def given(name: str) -> Document:
    return {"componentInputParameter": name}


def documents(tasks: Document, *claims: Document, root: Document | None = None, **components: Document) -> list[Any]:
    """Give a pipeline whose component ``user`` mounts these claims; ``maker`` gives a name."""
    made = dag(tasks)
    made["inputDefinitions"] = root or {}
    spec = {
        "pipelineInfo": {"name": "p"},
        "schemaVersion": "2.1.0",
        "deploymentSpec": {
            "executors": {name: {"container": {"image": "i"}} for name in ("exec", "exec-user", "exec-maker")}
        },
        "components": {
            "leaf": leaf(),
            "user": {"executorLabel": "exec-user"},
            "maker": {"executorLabel": "exec-maker", "outputDefinitions": TEXT},
            **components,
        },
        "root": {"dag": made["dag"], "inputDefinitions": made["inputDefinitions"]},
    }
    mounts = [{"pvcNameParameter": claim, "mountPath": f"/{number}"} for number, claim in enumerate(claims)]
    config = {"exec-user": {"pvcMount": mounts}}
    return [spec, {"platforms": {"kubernetes": {"deploymentSpec": {"executors": config}}}}]


def playing(found: list[Any], **parameters: Any) -> Play:
    return Play(checked_pipeline(found), parameters=parameters, options=Options(fail_fast=False)).begin()


def named(path: str, name: str) -> Finished:
    return Finished(path, State.SUCCEEDED, Outputs({"name": name}))


def test_a_task_waits_for_the_producers_of_its_configuration_and_gets_their_values() -> None:
    run = playing(documents({"use": task("user"), "make": task("maker")}, output("make")))
    assert run.started == ["/make"]
    run.finish("/make", named("/make", "claim-1"))
    assert run.started == ["/make", "/use"]
    assert run.inputs["/use"].platform == {"pvcMount[0].pvcNameParameter": "claim-1"}


def test_a_restored_run_gives_them_again() -> None:
    run = playing(documents({"use": task("user"), "make": task("maker")}, output("make")))
    run.finish("/make", named("/make", "claim-1"))
    run.crash()
    assert run.inputs["/use"].platform == {"pvcMount[0].pvcNameParameter": "claim-1"}


def test_it_is_skipped_if_a_producer_failed() -> None:
    run = playing(documents({"use": task("user"), "make": task("maker")}, output("make")))
    run.fail("/make")
    assert run.states()["/use"] == "SKIPPED"


def test_constants_and_what_has_no_value_are_not_among_them() -> None:
    optional = {"parameters": {"one": {"parameterType": "STRING", "isOptional": True}}}
    constant = {"runtimeValue": {"constant": "c"}}
    run = playing(documents({"use": task("user")}, constant, given("one"), root=optional))
    assert run.inputs["/use"].platform == {}
    run = playing(documents({"use": task("user")}, constant, given("one"), root=optional), one="claim")
    assert run.inputs["/use"].platform == {"pvcMount[1].pvcNameParameter": "claim"}


@pytest.mark.parametrize("source", [output("make"), given("make-name"), given("pipelinechannel--make-name")])
def test_within_a_loop_they_come_in_as_inputs_as_older_sdks_wrote_them_too(source: Document) -> None:
    body = dag({"use": task("user")})
    body["inputDefinitions"] = {
        "parameters": {
            "pipelinechannel--make-name": {"parameterType": "STRING"}, "x": {"parameterType": "STRING"},
        }
    }  # fmt: skip
    del body["outputDefinitions"], body["dag"]["outputs"]
    over = loop('["a", "b"]')
    over["inputs"]["parameters"]["pipelinechannel--make-name"] = output("make")
    run = playing(documents({"over": over, "make": task("maker")}, source, body=body))
    run.finish("/make", named("/make", "claim-1"))
    for path in ("/over[0]/use", "/over[1]/use"):
        assert run.inputs[path].platform == {"pvcMount[0].pvcNameParameter": "claim-1"}


def test_a_task_that_loops_itself_gives_them_to_each_iteration() -> None:
    over = loop('["a", "b"]', "user")
    run = playing(documents({"over": over, "make": task("maker")}, output("make")))
    run.finish("/make", named("/make", "claim-1"))
    assert run.inputs["/over[1]"].platform == {"pvcMount[0].pvcNameParameter": "claim-1"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (output("nobody"), "there is no task 'nobody' in this DAG"),
        (output("make", "size"), "task 'make' has no output parameter 'size' (known: name)"),
        (given("nothing"), "has no input parameter 'nothing'"),
        ({}, "must have exactly one of"),
    ],
)
def test_a_source_that_leads_nowhere_is_a_problem(source: Document, message: str) -> None:
    with pytest.raises(BadSpecification) as caught:
        checked_pipeline(documents({"use": task("user"), "make": task("maker")}, source))
    (cause,) = caught.value.causes
    assert cause.field.startswith("platforms['kubernetes'].deploymentSpec.executors['exec-user'].pvcMount[0].pvcName")
    assert message in cause.message
    assert "of root.dag.tasks['use']" in cause.message


def test_a_circle_through_the_configuration_is_found() -> None:
    tasks = {"use": task("user"), "make": task("maker", after=("use",))}
    with pytest.raises(BadSpecification, match="these tasks wait for each other"):
        checked_pipeline(documents(tasks, output("make")))
