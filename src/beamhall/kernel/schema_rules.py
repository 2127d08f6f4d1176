"""What a value must be to fit a schema: types, ranges, lengths, patterns, formats, choices, lists as sets and maps.

``schema`` is the way in. Messages begin as Kubernetes' do (``Invalid value``, ``Required value``, …), and then say what
would be right.

Source: JSON Schema Validation (draft 5), section 5, and Kubernetes' extensions to it, "Structural schemas".
"""

import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from beamhall.kernel.errors import Cause
from beamhall.kernel.formats import format_problem

Document = Mapping[str, Any]

_RANGES = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
_MAX_SHOWN = 100
# Most schemas of most values say no more than a type: looking is cheaper than starting a generator that finds nothing.
_COMBINING = frozenset({"allOf", "anyOf", "oneOf", "not"})
_OF_SCALARS = frozenset({"maxLength", "minLength", "pattern", "format", "minimum", "maximum", "multipleOf"})
_EMBEDDED = "x-kubernetes-embedded-resource"
_INT_OR_STRING = "x-kubernetes-int-or-string"


def causes_of(value: Any, schema: Document, path: str, *, is_resource: bool = False) -> Iterator[Cause]:
    """Find where a value does not fit a schema.

    Args:
        value: Any JSON value.
        schema: The schema of this value.
        path: Where it stands, empty at the root.
        is_resource: Whether it is a whole resource, which has ``apiVersion``, ``kind`` and ``metadata``.
    """
    if value is None:
        if not schema.get("nullable") and _wanted_type(schema):
            yield _invalid(path, value, f"must be {_wanted_type(schema)}; leave the field out to have it unset")
        return
    wanted = _wanted_type(schema)
    if wanted and not _has_type(value, schema):
        yield Cause("FieldValueTypeInvalid", f"Invalid value: {_shown(value)}: must be {wanted}", path)
        return
    if "enum" in schema:
        yield from _choice(value, schema, path)
    if isinstance(value, dict):
        yield from _mapping(value, schema, path, is_resource=is_resource or bool(schema.get(_EMBEDDED)))
    elif isinstance(value, list):
        yield from _list(value, schema, path)
    elif not _OF_SCALARS.isdisjoint(schema):
        yield from _scalar(value, schema, path)
    if not _COMBINING.isdisjoint(schema):
        yield from _combined(value, schema, path)


def _is_integer(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


_TYPES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "object": (lambda value: isinstance(value, dict), "an object"),
    "array": (lambda value: isinstance(value, list), "a list"),
    "string": (lambda value: isinstance(value, str), "a string"),
    "boolean": (lambda value: isinstance(value, bool), "a boolean (true or false)"),
    "integer": (_is_integer, "an integer"),
    "number": (lambda value: isinstance(value, int | float) and not isinstance(value, bool), "a number"),
}


def _wanted_type(schema: Document) -> str:
    if schema.get(_INT_OR_STRING):
        return "an integer or a string"
    known = _TYPES.get(str(schema.get("type") or ""))
    return known[1] if known else ""


def _has_type(value: Any, schema: Document) -> bool:
    if schema.get(_INT_OR_STRING):
        return isinstance(value, str) or _is_integer(value)
    return _TYPES[schema["type"]][0](value)


def _choice(value: Any, schema: Document, path: str) -> Iterator[Cause]:
    choices = schema["enum"] or ()
    if not any(_is_same(value, choice) for choice in choices):
        supported = ", ".join(_shown(choice) for choice in choices)
        yield Cause(
            "FieldValueNotSupported", f"Unsupported value: {_shown(value)}: supported values: {supported}", path
        )


def _scalar(value: Any, schema: Document, path: str) -> Iterator[Cause]:
    if isinstance(value, str):
        yield from _text(value, schema, path)
    elif not isinstance(value, bool):
        yield from _number(value, schema, path)


def _text(value: str, schema: Document, path: str) -> Iterator[Cause]:
    longest, shortest, pattern = schema.get("maxLength"), schema.get("minLength"), schema.get("pattern")
    if longest is not None and len(value) > longest:
        message = f"Too long: may not be more than {longest} characters; it has {len(value)}"
        yield Cause("FieldValueTooLong", message, path)
    if shortest is not None and len(value) < shortest:
        yield _invalid(path, value, f"must have at least {shortest} character{'s' * (shortest != 1)}")
    if pattern and not _matches(pattern, value):
        yield _invalid(path, value, f"must match the pattern {pattern!r}")
    if problem := format_problem(str(schema.get("format") or ""), value):
        yield _invalid(path, value, problem)


def _number(value: float, schema: Document, path: str) -> Iterator[Cause]:
    low, high, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    if low is not None and (value <= low if schema.get("exclusiveMinimum") else value < low):
        yield _invalid(path, value, f"must be {'more than' if schema.get('exclusiveMinimum') else 'at least'} {low}")
    if high is not None and (value >= high if schema.get("exclusiveMaximum") else value > high):
        yield _invalid(path, value, f"must be {'less than' if schema.get('exclusiveMaximum') else 'at most'} {high}")
    if step and value % step:
        yield _invalid(path, value, f"must be a multiple of {step}")
    bounds = _RANGES.get(str(schema.get("format") or ""))
    if bounds and not bounds[0] <= value <= bounds[1]:
        yield _invalid(path, value, f"must be between {bounds[0]} and {bounds[1]} ({schema['format']})")


