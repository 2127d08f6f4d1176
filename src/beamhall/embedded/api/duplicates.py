"""Fields that a body gives twice: all readers of JSON take the last, and a writer should know that.

Most bodies have none, so the exact and slow search comes only after a quick one that may be wrong in that direction.
"""

import json
from collections.abc import Iterator
from typing import Any

import msgspec


class _Pairs(list[tuple[str, Any]]):
    """An object of JSON with all that it says."""


def duplicate_fields(body: bytes, value: Any) -> list[str]:
    """Give the paths of fields that a JSON text gives twice, such as ``spec.replicas``.

    Args:
        body: The text.
        value: What was read from it.
    """
    if b'" :' not in body and body.count(b'":') == msgspec.json.encode(value).count(b'":'):
        return []
    return list(dict.fromkeys(_found(json.loads(body, object_pairs_hook=_Pairs), "")))


def _found(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Pairs):
        seen = set()
        for key, inner in value:
            here = f"{path}.{key}" if path else key
            if key in seen:
                yield here
            seen.add(key)
            yield from _found(inner, here)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _found(item, f"{path}[{number}]")
