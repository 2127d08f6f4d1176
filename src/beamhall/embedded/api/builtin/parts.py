"""Setting parts of objects in place: what ``defaults`` and its neighbours share."""

from collections.abc import Mapping
from typing import Any

from beamhall.kernel.objects import Object


def part_of(obj: Object, *path: str) -> dict[str, Any]:
    """Give the object at a path, made where it is absent or null."""
    for step in path:
        inner = obj.get(step)
        if not isinstance(inner, dict):
            inner = obj[step] = {}
        obj = inner
    return obj


def set_defaults(target: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    """Set what is absent or null."""
    for name, value in defaults.items():
        if target.get(name) is None:
            target[name] = value
