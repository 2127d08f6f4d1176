"""What an expression sees of a JSON value: only what its schema declares, typed as the schema says, names escaped.

Source: Kubernetes' documentation of ``x-kubernetes-validations``; ``k8s.io/apiserver/pkg/cel`` (escaping).
"""

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from beamhall.kernel.clock import parse_time

RESERVED = frozenset(
    {"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
     "let", "loop", "package", "namespace", "return", "var", "void", "while"}
)  # fmt: skip
_SIGNS = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_SIGN = re.compile(r"__|\.|-|/")
_ACCESSIBLE = re.compile(r"[A-Za-z_./-][A-Za-z0-9_./-]*")
_DURATION_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}

Document = Mapping[str, Any]


def type_name(schema: Document) -> str:
    """Name the type of a value in CEL: ``int``, ``double``, ``string``, …; ``dyn`` where a schema leaves it open."""
    if schema.get("x-kubernetes-int-or-string"):
        return "dyn"
    kind = str(schema.get("type") or "")
    if kind == "string":
        return _FORMATS.get(str(schema.get("format") or ""), "string")
    return {"integer": "int", "number": "double", "boolean": "bool", "array": "list", "object": "map"}.get(kind, "dyn")


_FORMATS = {"byte": "bytes", "date-time": "timestamp", "date": "timestamp", "duration": "duration"}


def cel_value(value: Any, schema: Document, *, is_resource: bool = False) -> Any:
    """Make what an expression sees of a value that fits its schema.

    A time or a duration inside of something stays text, since the CEL library takes them at the root only: expressions
    write ``timestamp(self.at)``, which is right on a kube-apiserver too.

    Args:
        value: The value.
        schema: Its schema.
        is_resource: Whether it is a whole resource, which has ``apiVersion``, ``kind`` and ``metadata``.
    """
    if isinstance(value, Mapping):
        return _mapping(value, schema, is_resource=is_resource or bool(schema.get("x-kubernetes-embedded-resource")))
    if isinstance(value, list):
        items = schema.get("items") or {}
        return [cel_value(item, items) for item in value]
    if type_name(schema) == "double" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def root_value(value: Any, schema: Document, *, is_resource: bool) -> Any:
    """Make what an expression sees as ``self``; a text is read by its format."""
    if isinstance(value, str):
        return _text(value, type_name(schema))
    return cel_value(value, schema, is_resource=is_resource)


def _mapping(value: Mapping[str, Any], schema: Document, *, is_resource: bool) -> dict[str, Any]:
    others = schema.get("additionalProperties")
    if isinstance(others, Mapping):
        return {key: cel_value(inner, others) for key, inner in value.items()}
    properties = schema.get("properties") or {}
    found = {}
    for key, inner in value.items():
        if is_resource and key in ("apiVersion", "kind"):
            found[key] = inner
        elif is_resource and key == "metadata" and isinstance(inner, Mapping):
            found[key] = {name: inner[name] for name in ("name", "generateName") if name in inner}
        elif key in properties and inner is not None and _ACCESSIBLE.fullmatch(key):
            found[escaped(key)] = cel_value(inner, properties[key])
    return found


def escaped(name: str) -> str:
    """Write a property's name as expressions do: ``x-a`` is ``x__dash__a``, ``namespace`` is ``__namespace__``."""
    return f"__{name}__" if name in RESERVED else _SIGN.sub(lambda found: _SIGNS[found.group()], name)


def _text(value: str, kind: str) -> Any:
    """Read a text by its format; one that cannot be read stays a text: the schema has refused it."""
    try:
        if kind == "timestamp":
            return parse_time(value if "T" in value.upper() else f"{value}T00:00:00Z")
        if kind == "duration":
            return duration_of(value)
        if kind == "bytes":
            return base64.b64decode(value)
    except (ValueError, binascii.Error):
        return value
    return value


def duration_of(text: str) -> timedelta:
    """Read a duration such as ``1h30m``. Raises ``ValueError``."""
    parts = _DURATION_PART.findall(text)
    if not parts and text.strip("+-") != "0":
        raise ValueError(f"not a duration: {text!r}")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return timedelta(seconds=-seconds if text.startswith("-") else seconds)
