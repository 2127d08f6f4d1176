"""The table form of objects and lists, which ``kubectl get`` prints. Source: ``meta.k8s.io/v1`` Table."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from beamhall.embedded.api.resources import Resource
from beamhall.kernel.errors import BadRequest
from beamhall.kernel.objects import Object, ReadOnlyObject

_API_VERSION = "meta.k8s.io/v1"


def partial(obj: ReadOnlyObject) -> Object:
    """Give an object's metadata alone, as ``PartialObjectMetadata``."""
    return {"kind": "PartialObjectMetadata", "apiVersion": _API_VERSION, "metadata": obj.get("metadata") or {}}


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
    if include not in ("", "None", "Metadata", "Object"):
        raise BadRequest(f"includeObject must be None, Metadata or Object, not {include!r}")
    rules = resource.rules
    rows: list[dict[str, Any]] = []
    for obj in objects:
        row: dict[str, Any] = {"cells": rules.cells(obj, now)}
        if include != "None":
            row["object"] = obj if include == "Object" else partial(obj)
        rows.append(row)
    definitions = list(rules.columns()) if columns else []
    return {
        "kind": "Table",
        "apiVersion": _API_VERSION,
        "metadata": {},
        "columnDefinitions": definitions,
        "rows": rows,
    }
