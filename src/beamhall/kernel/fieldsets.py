"""Sets of fields of an object, in the form that the wire carries (``FieldsV1``), and what can be done with them.

A set is a tree of mappings. A step down is ``f:NAME`` (a field), ``k:{"name":"a"}`` (the item of a list with those
keys), ``v:"x"`` (a member of a list that is a set) or ``i:0``. A node without steps is a member of the set; one with
steps is a member only if it has ``"."`` too. The root is no member: ``{}`` is the empty set. Sets are shared: no
function changes one. Which fields a value has is ``fieldshapes``'s business, who owns them ``ownership``'s.

Source: ``meta/v1`` FieldsV1; structured-merge-diff, ``fieldpath``.
"""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

FieldSet = Mapping[str, Any]
"""A set of fields. Never change one."""

Path = tuple[str, ...]
"""The steps from the root to one field."""

SELF = "."
LEAF: FieldSet = {}
_DEPTH_LIMIT = 100


def union(one: FieldSet, other: FieldSet) -> FieldSet:
    """Give the fields that are in either set."""
    if not one or not other:
        return one or other
    return _union(one, other)


def _union(one: FieldSet, other: FieldSet) -> FieldSet:
    if one is other:
        return one
    merged: dict[str, Any] = dict(one)
    if not one or not other:
        merged[SELF] = LEAF
    for step, below in other.items():
        mine = merged.get(step)
        merged[step] = below if mine is None else _union(mine, below) if step != SELF else LEAF
    return LEAF if len(merged) == 1 and SELF in merged else merged


def difference(one: FieldSet, other: FieldSet) -> FieldSet:
    """Give the fields of one set that are not in the other; what is below or above a field is another field."""
    if not one or not other:
        return one
    return _difference(one, other) or LEAF


def _difference(one: FieldSet, other: FieldSet) -> FieldSet | None:
    if not one:
        return None if is_member(other) else one
    left: dict[str, Any] = {}
    for step, below in one.items():
        if step == SELF:
            if not is_member(other):
                left[SELF] = LEAF
            continue
        taken = other.get(step)
        rest = below if taken is None else _difference(below, taken)
        if rest is not None:
            left[step] = rest
    return _node(left)


def cut(fields: FieldSet, branches: FieldSet) -> FieldSet:
    """Give the fields of a set that are neither in the other nor below what is in it, nor have all below them there."""
    return _cut(fields, branches) or LEAF


def _cut(fields: FieldSet, branches: FieldSet) -> FieldSet | None:
    left: dict[str, Any] = {}
    for step, below in fields.items():
        branch = branches.get(step)
        if branch is None or step == SELF or (branch and not below):
            left[step] = below
        elif branch and (rest := _cut(below, branch)):
            left[step] = rest
    return _node(left)


def intersection(one: FieldSet, other: FieldSet) -> FieldSet:
    """Give the fields that are in both sets."""
    if not one or not other:
        return LEAF
    return _intersection(one, other) or LEAF


def _intersection(one: FieldSet, other: FieldSet) -> FieldSet | None:
    both: dict[str, Any] = {}
    if is_member(one) and is_member(other):
        both[SELF] = LEAF
    for step, below in one.items():
        if step != SELF and step in other and (inner := _intersection(below, other[step])) is not None:
            both[step] = inner
    return _node(both)


def _node(parts: dict[str, Any]) -> FieldSet | None:
    """Give a node of its parts; None: it is in no set."""
    if not parts:
        return None
    return LEAF if len(parts) == 1 and SELF in parts else parts


def is_member(node: FieldSet) -> bool:
    """Tell whether a node below the root is a member, beside what may be below it."""
    return not node or SELF in node


def members(fields: FieldSet, above: Path = ()) -> Iterator[Path]:
    """Give every member by its path, in the order of the tree."""
    for step, below in fields.items():
        if step == SELF:
            continue
        here = (*above, step)
        if is_member(below):
            yield here
        yield from members(below, here)


def field_step(name: str) -> str:
    """Give the step to a field of an object or to an entry of a map."""
    return f"f:{name}"


def item_step(keys: Mapping[str, Any]) -> str:
    """Give the step to the item of a list that has these keys."""
    return f"k:{_canonical(keys)}"


@lru_cache(maxsize=4096)
def text_item_step(key: str, value: str) -> str:
    """Give the step to the item of a list whose only key has this text: what most lists have."""
    return item_step({key: value})


def value_step(value: Any) -> str:
    """Give the step to a member of a list that is a set."""
    return f"v:{_canonical(value)}"


def shown(path: Path) -> str:
    """Write a path as messages do: ``.spec.containers[name="main"].image``."""
    return "".join(_shown_step(step) for step in path)


def _shown_step(step: str) -> str:
    kind, text = step[:2], step[2:]
    if kind == "f:":
        return f".{text}"
    if kind == "k:":
        return f"[{','.join(f'{key}={_canonical(value)}' for key, value in json.loads(text).items())}]"
    return f"[={text}]" if kind == "v:" else f"[{text}]"


def read_fields(value: Any) -> FieldSet:
    """Read a set that a client sent, with its steps in the one form that this module writes.

    Raises:
        ValueError: It is no set of fields.
    """
    return _read(value, 0)


def _read(value: Any, depth: int) -> FieldSet:
    if not isinstance(value, Mapping) or depth > _DEPTH_LIMIT:
        raise ValueError("a set of fields is an object of objects")
    found = {_read_step(step): _read(below, depth + 1) for step, below in value.items()}
    return LEAF if depth and len(found) == 1 and SELF in found else found


def _read_step(step: str) -> str:
    kind, text = step[:2], step[2:]
    if step == SELF or kind == "f:":
        return step
    if kind in ("k:", "v:"):
        parsed = json.loads(text)  # a JSONDecodeError is a ValueError
        if kind == "k:" and not isinstance(parsed, dict):
            raise ValueError(f"the keys of an item are an object: {step}")
        return f"{kind}{_canonical(parsed)}"
    if kind == "i:" and text.isdecimal():
        return step
    raise ValueError(f"no step to a field: {step}")


def _canonical(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
