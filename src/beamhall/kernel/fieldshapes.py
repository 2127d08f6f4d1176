"""Which fields a value has, told by its schema: what server-side apply owns, merges and compares one by one.

A ``Shape`` is a schema as this module reads it: objects and maps fall into their members unless they are ``atomic``,
lists only where the schema says ``set`` or ``map``; everything else is one field. Where a schema leaves a value open,
mappings fall into their members and lists do not.

Source: KEP-555 (server-side apply), "Lists", "Maps and structs"; structured-merge-diff, ``typed``.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

from beamhall.kernel.fieldsets import LEAF, SELF, FieldSet, field_step, item_step, text_item_step, value_step

_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_OPEN: Mapping[str, Any] = {_PRESERVE: True}


class Shape:
    """How one value falls into fields.

    Attributes:
        kind: ``map`` (an object or a map), ``items`` (a list by keys), ``set``, or ``leaf``.
        hides: Whether some of its members belong to nobody.

    Args:
        schema: Its structural schema, with the ``x-kubernetes-*`` extensions; shared, never changed.
        hidden: Names of members that belong to nobody, with those below each; None below: all of it.
        present: Names of objects that are there even when nothing is set in them, so that nobody makes them.
    """

    def __init__(
        self,
        schema: Mapping[str, Any],
        hidden: Mapping[str, Any] | None = None,
        present: frozenset[str] = frozenset(),
    ) -> None:
        self._schema = schema
        self._hidden = hidden or {}
        self._present = present
        self.hides = bool(hidden)
        self._known: dict[str, tuple[str, Shape, bool]] = {}
        self.kind = _kind_of(schema)
        others = schema.get("additionalProperties")
        if isinstance(others, Mapping):
            self._others: Mapping[str, Any] | None = others
        else:
            self._others = _OPEN if others or schema.get(_PRESERVE) else None

    def member(self, name: str) -> "tuple[str, Shape, bool] | None":
        """Give the step to a member, its shape, and whether whoever sets it makes it; None: it belongs to nobody."""
        known = self._known.get(name)
        if known is not None:
            return known
        if name in self._hidden and self._hidden[name] is None:
            return None
        properties = self._schema.get("properties") or {}
        if name not in properties:
            return field_step(name), self._other, True
        is_present = name in self._present
        inner = Shape(properties[name], self._hidden.get(name), self._present if is_present else frozenset())
        self._known[name] = field_step(name), inner, not is_present
        return self._known[name]

    def is_declared(self, name: str) -> bool:
        """Tell whether a member is a field of an object, not an entry of a map."""
        return name in (self._schema.get("properties") or {})

    @cached_property
    def _other(self) -> "Shape":
        return Shape(self._others if self._others is not None else {})

    @cached_property
    def item(self) -> "Shape":
        """The shape of a list's items."""
        return Shape(self._schema.get("items") or {})

    @cached_property
    def keys(self) -> Sequence[tuple[str, Any]]:
        """What tells a list's items apart: the names of fields, with their defaults (None: there is none)."""
        properties = (self._schema.get("items") or {}).get("properties") or {}
        names = self._schema.get("x-kubernetes-list-map-keys") or ()
        return [(name, (properties.get(name) or {}).get("default")) for name in names]

    def step_to(self, item: Any) -> str:
        """Give the step to an item of a list of kind ``items`` or ``set``.

        Raises:
            ValueError: It lacks a key that has no default.
        """
        if self.kind == "set":
            return value_step(item)
        if not isinstance(item, Mapping):
            raise ValueError("an element of a list by keys must be an object")  # noqa: TRY004  a client's fault
        if len(self.keys) == 1 and isinstance(item.get(self.keys[0][0]), str):
            return text_item_step(self.keys[0][0], item[self.keys[0][0]])
        found = {name: default if item.get(name) is None else item[name] for name, default in self.keys}
        for name, value in found.items():
            if value is None:
                raise ValueError(f"an element omits key field {name!r} (and there is no default value)")
        return item_step(found)


def _kind_of(schema: Mapping[str, Any]) -> Literal["map", "items", "set", "leaf"]:
    kind = schema.get("type")
    if kind == "array" or (not kind and "items" in schema):
        listed = schema.get("x-kubernetes-list-type")
        return "items" if listed == "map" else "set" if listed == "set" else "leaf"
    if schema.get("x-kubernetes-map-type") == "atomic":
        return "leaf"
    is_open = schema.get(_PRESERVE) or schema.get("additionalProperties") or schema.get("properties")
    return "map" if is_open and kind in (None, "", "object") else "leaf"


def every_field(obj: Mapping[str, Any], shape: Shape) -> FieldSet:
    """Give all fields of an object, the objects and lists in it included: what somebody owns who made all of it."""
    return _members_of(obj, shape, is_whole=True)


