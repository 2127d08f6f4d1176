"""Small pipelines for the engine, written as their tasks."""

from typing import Any

from beamhall.pipelines.engine.decisions import State
from beamhall.pipelines.engine.events import Finished, Options
from beamhall.pipelines.engine.values import ArtifactRef, Outputs
from beamhall.pipelines.spec.ir import Pipeline
from beamhall.pipelines.spec.reading import read_pipeline
from tests.models.pipeline_runs import Play

Document = dict[str, Any]
DATASET = {"artifactType": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}}
TYPES = {"x": "STRING", "n": "NUMBER_INTEGER", "l": "LIST", "d": "STRUCT", "status": "TASK_FINAL_STATUS"}
INPUTS: Document = {
    "parameters": {name: {"parameterType": kind, "isOptional": True} for name, kind in TYPES.items()},
    "artifacts": {"art": {**DATASET, "isOptional": True}},
}
OUTPUTS: Document = {
    "parameters": {"out": {"parameterType": "NUMBER_INTEGER"}, "xs": {"parameterType": "LIST"}},
    "artifacts": {"art": DATASET},
}
COMPLETED = {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}


def leaf(**required: str) -> Document:
    """Give a component with an executor: ``leaf()``, or with these required parameters, by name and type."""
    parameters = {**INPUTS["parameters"], **{name: {"parameterType": kind} for name, kind in required.items()}}
    inputs = {**INPUTS, "parameters": parameters}
    return {"executorLabel": "exec", "inputDefinitions": inputs, "outputDefinitions": OUTPUTS}


def dag(tasks: Document, *, parameters: Document | None = None, artifacts: Document | None = None) -> Document:
    """Give a component with a DAG that gives these outputs: ``{"out": ("task", "out"), …}``; lists are OneOf."""
    outputs = {
        "parameters": {key: _parameter_output(source) for key, source in (parameters or {}).items()},
        "artifacts": {
            key: {"artifactSelectors": [{"producerSubtask": t, "outputArtifactKey": k} for t, k in _listed(source)]}
            for key, source in (artifacts or {}).items()
        },
    }
    return {"inputDefinitions": INPUTS, "outputDefinitions": OUTPUTS, "dag": {"tasks": tasks, "outputs": outputs}}


def _listed(source: Any) -> list[tuple[str, str]]:
    return source if isinstance(source, list) else [source]


def _parameter_output(source: Any) -> Document:
    selectors = [{"producerSubtask": task, "outputParameterKey": key} for task, key in _listed(source)]
    if isinstance(source, list):
        return {"valueFromOneof": {"parameterSelectors": selectors}}
    return {"valueFromParameter": selectors[0]}


def task(component: str = "leaf", *, after: tuple[str, ...] = (), art: Any = None, **parameters: Any) -> Document:
    """Give a task. An input is a constant, ``("task", "key")`` for an output, or ``{"from": "input"}``."""
    artifacts = {} if art is None else {"art": artifact(art)}
    return {
        "componentRef": {"name": component},
        "dependentTasks": list(after),
        "inputs": {"parameters": {key: source(one) for key, one in parameters.items()}, "artifacts": artifacts},
    }


def source(one: Any) -> Document:
    """Give where a parameter comes from."""
    if isinstance(one, tuple):
        return {"taskOutputParameter": {"producerTask": one[0], "outputParameterKey": one[1]}}
    if isinstance(one, dict) and "from" in one:
        selector = {"parameterExpressionSelector": one["select"]} if "select" in one else {}
        return {"componentInputParameter": one["from"], **selector}
    if isinstance(one, dict) and "status" in one:
        return {"taskFinalStatus": {"producerTask": one["status"]}}
    return {"runtimeValue": {"constant": one}}


def artifact(one: Any) -> Document:
    """Give where an artifact comes from."""
    if isinstance(one, tuple):
        return {"taskOutputArtifact": {"producerTask": one[0], "outputArtifactKey": one[1]}}
    return {"componentInputArtifact": one}


def loop(over: Any, component: str = "body", *, item: str = "x", limit: int = 0, **parameters: Any) -> Document:
    """Give a task that loops over JSON text, or over an input: an output of a task, or ``{"from": …}``."""
    found = task(component, **parameters)
    items = {"raw": over}
    if not isinstance(over, str):
        found["inputs"]["parameters"]["items"] = source(over)
        items = {"inputParameter": "items"}
    found["parameterIterator"] = {"items": items, "itemInput": item}
    if limit:
        found["iteratorPolicy"] = {"parallelismLimit": limit}
    return found


def loop_artifacts(over: Any, component: str = "body") -> Document:
    """Give a task that loops over a list of artifacts."""
    found = task(component)
    found["inputs"]["artifacts"]["all"] = artifact(over)
    found["artifactIterator"] = {"items": {"inputArtifact": "all"}, "itemInput": "art"}
    return found


def when(condition: str, made: Document) -> Document:
    """Give a task with a condition."""
    made.setdefault("triggerPolicy", {})["condition"] = condition
    return made


def anyway(made: Document) -> Document:
    """Give a task that runs after failures too."""
    made.setdefault("triggerPolicy", {}).update(COMPLETED)
    return made


def read(root: Document, **components: Document) -> Pipeline:
    """Give a pipeline; ``leaf`` is a component of all."""
    if "dag" not in root:
        root = dag(root)
    return read_pipeline(
        {
            "pipelineInfo": {"name": "p"},
            "schemaVersion": "2.1.0",
            "deploymentSpec": {"executors": {"exec": {"container": {"image": "i"}}}},
            "components": {"leaf": leaf(), **{name.replace("_", "-"): one for name, one in components.items()}},
            "root": root,
        }
    )


def play(
    root: Document, /, *, options: Options | None = None, given: Document | None = None, **components: Document
) -> Play:
    """Begin a run of a pipeline whose tasks give what ``give`` says."""
    found = Play(read(root, **components), parameters=given or {}, options=options or Options(fail_fast=False))
    return found.begin()


def ok(path: str, art: str = "", **parameters: Any) -> Finished:
    """Say that a task succeeded, with these outputs."""
    artifacts = {"art": [ArtifactRef(id=art, uri=art)]} if art else {}
    return Finished(path, State.SUCCEEDED, Outputs(parameters, artifacts))
