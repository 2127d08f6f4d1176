"""What is wrong with a pipeline whose parts do not fit together."""

from typing import Any

import pytest

from beamhall.pipelines.spec.checking import MAX_INSTANCES, checked_pipeline
from beamhall.pipelines.spec.fields import MAX_PROBLEMS
from beamhall.pipelines.spec.reading import MAX_TASKS, BadSpecification
from tests.unit.pipelines.specs import put, spec, spec_of, task


def problems_of(document: Any) -> dict[str, str]:
    try:
        checked_pipeline(document)
    except BadSpecification as error:
        return {cause.field: cause.message for cause in error.causes}
    return {}


def output(producer: str, key: str = "Output") -> dict[str, Any]:
    return {"taskOutputParameter": {"producerTask": producer, "outputParameterKey": key}}


def given(**parameters: Any) -> dict[str, Any]:
    return {"parameters": parameters}


def constant(value: Any) -> dict[str, Any]:
    return {"runtimeValue": {"constant": value}}


def two(**fields: Any) -> dict[str, Any]:
    """Give a pipeline of the tasks ``a`` and ``b``; the fields are those of ``b``."""
    return spec_of({"a": task(), "b": task(**fields)})


B = "root.dag.tasks['b']"


def test_a_pipeline_without_problems() -> None:
    raw_loop = {"itemInput": "n", "items": {"raw": "[1, 2]"}}
    document = spec_of(
        {
            "a": task(inputs=given(n=constant(3.0), text={"componentInputParameter": "lr"})),
            "b": task(
                inputs={**given(n=output("a"), text=constant("{{$.inputs.parameters['n']}}")),
                        "artifacts": {"data": {"taskOutputArtifact": {"producerTask": "a",
                         "outputArtifactKey": "model"}}}},
                dependentTasks=["a"], triggerPolicy={"condition": "int(inputs.parameter_values['n']) > 1"},
            ),
            "c": task(parameterIterator=raw_loop, inputs=given(text={"taskFinalStatus": {"producerTask": "b"}})),
            "d": task(inputs=given(n={**output("c"), "parameterExpressionSelector": "parseJson(string_value)[0]"})),
            "e": task(
                inputs={"artifacts": {"list": {"taskOutputArtifact": {"producerTask": "c",
                 "outputArtifactKey": "model"}}}},
                artifactIterator={"itemInput": "data", "items": {"inputArtifact": "list"}},
            ),
        }
    )  # fmt: skip
    root = {"parameters": {"o": {"valueFromOneof": {"parameterSelectors": [
        {"producerSubtask": "a", "outputParameterKey": "Output"}]}}},
        "artifacts": {"m": {"artifactSelectors": [{"producerSubtask": "a",
         "outputArtifactKey": "model"}]}}}  # fmt: skip
    put(document, "root/dag/outputs", root)
    put(document, "root/outputDefinitions", {"parameters": {"o": {"parameterType": "LIST"}}})
    assert problems_of(document) == {}


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"componentRef": {"name": "zz"}}, f"{B}.componentRef.name", "there is no component 'zz'"),
        ({"componentRef": None}, f"{B}.componentRef.name", "must be given"),
        ({"dependentTasks": ["a", "zz"]}, f"{B}.dependentTasks[1]", "there is no task 'zz' in this DAG"),
        ({"dependentTasks": ["b"]}, f"{B}.dependentTasks[0]", "cannot wait for itself"),
        ({"inputs": given(n=output("zz"))}, f"{B}.inputs.parameters['n'].taskOutputParameter.producerTask",
         "there is no task 'zz'"),
        ({"inputs": given(n=output("a", "zz"))}, f"{B}.inputs.parameters['n'].taskOutputParameter.outputParameterKey",
         "task 'a' has no output parameter 'zz' (known: Output)"),
        ({"inputs": given(n={})}, f"{B}.inputs.parameters['n']", "exactly one of"),
        ({"inputs": given(n={**constant(1), **output("a")})}, f"{B}.inputs.parameters['n']", "exactly one of"),
        ({"inputs": given(n={"runtimeValue": {}})}, f"{B}.inputs.parameters['n'].runtimeValue", "'constant'"),
        ({"inputs": given(n=constant("x"))}, f"{B}.inputs.parameters['n'].runtimeValue.constant",
         "must be a whole number (NUMBER_INTEGER), is the text 'x'"),
        ({"inputs": given(n=constant("{{$.inputs.parameters['q']}}"))},
         f"{B}.inputs.parameters['n'].runtimeValue.constant", "placeholder of 'q', which is no input of the task"),
        ({"inputs": given(n={"componentInputParameter": "zz"})},
         f"{B}.inputs.parameters['n'].componentInputParameter", "root has no input parameter 'zz'"),
        ({"inputs": given(n={"runtimeValue": {"runtimeParameter": "zz"}})},
         f"{B}.inputs.parameters['n'].runtimeValue.runtimeParameter", "root has no input parameter 'zz'"),
        ({"inputs": given(n={"taskFinalStatus": {"producerTask": "zz"}})},
         f"{B}.inputs.parameters['n'].taskFinalStatus.producerTask", "there is no task 'zz'"),
        ({"inputs": given(n={**output("a"), "parameterExpressionSelector": "parseJson("})},
         f"{B}.inputs.parameters['n'].parameterExpressionSelector", "cannot be read"),
        ({"inputs": {"artifacts": {"data": {}}}}, f"{B}.inputs.artifacts['data']", "exactly one of"),
        ({"inputs": {"artifacts": {"data": {"componentInputArtifact": "zz"}}}},
         f"{B}.inputs.artifacts['data'].componentInputArtifact", "root has no input artifact 'zz'"),
        ({"inputs": {"artifacts": {"data": {"taskOutputArtifact": {"producerTask": "a", "outputArtifactKey": "zz"}}}}},
         f"{B}.inputs.artifacts['data'].taskOutputArtifact.outputArtifactKey",
          "no output artifact 'zz' (known: model)"),
        ({"triggerPolicy": {"condition": "1 =="}}, f"{B}.triggerPolicy.condition", "cannot be read"),
        ({"triggerPolicy": {"condition": "inputs.parameter_values['zz'] == 1"}}, f"{B}.triggerPolicy.condition",
         "the task has no input parameter 'zz'"),
        ({"triggerPolicy": {"condition": "1 == 1 && " * 2000 + "1 == 1"}}, f"{B}.triggerPolicy.condition", "10000 are"),
        ({"parameterIterator": {"itemInput": "n", "items": {}}}, f"{B}.parameterIterator.items", "exactly one of raw"),
        ({"parameterIterator": {"itemInput": "n", "items": {"raw": "{}"}}}, f"{B}.parameterIterator.items.raw",
         "a list"),
        ({"parameterIterator": {"itemInput": "n", "items": {"inputParameter": "zz"}}},
         f"{B}.parameterIterator.items.inputParameter", "the task has no input parameter 'zz'"),
        ({"parameterIterator": {"items": {"raw": "[]"}}}, f"{B}.parameterIterator.itemInput", "must be given"),
        ({"parameterIterator": {"itemInput": "n", "items": {"raw": "[]"}}, "artifactIterator": {}}, B,
         "at most one of"),
        ({"artifactIterator": {"itemInput": "data", "items": {"inputArtifact": "zz"}}},
         f"{B}.artifactIterator.items.inputArtifact", "the task has no input artifact 'zz'"),
        ({"iteratorPolicy": {"parallelismLimit": -1}}, f"{B}.iteratorPolicy.parallelismLimit", "must not be negative"),
        ({"retryPolicy": {"maxRetryCount": -1}}, f"{B}.retryPolicy", "must not be negative"),
    ],
)  # fmt: skip
def test_a_task_that_does_not_fit(fields: dict[str, Any], field: str, words: str) -> None:
    found = problems_of(two(**fields))
    assert words in found[field], found