def _mapping(value: dict[str, Any], schema: Document, path: str, *, is_resource: bool) -> Iterator[Cause]:
    if is_resource:
        yield from _resource(value, path)
    for key in schema.get("required") or ():
        if key not in value:
            yield Cause("FieldValueRequired", "Required value", _below(path, key))
    most, least = schema.get("maxProperties"), schema.get("minProperties")
    if most is not None and len(value) > most:
        yield Cause("FieldValueTooMany", f"Too many: {len(value)}: must have at most {most} entries", path)
    if least is not None and len(value) < least:
        yield _invalid(path, value, f"must have at least {least} entries")
    properties = schema.get("properties") or {}
    others = schema.get("additionalProperties")
    for key, member in value.items():
        known = properties.get(key, others if isinstance(others, Mapping) else None)
        if known is not None and not (is_resource and key in ("apiVersion", "kind")):
            yield from causes_of(member, known, _below(path, key))


def _resource(value: dict[str, Any], path: str) -> Iterator[Cause]:
    for key in ("apiVersion", "kind"):
        if key not in value:
            yield Cause("FieldValueRequired", "Required value", _below(path, key))
        elif not isinstance(value[key], str) or not value[key]:
            yield _invalid(_below(path, key), value[key], "must be a string, and not empty")
    if not isinstance(value.get("metadata", {}), dict):
        yield _invalid(_below(path, "metadata"), value["metadata"], "must be an object")


def _list(value: list[Any], schema: Document, path: str) -> Iterator[Cause]:
    most, least = schema.get("maxItems"), schema.get("minItems")
    if most is not None and len(value) > most:
        yield Cause("FieldValueTooMany", f"Too many: {len(value)}: must have at most {most} items", path)
    if least is not None and len(value) < least:
        yield _invalid(path, value, f"must have at least {least} item{'s' * (least != 1)}")
    list_type = schema.get("x-kubernetes-list-type")
    if list_type == "set" or schema.get("uniqueItems"):
        yield from _duplicates(value, path, _frozen, value)
    elif list_type == "map":
        keys = schema.get("x-kubernetes-list-map-keys") or ()
        shown = [{k: item.get(k) for k in keys} if isinstance(item, dict) else item for item in value]
        yield from _duplicates(value, path, lambda item: _map_key(item, keys, schema.get("items") or {}), shown)
    items = schema.get("items")
    if isinstance(items, Mapping):
        for index, item in enumerate(value):
            yield from causes_of(item, items, f"{path}[{index}]")


def _duplicates(value: list[Any], path: str, identity: Callable[[Any], str], shown: list[Any]) -> Iterator[Cause]:
    seen = set()
    for index, item in enumerate(value):
        key = identity(item)
        if key in seen:
            yield Cause("FieldValueDuplicate", f"Duplicate value: {_shown(shown[index])}", f"{path}[{index}]")
        seen.add(key)


def _map_key(item: Any, keys: Any, items: Document) -> str:
    if not isinstance(item, dict):
        return _frozen(item)
    properties = items.get("properties") or {}
    return _frozen([item.get(key, (properties.get(key) or {}).get("default")) for key in keys])


def _combined(value: Any, schema: Document, path: str) -> Iterator[Cause]:
    for part in schema.get("allOf") or ():
        yield from causes_of(value, part, path)
    anyone = schema.get("anyOf")
    if anyone and not any(_fits(value, part) for part in anyone):
        yield _invalid(path, value, f"must fit at least one of: {_alternatives(anyone)}")
    exactly = schema.get("oneOf")
    if exactly and sum(_fits(value, part) for part in exactly) != 1:
        yield _invalid(path, value, f"must fit exactly one of: {_alternatives(exactly)}")
    unwanted = schema.get("not")
    if unwanted is not None and _fits(value, unwanted):
        yield _invalid(path, value, f"must not fit: {_alternatives([unwanted])}")


def _fits(value: Any, schema: Document) -> bool:
    return next(causes_of(value, schema, ""), None) is None


def _alternatives(schemas: Any) -> str:
    return " | ".join(json.dumps(schema, default=str)[:_MAX_SHOWN] for schema in schemas)


def _invalid(path: str, value: Any, rule: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {_shown(value)}: {rule}", path)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _is_same(one: Any, other: Any) -> bool:
    """Compare as JSON does: 1 is 1.0, but true is not 1."""
    return _frozen(one) == _frozen(other)


def _frozen(value: Any) -> str:
    """Write a value so that equal values, and only they, are written alike."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, list):
        return f"[{','.join(_frozen(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{json.dumps(key)}:{_frozen(value[key])}' for key in sorted(value))}}}"
    return json.dumps(value)


def _matches(pattern: str, value: str) -> bool:
    compiled = _compiled(pattern)
    return compiled is None or compiled.search(value) is not None


_POSIX_CLASSES = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "blank": r"\t ", "digit": "0-9", "lower": "a-z", "space": r"\s",
    "upper": "A-Z", "word": r"\w", "xdigit": "0-9A-Fa-f",
}  # fmt: skip


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """Read a pattern, written for RE2. One that Python does not know lets everything pass: the CRD was accepted."""
    if pattern.endswith("$") and not pattern.endswith("\\$"):
        pattern = pattern[:-1] + r"\Z"  # in RE2, $ does not stand before a last newline
    for name, letters in _POSIX_CLASSES.items():
        pattern = pattern.replace(f"[:{name}:]", letters)
    try:
        with warnings.catch_warnings(action="ignore"):  # of what a later Python may read otherwise
            return re.compile(pattern.replace(r"\z", r"\Z"), re.ASCII)
    except re.error:
        return None
