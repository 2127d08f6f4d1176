"""Does an object have only fields that its kind has, and values of their types?

This is what Kubernetes' decoder checks before anything else. What values mean is ``validation``'s business.
"""

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from beamhall.embedded.api.builtin.definitions import Field, fields_of
from beamhall.embedded.api.builtin.kinds import built_in
from beamhall.kernel.clock import parse_time
from beamhall.kernel.errors import Cause
from beamhall.kernel.kinds import Kind
from beamhall.kernel.objects import ReadOnlyObject


@dataclass(frozen=True, slots=True)
class FieldCheck:
    """What is wrong with an object's fields.

    Attributes:
        unknown: Paths of the fields that the kind does not have, such as ``spec.containers[0].imagee``.
        causes: Values of wrong types.
    """

    unknown: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()


def check_fields(kind: Kind, obj: ReadOnlyObject) -> FieldCheck:
    """Check the fields and types of an object of a built-in kind; of another kind, nothing is wrong."""
    entry = built_in(kind)
    return check_definition(entry.definition, obj) if entry else FieldCheck()


def check_definition(definition: str, value: Mapping[str, Any]) -> FieldCheck:
    """Check the fields and types of a value of a definition, such as ``meta_v1.DeleteOptions``."""
    unknown: list[str] = []
    causes: list[Cause] = []
    for found in _check_object(definition, value, ""):
        if isinstance(found, Cause):
            causes.append(found)
        else:
            unknown.append(found)
    return FieldCheck(tuple(unknown), tuple(causes))


def _check_object(definition: str, value: Any, path: str) -> Iterator[str | Cause]:
    if not isinstance(value, Mapping):
        yield _wrong(path, value, "an object")
        return
    fields = fields_of(definition)
    for name, inner in value.items():
        here = f"{path}.{name}" if path else name
        field = fields.get(name)
        if field is None:
            yield here
        elif inner is not None:  # null means absent
            yield from _check_field(field, inner, here)


def _check_field(field: Field, value: Any, path: str) -> Iterator[str | Cause]:
    if field.shape == "[]":
        if not isinstance(value, list):
            yield _wrong(path, value, "a list")
            return
        for number, item in enumerate(value):
            yield from _check_one(field, item, f"{path}[{number}]")
    elif field.shape == "{}":
        if not isinstance(value, Mapping):
            yield _wrong(path, value, "a map")
            return
        for key, item in value.items():
            yield from _check_one(field, item, f"{path}[{key}]")
    else:
        yield from _check_one(field, value, path)


def _check_one(field: Field, value: Any, path: str) -> Iterator[str | Cause]:
    if field.is_definition:
        yield from _check_object(field.type, value, path)
    elif not _IS[field.type](value):
        yield _wrong(path, value, _SAID[field.type])


def _wrong(path: str, value: Any, wanted: str) -> Cause:
    shown = f'"{value}"' if isinstance(value, str) else _TYPES.get(type(value), str(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        shown = str(value)
    return Cause("FieldValueTypeInvalid", f"Invalid value: {shown[:200]}: must be {wanted}", path)


_TYPES: Mapping[type, str] = {bool: "a boolean", dict: "an object", list: "a list", type(None): "null"}


def _is_integer(bits: int) -> Callable[[Any], bool]:
    limit = 1 << (bits - 1)
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_time(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        parse_time(value)
    except ValueError:
        return False
    return "T" in value


def _is_base64(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        base64.b64decode(value.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


_IS: Mapping[str, Callable[[Any], bool]] = {
    "any": lambda _: True,
    "string": _is_text,
    "bytes": _is_base64,
    "int32": _is_integer(32),
    "int64": _is_integer(64),
    "double": _is_number,
    "bool": lambda value: isinstance(value, bool),
    "time": _is_time,
    "micro-time": _is_time,
    "int-or-string": lambda value: _is_text(value) or _is_integer(32)(value),
    "quantity": lambda value: _is_text(value) or _is_number(value),
}
_SAID: Mapping[str, str] = {
    "string": "a string (write it in quotes)",
    "bytes": "base64 text (use stringData for plain text)",
    "int32": "an integer of 32 bits",
    "int64": "an integer of 64 bits",
    "double": "a number",
    "bool": "true or false",
    "time": "a time such as 2006-01-02T15:04:05Z",
    "micro-time": "a time such as 2006-01-02T15:04:05.000000Z",
    "int-or-string": "an integer or a string",
    "quantity": "a quantity such as 500m or 1Gi",
}
