"""Strategic merge patch: a merge patch that knows which lists are merged by a key, and has directives.

Directives: ``$patch: merge | replace | delete`` in a mapping or an element of a list, ``$retainKeys`` in a mapping, and
beside a list ``field``: ``$setElementOrder/field`` and ``$deleteFromPrimitiveList/field``. Use it by ``patches``.

Source: Kubernetes community repository, "Strategic Merge Patch" (contributors/devel/sig-api-machinery).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from beamhall.kernel.errors import BadRequest

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"

Schema = Mapping[str, Any]


def merge_strategically(target: Mapping[str, Any], patch: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """Give the mapping with the patch merged in. Where the schema says nothing, lists are replaced.

    Raises:
        BadRequest: A directive is malformed, or an element of a merged list lacks its key.
    """
    directive = patch.get(_PATCH, "merge")
    plain = {key: value for key, value in patch.items() if not key.startswith("$") or not _is_directive(key)}
    if directive == "replace":
        return merge_strategically({}, plain, schema)
    if directive == "delete":
        return {}
    if directive != "merge":
        raise BadRequest(f"{_PATCH} is {directive!r}; it can be merge, replace or delete")
    merged = _retained(target, patch, plain)
    for key, values in _directives(patch, _DELETE):
        if isinstance(merged.get(key), list):
            merged[key] = [item for item in merged[key] if item not in values]
    orders = dict(_directives(patch, _ORDER))
    for key, value in plain.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value, _field(schema, key), orders.get(key), key)
    for key, order in orders.items():
        if key not in plain and isinstance(merged.get(key), list):
            merged[key] = _ordered(merged[key], [], order, merged[key], _merge_key(_field(schema, key)))
    return merged


def _merged(old: Any, new: Any, schema: Schema, order: Sequence[Any] | None, name: str) -> Any:
    strategy = str(schema.get("x-kubernetes-patch-strategy", ""))
    if isinstance(new, Mapping):
        if strategy == "replace":
            return {key: value for key, value in new.items() if not _is_directive(key)}
        return merge_strategically(old if isinstance(old, Mapping) else {}, new, schema)
    if not isinstance(new, list):
        return new
    if "merge" not in strategy:
        return [_without_directives(item) for item in new if not _is_replace_marker(item)]
    before = old if isinstance(old, list) else []
    return _merged_list(before, new, schema, order, name)


def _merged_list(old: list[Any], new: list[Any], schema: Schema, order: Sequence[Any] | None, name: str) -> list[Any]:
    key = _merge_key(schema)
    if not key:
        merged = [*old, *(item for item in new if item not in old)]
        return _ordered(_unique(merged), new, order, old, "")
    items = schema.get("items") or {}
    for item in (*old, *new):
        if not isinstance(item, Mapping):
            raise BadRequest(f"{name!r} is a list of objects; the patch or the object holds something else in it")
    if any(item.get(_PATCH) == "replace" for item in new):
        kept = [item for item in new if item.get(_PATCH) != "replace"]
        return [merge_strategically({}, item, items) for item in kept]
    merged = list(old)
    for item in new:
        if key not in item:
            raise BadRequest(f"an element of {name!r} in the patch lacks {key!r}, by which that list is merged")
        places = [place for place, other in enumerate(merged) if other.get(key) == item[key]]
        if item.get(_PATCH) == "delete":
            merged = [other for other in merged if other.get(key) != item[key]]
        elif places:
            merged[places[0]] = merge_strategically(merged[places[0]], item, items)
        else:
            merged.append(merge_strategically({}, item, items))
    given = [item for item in new if item.get(_PATCH) != "delete"]
    return _ordered(merged, given, order, old, key)


def _ordered(
    merged: list[Any], given: Sequence[Any], order: Sequence[Any] | None, before: Sequence[Any], key: str
) -> list[Any]:
    """Put a merged list into order.

    What the patch names stands in the patch's order, the rest in the order that it had; between the two the old order
    decides, and what is new stands as late as that allows.
    """
    wanted = [_identity(item, key) for item in (order if order is not None else given)]
    was = {_frozen(_identity(item, key)): place for place, item in reversed(list(enumerate(before)))}
    ranks = {_frozen(identity): place for place, identity in reversed(list(enumerate(wanted)))}

    def old_place(item: Any) -> int | None:
        return was.get(_frozen(_identity(item, key)))

    named = [item for item in merged if _frozen(_identity(item, key)) in ranks]
    named.sort(key=lambda item: ranks[_frozen(_identity(item, key))])
    rest = [item for item in merged if _frozen(_identity(item, key)) not in ranks]
    rest.sort(key=lambda item: place if (place := old_place(item)) is not None else len(before))
    result = []
    while named and rest:
        limit = old_place(rest[0])
        places = [place for item in named if (place := old_place(item)) is not None]
        takes_named = limit is None or any(place < limit for place in places)
        result.append((named if takes_named else rest).pop(0))
    return [*result, *named, *rest]


def _identity(item: Any, key: str) -> Any:
    return item.get(key) if key and isinstance(item, Mapping) else item


def _frozen(value: Any) -> Any:
    """Make something that can be looked up, and that tells 1 from True and from "1"."""
    return type(value).__name__, value if isinstance(value, str | int | float | bool | None) else repr(value)


def _retained(target: Mapping[str, Any], patch: Mapping[str, Any], plain: Mapping[str, Any]) -> dict[str, Any]:
    keys = patch.get(_RETAIN)
    if keys is None:
        return dict(target)
    if not isinstance(keys, list):
        raise BadRequest(f"{_RETAIN} must be a list of field names")
    extra = sorted(key for key, value in plain.items() if value is not None and key not in keys)
    if extra:
        raise BadRequest(f"{_RETAIN} must name every field that is set beside it; it lacks {', '.join(extra)}")
    return {key: value for key, value in target.items() if key in keys}


def _directives(patch: Mapping[str, Any], prefix: str) -> list[tuple[str, list[Any]]]:
    found = []
    for key, value in patch.items():
        if key.startswith(prefix):
            if not isinstance(value, list):
                raise BadRequest(f"{key} must be a list")
            found.append((key.removeprefix(prefix), value))
    return found


def _field(schema: Schema, key: str) -> Schema:
    properties = schema.get("properties") or {}
    if key in properties:
        found: Schema = properties[key]
        return found
    others = schema.get("additionalProperties")
    return others if isinstance(others, Mapping) else {}


def _merge_key(schema: Schema) -> str:
    return str(schema.get("x-kubernetes-patch-merge-key", ""))


def _is_directive(key: str) -> bool:
    return key in (_PATCH, _RETAIN) or key.startswith((_ORDER, _DELETE))


def _is_replace_marker(item: Any) -> bool:
    return isinstance(item, Mapping) and dict(item) == {_PATCH: "replace"}


def _without_directives(item: Any) -> Any:
    return {k: v for k, v in item.items() if not _is_directive(k)} if isinstance(item, Mapping) else item


def _unique(items: Sequence[Any]) -> list[Any]:
    seen: list[Any] = []
    for item in items:
        if item not in seen:
            seen.append(item)
    return seen
