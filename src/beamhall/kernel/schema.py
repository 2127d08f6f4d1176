"""Structural schemas: what a custom resource may hold. ``Schema`` validates, defaults and prunes.

The order on a write is: ``prune``, ``default``, ``validate``; each may be done twice and changes nothing the second
time. What a value must be is in ``schema_rules``; this module knows where in an object which part of a schema applies.
Expressions (``x-kubernetes-validations``) are not evaluated.

Source: Kubernetes "Extend the Kubernetes API with CustomResourceDefinitions", "Specifying a structural schema".
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from beamhall.kernel.errors import Cause
from beamhall.kernel.objects import Object, ReadOnlyObject
from beamhall.kernel.schema_rules import causes_of

_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_EMBEDDED = "x-kubernetes-embedded-resource"
_OF_EVERY_RESOURCE = ("apiVersion", "kind", "metadata")

Document = Mapping[str, Any]


class Schema:
    """A structural schema, rooted at an object.

    Args:
        document: The value of ``openAPIV3Schema`` of a version of a CRD. It is shared: nobody changes it.
    """

    def __init__(self, document: Document) -> None:
        self._document = document

    def prune(self, obj: Object) -> Sequence[str]:
        """Remove, in place, the fields that the schema does not know. Gives their paths, as ``unknown_fields``."""
        found = list(_unknown(obj, self._document, "", is_resource=True))
        for container, key, _ in found:
            del container[key]
        return [path for _, _, path in found]

    def unknown_fields(self, obj: ReadOnlyObject) -> Sequence[str]:
        """Give the paths of fields that the schema does not know: ``spec.contaners``, ``spec.list[0].nmae``."""
        return [path for _, _, path in _unknown(obj, self._document, "", is_resource=True)]

    def default(self, obj: Object) -> None:
        """Fill in, in place, the defaults of fields that are not set.

        A null where null is not allowed counts as not set and is removed where there is a default.
        """
        _default(obj, self._document)

    def validate(self, obj: ReadOnlyObject) -> Sequence[Cause]:
        """Give everything that is wrong, with the field's path and what would be right; empty if it is good."""
        return list(causes_of(obj, self._document, "", is_resource=True))


def unknown_field_message(path: str) -> str:
    """Say that a field is unknown in the words that kubectl and its users know."""
    return f'unknown field "{path}"'


def _unknown(
    value: Any, schema: Document, path: str, *, is_resource: bool = False
) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Find (mapping, key, path) of each field that no part of the schema describes."""
    if isinstance(value, list):
        items = schema.get("items")
        if isinstance(items, Mapping):
            for index, item in enumerate(value):
                yield from _unknown(item, items, f"{path}[{index}]", is_resource=bool(items.get(_EMBEDDED)))
        return
    if not isinstance(value, dict):
        return
    for key, member in value.items():
        if is_resource and key in _OF_EVERY_RESOURCE:
            continue
        below = f"{path}.{key}" if path else key
        known = member_schema(schema, key)
        if known is not None:
            yield from _unknown(member, known, below, is_resource=bool(known.get(_EMBEDDED)))
        elif not schema.get(_PRESERVE):
            yield value, key, below


def member_schema(schema: Document, key: str) -> Document | None:
    """Give the schema of a mapping's member, None if the schema does not describe it."""
    properties = schema.get("properties") or {}
    if key in properties:
        found: Document = properties[key]
        return found
    others = schema.get("additionalProperties")
    if isinstance(others, Mapping):
        return others
    return {_PRESERVE: True} if others is True else None


def _default(value: Any, schema: Document) -> None:
    if isinstance(value, list):
        items = schema.get("items")
        if isinstance(items, Mapping):
            for item in value:
                _default(item, items)
        return
    if not isinstance(value, dict):
        return
    for key, member in (schema.get("properties") or {}).items():
        if "default" in member and (key not in value or (value[key] is None and not member.get("nullable"))):
            value[key] = copy.deepcopy(member["default"])
    for key, found in value.items():
        if isinstance(found, dict | list):
            known = member_schema(schema, key)
            if known is not None:
                _default(found, known)
