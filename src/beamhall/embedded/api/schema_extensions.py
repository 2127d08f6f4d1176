"""What a structural schema may not have, and what its ``x-kubernetes-*`` extensions ask of what stands around them.

``schema_form`` walks the schema and asks here at each place. Pure. Source: "Specifying a structural schema" in the
Kubernetes documentation; ``k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation/validation.go``.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from beamhall.kernel.errors import Cause
from beamhall.kernel.schema import Schema
from beamhall.kernel.schema_rules import causes_of

_UNSUPPORTED = ("$ref", "definitions", "dependencies", "patternProperties", "additionalItems", "id", "$schema")
_NOT_IN_COMBINATIONS = (
    "description",
    "default",
    "additionalProperties",
    "nullable",
    "title",
    "x-kubernetes-validations",
)
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_EMBEDDED = "x-kubernetes-embedded-resource"
_LIST_TYPE, _MAP_KEYS, _MAP_TYPE = "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"

Document = Mapping[str, Any]


def place_problems(schema: Document, path: str, *, is_combined: bool) -> Iterator[Cause]:
    """Find what is wrong with one place of a schema, whose members are of the right types.

    Args:
        schema: The schema of this place.
        path: Where it stands in its definition.
        is_combined: Whether it stands in an ``allOf``, ``anyOf``, ``oneOf`` or ``not``.
    """
    for name in _UNSUPPORTED:
        if name in schema:
            yield _forbidden(f"{path}.{name}", f"{name} is not supported")
    if schema.get("uniqueItems"):
        message = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield _forbidden(f"{path}.uniqueItems", message)
    if schema.get("properties") and schema.get("additionalProperties"):
        yield _forbidden(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive")
    if schema.get(_PRESERVE) is False:
        yield _invalid(f"{path}.{_PRESERVE}", False, "must be true or undefined")
    if is_combined:
        for name in _NOT_IN_COMBINATIONS:
            if name in schema:
                yield _forbidden(f"{path}.{name}", "must be empty to be structural")
        return
    yield from _embedded_problems(schema, path)
    yield from _list_problems(schema, path)
    yield from _map_problems(schema, path)
    yield from _default_problems(schema, path)


def _embedded_problems(schema: Document, path: str) -> Iterator[Cause]:
    if not schema.get(_EMBEDDED):
        return
    if schema.get("type") != "object":
        yield _invalid(f"{path}.type", schema.get("type"), f"must be object if {_EMBEDDED} is true")
    if not schema.get(_PRESERVE) and not schema.get("properties"):
        message = f"must not be empty if {_EMBEDDED} is true without {_PRESERVE}"
        yield Cause("FieldValueRequired", f"Required value: {message}", f"{path}.properties")


def _list_problems(schema: Document, path: str) -> Iterator[Cause]:
    kind, keys = schema.get(_LIST_TYPE), schema.get(_MAP_KEYS) or ()
    if kind is None:
        if keys:
            yield _forbidden(f"{path}.{_MAP_KEYS}", f"must not be set if {_LIST_TYPE} is not map")
        return
    if kind not in ("atomic", "set", "map"):
        yield _unsupported(f"{path}.{_LIST_TYPE}", kind, ("atomic", "map", "set"))
    if schema.get("type") != "array":
        yield _invalid(f"{path}.type", schema.get("type"), f"must be array if {_LIST_TYPE} is specified")
        return
    items = schema.get("items") or {}
    if kind == "map":
        yield from _keyed_problems(items, keys, path)
    elif kind == "set":
        inner = {"object": _MAP_TYPE, "array": _LIST_TYPE}.get(str(items.get("type")))
        if inner and items.get(inner, "atomic" if inner == _LIST_TYPE else "granular") != "atomic":
            yield _invalid(
                f"{path}.items.{inner}", items.get(inner), f"must be atomic as item of a list with {_LIST_TYPE}=set"
            )


def _keyed_problems(items: Document, keys: Any, path: str) -> Iterator[Cause]:
    if not keys:
        yield Cause(
            "FieldValueRequired", f"Required value: must not be empty if {_LIST_TYPE} is map", f"{path}.{_MAP_KEYS}"
        )
    if items.get("type") != "object":
        message = f"must be object if parent array's {_LIST_TYPE} is map"
        yield _invalid(f"{path}.items.type", items.get("type"), message)
        return
    properties = items.get("properties") or {}
    for number, key in enumerate(keys):
        known = properties.get(key)
        if known is None:
            yield _invalid(f"{path}.{_MAP_KEYS}[{number}]", key, "entries must all be names of item properties")
        elif known.get("type") in ("object", "array"):
            message = f"must be a scalar type if parent array's {_LIST_TYPE} is map"
            yield _invalid(f"{path}.items.properties[{key}].type", known["type"], message)
        elif "default" not in known and key not in (items.get("required") or ()):
            message = f"this property is in {_MAP_KEYS}, so it must have a default or be a required property"
            yield Cause("FieldValueRequired", f"Required value: {message}", f"{path}.items.properties[{key}].default")


def _map_problems(schema: Document, path: str) -> Iterator[Cause]:
    kind = schema.get(_MAP_TYPE)
    if kind is None:
        return
    if kind not in ("atomic", "granular"):
        yield _unsupported(f"{path}.{_MAP_TYPE}", kind, ("atomic", "granular"))
    if schema.get("type") != "object":
        yield _invalid(f"{path}.type", schema.get("type"), f"must be object if {_MAP_TYPE} is specified")


def _default_problems(schema: Document, path: str) -> Iterator[Cause]:
    """Check that a default fits its own schema, and has nothing that would be dropped."""
    if "default" not in schema:
        return
    here, value = f"{path}.default", schema["default"]
    if next(causes_of(value, schema, ""), None) is not None:
        found = [
            Cause(cause.reason, cause.message, f"{here}.{cause.field}" if cause.field else here)
            for cause in causes_of(value, schema, "")
        ]
        yield from found
    elif unknown := Schema({"properties": {"it": schema}}).unknown_fields({"it": value}):
        yield _invalid(here, value, f"must not have unknown fields: {', '.join(name[3:] for name in unknown)}")


def _forbidden(field: str, message: str) -> Cause:
    return Cause("FieldValueForbidden", f"Forbidden: {message}", field)


def _invalid(field: str, value: object, message: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {json.dumps(value)}: {message}", field)


def _unsupported(field: str, value: object, choices: tuple[str, ...]) -> Cause:
    supported = ", ".join(json.dumps(choice) for choice in choices)
    return Cause(
        "FieldValueNotSupported", f"Unsupported value: {json.dumps(value)}: supported values: {supported}", field
    )