@pytest.mark.parametrize(
    ("path", "value", "field", "words"),
    [
        ("pipelineInfo/name", "", "pipelineInfo.name", "must be given"),
        ("pipelineInfo/name", "My pipeline", "pipelineInfo.name", "lower-case"),
        ("pipelineInfo/name", "a" * 129, "pipelineInfo.name", "up to 128"),
        ("root/dag", ..., "root.dag", "must be given"),
        ("root/dag/tasks", {}, "root.dag.tasks", "at least one task"),
        ("root/dag/tasks/a~b[0]", task(), "root.dag.tasks['a~b[0]']", "is no name of a task"),
        ("root/inputDefinitions/parameters/lr/defaultValue", "x", "root.inputDefinitions.parameters['lr'].defaultValue",
         "must be a number (NUMBER_DOUBLE), is the text 'x'"),
        ("root/inputDefinitions/parameters/lr/literals", [1, 2], "root.inputDefinitions.parameters['lr'].defaultValue",
         "must be one of 1, 2"),
        ("components/comp-a/executorLabel", "zz", "components['comp-a'].executorLabel", "there is no executor 'zz'"),
        ("components/comp-a/executorLabel", ..., "components['comp-a']", "either 'dag' or 'executorLabel'; neither"),
        ("components/comp-a/dag", {"tasks": {"x": task()}}, "components['comp-a']", "both are given"),
        ("components/comp-a/inputDefinitions/parameters/n/defaultValue", ...,
         "root.dag.tasks['a'].inputs.parameters['n']",
         "must be given: component 'comp-a' requires it"),
        ("components/comp-a/inputDefinitions/artifacts/data/isOptional", ...,
         "root.dag.tasks['a'].inputs.artifacts['data']", "must be given"),
        ("components/comp-a/inputDefinitions/artifacts/n", {"isOptional": True},
         "components['comp-a'].inputDefinitions.artifacts['n']", "there is an input parameter 'n' too"),
        ("components/comp-a/outputDefinitions/artifacts/..", {},
         "components['comp-a'].outputDefinitions.artifacts['..']",
         "becomes the name of a file"),
        ("components/comp-a/outputDefinitions/parameters", {"a/../../b": {"parameterType": "STRING"}},
         "components['comp-a'].outputDefinitions.parameters['a/../../b']", "is no name of an output"),
        ("deploymentSpec/executors/exec-a/container/image", "", "deploymentSpec.executors['exec-a'].container.image",
         "must be given"),
        ("deploymentSpec/executors/exec-a/container", ..., "deploymentSpec.executors['exec-a']", "neither is given"),
        ("deploymentSpec/executors/exec-a/importer", {}, "deploymentSpec.executors['exec-a'].importer.artifactUri",
         "must be given"),
        ("deploymentSpec/executors/exec-a/container/env", [{"name": "A=B"}],
         "deploymentSpec.executors['exec-a'].container.env[0].name", "no name of a variable"),
        ("root/outputDefinitions", {"parameters": {"o": {"parameterType": "STRING"}}},
         "root.dag.outputs.parameters['o']",
         "does not say where it comes from"),
        ("root/dag/outputs", {"parameters": {"o": {}}}, "root.dag.outputs.parameters['o']", "exactly one of"),
        ("root/dag/outputs", {"parameters": {"o": {"valueFromParameter": {"producerSubtask": "zz"}}}},
         "root.dag.outputs.parameters['o'].producerTask", "there is no task 'zz'"),
        ("root/dag/outputs", {"artifacts": {"o": {}}}, "root.dag.outputs.artifacts['o']",
         "must have an artifact selector"),
        ("root/dag/outputs", {"artifacts": {"o": {"artifactSelectors": [{"producerSubtask": "a"}]}}},
         "root.dag.outputs.artifacts['o'].outputArtifactKey", "no output artifact ''"),
    ],
)  # fmt: skip
def test_a_pipeline_that_does_not_fit(path: str, value: Any, field: str, words: str) -> None:
    found = problems_of(put(spec(), path, value))
    assert words in found[field], found


