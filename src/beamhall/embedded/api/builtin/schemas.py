"""Schemas of the built-in kinds: structural ones for the server, OpenAPI components for kubectl.

Both are made from ``definitions`` on first need. Descriptions, which only OpenAPI documents carry, are taken from the
docstrings of ``lightkube.models``: its files are read as text (30 ms), since importing them costs 30 MB.
"""

import ast
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from beamhall.embedded.api.builtin.definitions import OBJECT_META, Field, fields_of
from beamhall.embedded.api.builtin.kinds import BUILT_INS, built_in
from beamhall.kernel.kinds import Kind

Schema = dict[str, Any]
_Descriptions = Mapping[str, tuple[str, Mapping[str, str]]]

_TIME = {"type": "string", "format": "date-time"}
_STRUCTURAL: Mapping[str, Schema] = {
    "string": {"type": "string"},
    "bytes": {"type": "string", "format": "byte"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "double": {"type": "number", "format": "double"},
    "bool": {"type": "boolean"},
    "time": _TIME,
    "micro-time": _TIME,
    "int-or-string": {"x-kubernetes-int-or-string": True},
    "quantity": {"x-kubernetes-int-or-string": True},
    "any": {"x-kubernetes-preserve-unknown-fields": True},
}

_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_SHARED: Mapping[str, Schema] = {
    _QUANTITY: {
        "description": "A number with a unit, such as 500m, 0.5, 128Mi or 1e3.",
        "oneOf": [{"type": "string"}, {"type": "number"}],
    },
    _INT_OR_STRING: {
        "description": "An integer, or a string: a name or a percentage.",
        "format": "int-or-string",
        "oneOf": [{"type": "integer"}, {"type": "string"}],
    },
}
_KEY_DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "core_v1.ContainerPort": {"protocol": "TCP"},
    "core_v1.ServicePort": {"protocol": "TCP"},
    "core_v1.LocalObjectReference": {"name": ""},
}
"""What fields mean, where they are left out, that tell the items of a list apart: server-side apply must know."""
_PACKAGES = {
    "meta_v1": "io.k8s.apimachinery.pkg.apis.meta.v1",
    "apiextensions_v1": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1",
}


def schema_of(kind: Kind) -> Schema:
    """Give the structural schema of a built-in kind, in the form of a CRD's ``openAPIV3Schema``.

    It is shared by all callers and its parts by each other: never change it. Besides types it carries the
    ``x-kubernetes-*`` extensions that strategic merge patch and server-side apply read. It has no descriptions and
    names no required fields: Kubernetes' decoder asks for none; ``validation`` does.

    Raises:
        KeyError: The kind is not built in.
    """
    return _structural(_definition_of(kind))


def metadata_schema() -> Schema:
    """Give the structural schema of the metadata that every kind has; shared, as ``schema_of``."""
    return _structural(OBJECT_META)


def component_name(kind: Kind) -> str:
    """Give the name of a built-in kind among OpenAPI components: ``io.k8s.api.core.v1.Pod``."""
    return _component_name(_definition_of(kind))


def openapi_components(kinds: Iterable[Kind]) -> dict[str, Schema]:
    """Give OpenAPI v3 ``components.schemas`` for built-in kinds and everything that they refer to."""
    components: dict[str, Schema] = {name: dict(schema) for name, schema in _SHARED.items()}
    addresses = {_definition_of(kind): kind for kind in kinds}
    described: dict[str, _Descriptions] = {}  # for this call only: the texts weigh more than all else here
    seen: set[str] = set()
    waiting = list(addresses)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        module = name.partition(".")[0]
        if module not in described:
            described[module] = _descriptions(module)
        components[_component_name(name)] = _component(name, described[module]) | _address(addresses.get(name))
        waiting += [field.type for field in fields_of(name).values() if field.is_definition]
    return components


def preload() -> None:
    """Make every schema, so that the first request need not. May run in a thread."""
    for entry in BUILT_INS.values():
        schema_of(entry.kind)


def _definition_of(kind: Kind) -> str:
    entry = built_in(kind)
    if entry is None:
        raise KeyError(f"{kind.kind} ({kind.api_version}) is not built in")
    return entry.definition


