"""Is the schema of a definition a structural schema at all? Asked once, so that whoever uses it may rely on its form.

Pure. Source: "Specifying a structural schema" in the Kubernetes documentation; ``apiextensions.k8s.io/v1``
JSONSchemaProps.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from beamhall.embedded.api.schema_extensions import place_problems
from beamhall.kernel.errors import Cause

_TYPES = ("object", "array", "string", "integer", "number", "boolean")
_DEPTH_LIMIT = 100

EXPRESSIONS = "x-kubernetes-validations"

_TEXTS = ("type", "format", "pattern", "description", "title", "x-kubernetes-list-type", "x-kubernetes-map-type")
_NUMBERS = ("minimum", "maximum", "multipleOf")
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_FLAGS = (
    "nullable",
    "uniqueItems",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
)


def schema_problems(schema: Any, path: str) -> Iterator[Cause]:
    """Find what is wrong with a schema.

    Args:
        schema: The value of ``openAPIV3Schema``.
        path: Where it stands in its definition.
    """
    yield from _problems(schema, path, is_typed=True, depth=0)


def _problems(schema: Any, path: str, *, is_typed: bool, depth: int) -> Iterator[Cause]:
    if not isinstance(schema, Mapping):
        yield _wrong(path, "must be an object")
        return
    if depth > _DEPTH_LIMIT:
        yield _wrong(path, f"is nested more than {_DEPTH_LIMIT} deep")
        return
    plain = list(_plain_problems(schema, path))
    yield from plain
    if not plain:
        yield from place_problems(schema, path, is_combined=not is_typed)
    has_other_type = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if is_typed and not schema.get("type") and not has_other_type:
        yield Cause(
            "FieldValueRequired", "Required value: must not be empty for specified object fields", f"{path}.type"
        )
    yield from _inner_problems(schema, path, depth + 1, is_typed=is_typed)


def _plain_problems(schema: Mapping[str, Any], path: str) -> Iterator[Cause]:
    """Check the members that hold no schemas."""
    forms: tuple[tuple[tuple[str, ...], Callable[[Any], bool], str], ...] = (
        (_TEXTS, lambda value: isinstance(value, str), "a string"),
        (_NUMBERS, lambda value: isinstance(value, int | float) and not isinstance(value, bool), "a number"),
        (
            _COUNTS,
            lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
            "a whole number",
        ),
        (_FLAGS, lambda value: isinstance(value, bool), "true or false"),
        (("enum",), lambda value: isinstance(value, list), "a list"),
        (("required", "x-kubernetes-list-map-keys"), _is_texts, "a list of strings"),
    )
    for names, is_right, words in forms:
        for name in names:
            if schema.get(name) is not None and not is_right(schema[name]):
                yield _wrong(f"{path}.{name}", f"must be {words}")
    kind = schema.get("type")
    if isinstance(kind, str) and kind and kind not in _TYPES:
        yield Cause("FieldValueNotSupported", f'Unsupported value: "{kind}"; use {", ".join(_TYPES)}', f"{path}.type")
    pattern = schema.get("pattern")
    if isinstance(pattern, str):
        try:
            re.compile(pattern)
        except re.error as error:
            yield _wrong(f"{path}.pattern", f"must be a regular expression: {error}")


def _inner_problems(schema: Mapping[str, Any], path: str, depth: int, *, is_typed: bool) -> Iterator[Cause]:
    """Check the members that hold schemas."""
    properties = schema.get("properties")
    if properties is not None and not isinstance(properties, Mapping):
        yield _wrong(f"{path}.properties", "must be an object")
    elif properties is not None:
        for name, inner in properties.items():
            yield from _problems(inner, f"{path}.properties[{name}]", is_typed=is_typed, depth=depth)
    additional = schema.get("additionalProperties")
    if additional is not None and not isinstance(additional, bool):
        yield from _problems(additional, f"{path}.additionalProperties", is_typed=is_typed, depth=depth)
    if schema.get("items") is not None:
        yield from _problems(schema["items"], f"{path}.items", is_typed=is_typed, depth=depth)
    elif schema.get("type") == "array" and is_typed:
        yield Cause("FieldValueRequired", "Required value: must be specified", f"{path}.items")
    yield from _combined_problems(schema, path, depth)


def _combined_problems(schema: Mapping[str, Any], path: str, depth: int) -> Iterator[Cause]:
    """Check the members that combine schemas; in those, types may be left out."""
    for name in ("allOf", "anyOf", "oneOf"):
        parts = schema.get(name)
        if parts is not None and not isinstance(parts, list):
            yield _wrong(f"{path}.{name}", "must be a list")
            continue
        for number, part in enumerate(parts or ()):
            yield from _problems(part, f"{path}.{name}[{number}]", is_typed=False, depth=depth)
    if schema.get("not") is not None:
        yield from _problems(schema["not"], f"{path}.not", is_typed=False, depth=depth)


def has_expressions(schema: Any) -> bool:
    """Tell whether a schema has rules in CEL anywhere."""
    if isinstance(schema, Mapping):
        return EXPRESSIONS in schema or any(has_expressions(inner) for inner in schema.values())
    return isinstance(schema, list) and any(has_expressions(inner) for inner in schema)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _wrong(field: str, message: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {message}", field)