@pytest.mark.parametrize(
    ("kind", "wanted", "is_wrong"),
    [
        ("NUMBER_INTEGER", "NUMBER_DOUBLE", False), ("LIST", "STRING", False), ("STRING", "NUMBER_INTEGER", True),
        ("BOOLEAN", "LIST", True), ("STRUCT", "STRUCT", False),
    ],
)  # fmt: skip
def test_types_between_tasks(kind: str, wanted: str, is_wrong: bool) -> None:
    document = two(inputs=given(n=output("a")))
    put(document, "components/comp-a/outputDefinitions/parameters/Output", {"parameterType": kind})
    put(document, "components/comp-a/inputDefinitions/parameters/n", {"parameterType": wanted, "isOptional": True})
    expected = {f"{B}.inputs.parameters['n'].taskOutputParameter": f"output 'Output' of task 'a' is a {kind}, but"}
    found = problems_of(document)
    assert found.keys() == (expected.keys() if is_wrong else set())
    for field, words in found.items():
        assert expected[field] in words


def test_the_output_of_a_loop_is_a_list_of_what_its_task_gives() -> None:
    loop = task(parameterIterator={"itemInput": "n", "items": {"raw": "[1]"}})
    document = spec_of({"a": loop, "b": task(inputs=given(n=output("a")))})
    put(document, "components/comp-a/inputDefinitions/parameters/n", {"parameterType": "LIST"})
    assert problems_of(document) == {}