@cache
def _structural(definition: str) -> Schema:
    """Make a definition's schema. The table has none that contains itself; the script leaves such a type open."""
    keys = _KEY_DEFAULTS.get(definition, {})
    return {
        "type": "object",
        "properties": {
            name: _shaped(field, _structural(field.type) if field.is_definition else _STRUCTURAL[field.type])
            | ({"default": keys[name]} if name in keys else {})
            for name, field in fields_of(definition).items()
        },
    }


def _component_name(definition: str) -> str:
    module, _, name = definition.partition(".")
    group, _, version = module.partition("_")
    return f"{_PACKAGES.get(module) or f'io.k8s.api.{group}.{version}'}.{name}"


def _address(kind: Kind | None) -> Schema:
    if kind is None:
        return {}
    return {"x-kubernetes-group-version-kind": [{"group": kind.group, "version": kind.version, "kind": kind.kind}]}


def _component(definition: str, descriptions: _Descriptions) -> Schema:
    """Make a definition's OpenAPI component, with references to others."""
    about, of_fields = descriptions.get(definition, ("", {}))
    fields = fields_of(definition)
    properties = {}
    for name, field in fields.items():
        schema = _shaped(field, _openapi_type(field))
        if "$ref" in schema:  # what stands beside a reference is ignored, so it is wrapped
            schema = {"allOf": [{"$ref": schema.pop("$ref")}]} | schema
        properties[name] = ({"description": of_fields[name]} if name in of_fields else {}) | schema
    required = [name for name, field in fields.items() if field.required]
    return (
        ({"description": about} if about else {})
        | {"type": "object", "properties": properties}
        | ({"required": required} if required else {})
    )


def _openapi_type(field: Field) -> Schema:
    if field.is_definition:
        return {"$ref": f"#/components/schemas/{_component_name(field.type)}"}
    if field.type == "quantity":
        return {"$ref": f"#/components/schemas/{_QUANTITY}"}
    if field.type == "int-or-string":
        return {"$ref": f"#/components/schemas/{_INT_OR_STRING}"}
    return {} if field.type == "any" else _STRUCTURAL[field.type]


def _shaped(field: Field, inner: Schema) -> Schema:
    """Wrap the schema of one value as the field has it: alone, in a list, or in a map; and say how it merges."""
    if field.shape == "[]":
        schema: Schema = {"type": "array", "items": inner}
    elif field.shape == "{}":
        schema = {"type": "object", "additionalProperties": inner}
        if field.type == "any":
            schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    else:
        schema = inner
    return schema | _extensions(field)


def _extensions(field: Field) -> Schema:
    extensions: Schema = {}
    if field.list_type:
        extensions["x-kubernetes-list-type"] = field.list_type
    if field.map_keys:
        extensions["x-kubernetes-list-map-keys"] = list(field.map_keys)
    if field.is_atomic:
        extensions["x-kubernetes-map-type"] = "atomic"
    if field.patch_key is not None:
        extensions["x-kubernetes-patch-strategy"] = "merge,retainKeys" if field.retain_keys else "merge"
        if field.patch_key:
            extensions["x-kubernetes-patch-merge-key"] = field.patch_key
    return extensions


def _descriptions(module: str) -> _Descriptions:
    """Give (description, descriptions of fields) for each definition of a module of ``lightkube.models``."""
    spec = find_spec("lightkube")
    if spec is None or not spec.submodule_search_locations:  # documents are then bare, but right
        return {}
    path = Path(spec.submodule_search_locations[0]) / "models" / f"{module}.py"
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            about, _, parameters = (ast.get_docstring(node) or "").partition("**parameters**")
            found[f"{module}.{node.name}"] = (_one_line(about), dict(_parameters(parameters)))
    return found


_PARAMETER = re.compile(r"^ *\* \*\*(?P<name>\S+?)\*\* ``.*?`` - ", re.MULTILINE)


def _parameters(text: str) -> Iterator[tuple[str, str]]:
    """Give (field, description) from the list of parameters in a model's docstring."""
    _, *parts = _PARAMETER.split(text)
    for name, about in zip(parts[::2], parts[1::2], strict=True):
        yield name, _one_line(inspect.cleandoc(about))


def _one_line(text: str) -> str:
    return " ".join(text.split())
