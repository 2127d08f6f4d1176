"""Small specifications to build on: ``spec`` gives a new, valid document that a test may change."""

import copy
from typing import Any

Document = dict[str, Any]

_MINIMAL: Document = {
    "pipelineInfo": {"name": "p"},
    "schemaVersion": "2.1.0",
    "sdkVersion": "kfp-2.17.0",
    "deploymentSpec": {"executors": {"exec-a": {"container": {"image": "python:3.11", "command": ["true"]}}}},
    "components": {
        "comp-a": {
            "executorLabel": "exec-a",
            "inputDefinitions": {
                "parameters": {
                    "n": {"parameterType": "NUMBER_INTEGER", "defaultValue": 3.0},
                    "text": {"parameterType": "STRING", "isOptional": True},
                },
                "artifacts": {"data": {"artifactType": {"schemaTitle": "system.Dataset"}, "isOptional": True}},
            },
            "outputDefinitions": {
                "parameters": {"Output": {"parameterType": "NUMBER_INTEGER"}},
                "artifacts": {"model": {"artifactType": {"schemaTitle": "system.Model"}}},
            },
        }
    },
    "root": {
        "dag": {"tasks": {"a": {"taskInfo": {"name": "a"}, "componentRef": {"name": "comp-a"}}}},
        "inputDefinitions": {"parameters": {"lr": {"parameterType": "NUMBER_DOUBLE", "defaultValue": 0.1}}},
    },
}


def spec() -> Document:
    """Give a pipeline of one task ``a``; it takes ``n``, ``text`` and ``data``, gives ``Output`` and ``model``."""
    return copy.deepcopy(_MINIMAL)


def task(**fields: Any) -> Document:
    """Give a task of the component ``comp-a``."""
    return {"componentRef": {"name": "comp-a"}, **fields}


def spec_of(tasks: Document, **root: Any) -> Document:
    """Give a pipeline with these tasks in its root."""
    found = spec()
    found["root"]["dag"]["tasks"] = tasks
    found["root"].update(root)
    return found


def put(document: Any, path: str, value: Any) -> Document:
    """Set what a path (keys and indexes, between slashes) leads to; an Ellipsis removes it."""
    *parents, last = path.split("/")
    here = document
    for key in parents:
        here = here[int(key)] if isinstance(here, list) else here.setdefault(key, {})
    if value is ...:
        del here[last]
    else:
        here[last] = value
    return dict(document)