def test_tasks_that_wait_for_each_other() -> None:
    tasks = {
        "a": task(inputs=given(n=output("c"))),
        "b": task(dependentTasks=["a"]),
        "c": task(inputs=given(n=output("b"))),
        "d": task(dependentTasks=["c"]),
    }
    (message,) = problems_of(spec_of(tasks)).values()
    assert "these tasks wait for each other" in message
    assert set(message.rpartition(": ")[2].split(" -> ")) == {"a", "b", "c"}


def test_a_component_that_contains_itself() -> None:
    document = spec_of({"a": {"componentRef": {"name": "comp-x"}}})
    for name, inner in (("comp-x", "comp-y"), ("comp-y", "comp-x")):
        put(document, f"components/{name}", {"dag": {"tasks": {"t": {"componentRef": {"name": inner}}}}})
    (message,) = problems_of(document).values()
    assert "contains itself" in message


def test_pipelines_in_pipelines_that_double_are_refused() -> None:
    document = spec_of({"a": {"componentRef": {"name": "comp-60"}}})
    for number in range(1, 61):
        inner = "comp-a" if number == 1 else f"comp-{number - 1}"
        tasks = {name: {"componentRef": {"name": inner}} for name in ("l", "r")}
        put(document, f"components/comp-{number}", {"dag": {"tasks": tasks}})
    (message,) = problems_of(document).values()
    assert f"a run may have {MAX_INSTANCES}" in message


def test_all_problems_are_told_at_once() -> None:
    document = two(dependentTasks=["x", "y"], componentRef={"name": "zz"})
    put(document, "pipelineInfo/name", "P")
    put(document, "deploymentSpec/executors/exec-a/container/image", "")
    assert len(problems_of(document)) == 5
    assert len(problems_of(spec_of({f"t{n}": task(dependentTasks=["x"]) for n in range(1000)}))) == MAX_PROBLEMS


def test_very_many_tasks_are_refused_and_many_are_checked() -> None:
    tasks = {f"t{n}": task(dependentTasks=[f"t{n - 1}"] if n else []) for n in range(MAX_TASKS)}
    assert problems_of(spec_of(tasks)) == {}
    found = problems_of(spec_of({f"t{n}": task(dependentTasks=["zz"]) for n in range(MAX_TASKS + 1)}))
    assert list(found) == ["root.dag.tasks"]
    assert f"a specification may have {MAX_TASKS}" in found["root.dag.tasks"]