def set_fields(obj: Mapping[str, Any], shape: Shape) -> FieldSet:
    """Give the fields that an applied configuration sets: values, entries of maps, items of lists; no objects.

    Raises:
        ValueError: An item of a list lacks a key; the message says where.
    """
    return _members_of(obj, shape, is_whole=False)


def _members_of(value: Mapping[str, Any], shape: Shape, *, is_whole: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, inner in value.items():
        known = shape.member(name)
        if known is None:
            continue
        step, below, is_made = known
        if below.kind == "leaf":
            found[step] = LEAF
            continue
        is_own = is_made if is_whole else not shape.is_declared(name)
        node = _fields_of(inner, below, is_whole=is_whole, is_own=is_own)
        if node is not None:
            found[step] = node
    return found


def _fields_of(value: Any, shape: Shape, *, is_whole: bool, is_own: bool) -> FieldSet | None:
    """Give the node of a value; None: it is nothing. ``is_own``: the value itself is a member."""
    if shape.kind == "map" and isinstance(value, dict):
        if not value:
            return LEAF
        found = _members_of(value, shape, is_whole=is_whole)
    elif shape.kind in ("items", "set") and isinstance(value, list):
        steps = [shape.step_to(item) for item in value]
        if shape.kind == "set":
            found = dict.fromkeys(steps, LEAF)
        else:
            below = shape.item
            items = [_fields_of(item, below, is_whole=is_whole, is_own=True) or LEAF for item in value]
            found = dict(zip(steps, items, strict=True))
    else:
        return LEAF
    if is_own and found:
        found[SELF] = LEAF
    return found or (LEAF if is_own and is_whole else None)


def compare(old: Mapping[str, Any], new: Mapping[str, Any], shape: Shape) -> tuple[FieldSet, FieldSet]:
    """Give (fields that are gone, fields that are new or have another value). The order of lists by keys is none."""
    gone, changed = _compare_maps(old, new, shape)
    return gone, changed


def _compare_maps(old: Mapping[str, Any], new: Mapping[str, Any], shape: Shape) -> tuple[FieldSet, FieldSet]:
    gone: dict[str, Any] = {}
    changed: dict[str, Any] = {}
    for name, value in new.items():
        before = old.get(name)
        if before == value and (value is not None or name in old):
            continue
        known = shape.member(name)
        if known is None:
            continue
        step, below, is_made = known
        _put(gone, changed, step, _compare_values(before, value, below, is_made=is_made, was=name in old))
    for name in old.keys() - new.keys():
        known = shape.member(name)
        if known is not None:
            gone[known[0]] = _whole(old[name], known[1], is_own=known[2])
    return gone, changed


def _put(
    gone: dict[str, Any], changed: dict[str, Any], step: str, found: tuple[FieldSet | None, FieldSet | None]
) -> None:
    if found[0] is not None:
        gone[step] = found[0]
    if found[1] is not None:
        changed[step] = found[1]


def _compare_values(
    old: Any, new: Any, shape: Shape, *, is_made: bool, was: bool
) -> tuple[FieldSet | None, FieldSet | None]:
    """Compare two values that differ, the new one of which is there."""
    if not was:
        return None, _whole(new, shape, is_own=is_made)
    if shape.kind == "map" and isinstance(old, dict) and isinstance(new, dict):
        gone, changed = _compare_maps(old, new, shape)
        return gone or None, changed or None
    if shape.kind in ("items", "set") and isinstance(old, list) and isinstance(new, list):
        return _compare_lists(old, new, shape)
    if shape.kind != "leaf" and isinstance(old, dict | list) != isinstance(new, dict | list):
        return _whole(old, shape, is_own=True), _whole(new, shape, is_own=True)
    return None, LEAF


def _compare_lists(old: list[Any], new: list[Any], shape: Shape) -> tuple[FieldSet | None, FieldSet | None]:
    before, after = by_step(old, shape), by_step(new, shape)
    if before is None or after is None:  # items that cannot be told apart: the list is one value
        return None, LEAF
    gone: dict[str, Any] = {}
    changed: dict[str, Any] = {}
    for step, item in after.items():
        if step not in before:
            changed[step] = _whole(item, shape.item, is_own=True)
        elif before[step] != item:
            _put(gone, changed, step, _compare_values(before[step], item, shape.item, is_made=True, was=True))
    for step in before.keys() - after.keys():
        gone[step] = _whole(before[step], shape.item, is_own=True)
    return gone or None, changed or None


def by_step(items: Sequence[Any], shape: Shape) -> dict[str, Any] | None:
    """Give a list's items by the steps to them; None: some lack their keys, or have the same."""
    try:
        found = {shape.step_to(item): item for item in items}
    except ValueError:
        return None
    return found if len(found) == len(items) else None


def _whole(value: Any, shape: Shape, *, is_own: bool) -> FieldSet:
    try:
        return _fields_of(value, shape, is_whole=True, is_own=is_own) or LEAF
    except ValueError:
        return LEAF
