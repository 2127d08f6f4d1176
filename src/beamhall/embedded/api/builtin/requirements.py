"""Fields that the published schema requires: those that must be there for an object to mean anything.

Kubernetes' decoder does not ask for them; its validation does, field by field. Here the table of ``definitions`` does.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from beamhall.embedded.api.builtin.causes import required
from beamhall.embedded.api.builtin.definitions import Field, fields_of
from beamhall.kernel.errors import Cause


def missing_fields(definition: str, value: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Give a cause for each required field that is absent, null, an empty text or an empty list, at any depth."""
    for name, field in fields_of(definition).items():
        inner = value.get(name)
        if field.required and (inner is None or inner in ("", [])):
            yield required(f"{path}.{name}")
        elif field.is_definition and inner is not None:
            for part, part_path in _parts(field, inner, f"{path}.{name}"):
                if isinstance(part, Mapping):
                    yield from missing_fields(field.type, part, part_path)


def _parts(field: Field, value: Any, path: str) -> Iterator[tuple[Any, str]]:
    if field.shape == "[]":
        yield from ((item, f"{path}[{number}]") for number, item in enumerate(value))
    else:
        yield value, path
