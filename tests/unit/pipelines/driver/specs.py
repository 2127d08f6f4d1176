"""Pipelines whose Pods tell the agent all that they were given."""

from typing import Any

from tests.unit.pipelines.dags import INPUTS, Document, leaf

ECHO = {"image": "i", "args": ["{{$}}"]}


def document(root: Document, *, config: Document | None = None, executor: Document | None = None, **more: Any) -> Any:
    """Give the document of a pipeline; ``leaf`` is a component of all."""
    if "dag" not in root:
        root = {"dag": {"tasks": root}, "inputDefinitions": INPUTS}
    spec = {
        "pipelineInfo": {"name": "p"},
        "schemaVersion": "2.1.0",
        "deploymentSpec": {"executors": {"exec": {"container": executor or ECHO}}},
        "components": {"leaf": leaf(), **more},
        "root": root,
    }
    _depend(spec)
    if config is None:
        return spec
    return {"pipeline_spec": spec, "platform_spec": {"platforms": {"kubernetes": {"pipelineConfig": config}}}}


def _depend(node: Any) -> None:
    """Have tasks name those that they have inputs from, as the SDK does."""
    if isinstance(node, list):
        for item in node:
            _depend(item)
    if not isinstance(node, dict):
        return
    if "componentRef" in node:
        inputs = node.get("inputs") or {}
        for given in (*(inputs.get("parameters") or {}).values(), *(inputs.get("artifacts") or {}).values()):
            for source in given.values():
                if isinstance(source, dict) and (name := source.get("producerTask")):
                    node["dependentTasks"] = sorted({*node.get("dependentTasks", ()), name})
    for value in node.values():
        _depend(value)
