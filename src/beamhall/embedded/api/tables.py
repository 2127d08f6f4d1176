"""The table form of objects and lists, which ``kubectl get`` prints. Source: ``meta.k8s.io/v1`` Table."""

from collections.abc import Iterable
from datetime import datetime

from beamhall.embedded.api.resources import Resource
from beamhall.kernel.errors import BadRequest
from beamhall.kernel.objects import Object, ReadOnlyObject

_API_VERSION = "meta.k8s.io/v1"


def partial(obj: ReadOnlyObject) -> Object:
    """Give an object's metadata alone, as ``PartialObjectMetadata``."""
    return {"kind": "PartialObjectMetadata", "apiVersion": _API_VERSION, "metadata": obj.get("metadata") or {}}


def check_include(include: str) -> None:
    """Let pass what may be said of how much of each object comes with its row.

    Raises:
        BadRequest: It is something else.
    """
    if include not in ("", "None", "Metadata", "Object"):
        raise BadRequest(f"includeObject must be None, Metadata or Object, not {include!r}")


def row(resource: Resource, obj: ReadOnlyObject, now: datetime, include: str) -> Object:
    """Make the row of one object, as ``table`` has it."""
    made: Object = {"cells": resource.rules.cells(obj, now)}
    if include != "None":
        made["object"] = obj if include == "Object" else partial(obj)
    return made


def table(
    resource: Resource, objects: Iterable[ReadOnlyObject], now: datetime, *, include: str, columns: bool = True
) -> Object:
    """Make a table.

    Args:
        resource: What the objects are.
        objects: One for each row.
        now: For ages.
        include: How much of each object comes with its row: ``None``, ``Metadata`` (also if empty) or ``Object``.
        columns: Whether the column definitions are given; a watch gives them once.

    Raises:
        BadRequest: ``include`` is something else.
    """
    check_include(include)
    rows = [row(resource, obj, now, include) for obj in objects]
    definitions = list(resource.rules.columns()) if columns else []
    return {
        "kind": "Table",
        "apiVersion": _API_VERSION,
        "metadata": {},
        "columnDefinitions": definitions,
        "rows": rows,
    }
