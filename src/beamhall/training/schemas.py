"""The small parts of which schemas of definitions are put together, and the schema of a Pod template.

Knows no kind. Who needs more of a Pod's fields than these states them where it needs them: the API server checks Pods
when they are made, so that their whole schema need not be repeated in each definition.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Schema = dict[str, Any]

TIME: Schema = {"type": "string", "format": "date-time"}


def mapping(properties: Mapping[str, Any], description: str = "", required: Sequence[str] = ()) -> Schema:
    """Make the schema of an object with these properties."""
    schema: Schema = {"type": "object", "properties": dict(properties)}
    if required:
        schema["required"] = list(required)
    return schema | ({"description": description} if description else {})


def text(description: str = "", **rules: Any) -> Schema:
    """Make the schema of a string."""
    return {"type": "string"} | rules | ({"description": description} if description else {})


def integer(description: str = "", format_: str = "int32", **rules: Any) -> Schema:
    """Make the schema of a whole number."""
    schema: Schema = {"type": "integer", "format": format_} | rules
    return schema | ({"description": description} if description else {})


def flag(description: str = "", **rules: Any) -> Schema:
    """Make the schema of a boolean."""
    return {"type": "boolean"} | rules | ({"description": description} if description else {})


def array(items: Schema, description: str = "", *, key: str = "", most: int | None = None) -> Schema:
    """Make the schema of a list.

    Args:
        items: The schema of its elements.
        description: What it is, for people.
        key: The field by which elements are told apart; empty: the list is written as a whole.
        most: How many elements it may have.
    """
    schema: Schema = {"type": "array", "items": items}
    if key:
        schema |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
    else:
        schema["x-kubernetes-list-type"] = "atomic"
    if most is not None:
        schema["maxItems"] = most
    return schema | ({"description": description} if description else {})


def texts(description: str = "", most: int | None = None) -> Schema:
    """Make the schema of a list of strings."""
    return array({"type": "string"}, description, most=most)


def texts_by_name(description: str = "") -> Schema:
    """Make the schema of labels, annotations and the like."""
    schema: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
    return schema | ({"description": description} if description else {})


def open_mapping(description: str = "", required: Sequence[str] = (), **properties: Schema) -> Schema:
    """Make the schema of an object of which only some fields are looked at here."""
    return mapping(properties, description, required) | {"x-kubernetes-preserve-unknown-fields": True}


def quantity() -> Schema:
    """Make the schema of an amount of a resource: ``2``, ``0.5``, ``512Mi``."""
    return {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}


def template_metadata() -> Schema:
    """Make the schema of the metadata of a template."""
    return mapping(
        {
            "annotations": texts_by_name(),
            "finalizers": texts(),
            "labels": texts_by_name(),
            "name": text(),
            "namespace": text(),
        }
    )


def pod_template(description: str, required: Sequence[str] = ()) -> Schema:
    """Make the schema of a Pod template: open, but its containers are a list of objects with names.

    Args:
        description: What the Pods are for.
        required: The fields that the Pod's spec must have.
    """
    container = open_mapping("", ("name",), name=text(), image=text(), command=texts(), args=texts())
    containers: Schema = {"type": "array", "items": container}
    lists = {"containers": containers, "initContainers": containers}
    spec = open_mapping("The Pod's spec, as of core/v1.", required, **lists)
    return mapping({"metadata": template_metadata(), "spec": spec}, description)


def conditions() -> Schema:
    """Make the schema of a list of general conditions."""
    condition = mapping(
        {
            "type": text("What is told of.", maxLength=316),
            "status": text("True, False or Unknown.", enum=["True", "False", "Unknown"]),
            "reason": text("Why, in one word.", maxLength=1024, minLength=1),
            "message": text("Why, for people.", maxLength=32768),
            "lastTransitionTime": TIME,
            "observedGeneration": integer("", "int64", minimum=0),
        },
        "One thing that is known about the object.",
        required=("lastTransitionTime", "message", "reason", "status", "type"),
    )
    return array(condition, "What is known about the object.", key="type")


def trainer_status_schema() -> Schema:
    """Make the schema of what a trainer last told of itself; upstream has it in TrainJob's status."""
    metric = mapping(
        {"name": text(minLength=1, maxLength=64), "value": text(minLength=1, maxLength=64)}, "", ("name", "value")
    )
    return mapping(
        {
            "progressPercentage": integer("How much is done.", minimum=0, maximum=100),
            "estimatedRemainingSeconds": integer("How long it will still take.", minimum=0),
            "metrics": array(metric, "How good it is.", most=256),
            "lastUpdatedTime": TIME,
        },
        "What the trainer last told of itself.",
    )
