"""Server-side apply: merge a configuration into an object, drop what its manager no longer sets, find conflicts.

    merge -> prune (what the manager owned, sets no longer, and nobody else owns) -> compare with what was there:
    what changes and somebody else owns is a conflict, or, by force, is the applier's from now on

Pure. Source: KEP-555; structured-merge-diff, ``merge``; ``managedfields/internal/lastapplied*`` of apimachinery for the
way from client-side apply.
"""

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from beamhall.kernel.errors import BadRequest, Cause, Conflict
from beamhall.kernel.fieldsets import LEAF, FieldSet, difference, intersection, members, shown, union
from beamhall.kernel.fieldshapes import Shape, by_step, compare, every_field, set_fields
from beamhall.kernel.objects import Object, ReadOnlyObject, annotations_of
from beamhall.kernel.ownership import BEFORE_FIRST_APPLY, Entry, Ledger, Writer, owned, spelled_out, without

KUBECTL = "kubectl"
"""The manager as which kubectl applies; it inherits what kubectl applied from the client's side before."""

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""The annotation in which kubectl keeps what it applied from the client's side."""

_Found = list[tuple[Entry, FieldSet]]


def apply_configuration(
    live: ReadOnlyObject, config: ReadOnlyObject, writer: Writer, ledger: Ledger, *, force: bool = False
) -> tuple[Object, Sequence[Entry]]:
    """Give the object with a configuration applied, and who owns its fields then.

    Args:
        live: The object with its ``managedFields``; empty: it is made by this.
        config: What the manager wants: only the fields that it cares for.
        writer: Who applies.
        ledger: The kind's.
        force: Take fields that others own and that have other values.

    Raises:
        BadRequest: An item of a list that is merged by keys lacks one of them.
        Conflict: Others own fields that this would change; ``causes`` names each.
    """
    entries = _entries_of(live, writer, ledger)
    mine = next((entry for entry in entries if writer.owns(entry)), None)
    others = [entry for entry in entries if not writer.owns(entry)]
    try:
        wanted = set_fields(config, ledger.shape)
    except ValueError as error:
        raise BadRequest(f"failed to create typed patch object: {error}") from error
    merged: Any = _merged(live, config, ledger.shape)
    if mine is not None:
        everybody = wanted
        for entry in others:
            everybody = union(everybody, owned(entry))
        merged = _pruned(merged, owned(mine), everybody, ledger.shape)
    gone, changed = compare(live, merged, ledger.shape)
    found = _hits(others, changed)
    if found and ledger.complete is not None:
        # The live object has its defaults, also inside of values that are replaced whole; a configuration has not.
        gone, changed = compare(live, _completed(merged, ledger.complete), ledger.shape)
        found = _hits(others, changed)
    if found and not force:
        found = _not_inherited(live, found, writer, ledger)
        if found:
            raise _conflict(found)
    others = without(others, union(gone, changed))
    if not wanted:
        return merged, others
    if mine is not None and owned(mine) == wanted and merged == live and mine["apiVersion"] == writer.api_version:
        return merged, [*others, mine]
    return merged, [*others, writer.entry(wanted)]


def _hits(entries: Sequence[Entry], changed: FieldSet) -> _Found:
    """Give who owns what of the changed fields."""
    return [(entry, hit) for entry in entries if (hit := intersection(owned(entry), changed))]


def _completed(merged: Object, complete: Callable[[Object], None]) -> Object:
    copy: Object = json.loads(json.dumps(merged))
    complete(copy)
    return copy


def _entries_of(live: ReadOnlyObject, writer: Writer, ledger: Ledger) -> Sequence[Entry]:
    """Give the entries of an object with their fields, but for that of the status where the status stays as it is."""
    if not live:
        return ()
    entries: Sequence[Entry] = live["metadata"].get("managedFields") or ()
    if not entries:
        before = Writer(BEFORE_FIRST_APPLY, writer.api_version, writer.time)
        return (before.entry(every_field(live, ledger.shape)),)
    aside = [entry for entry in entries if "fieldsV1" not in entry and entry.get("subresource") == "status"]
    if writer.subresource == "status" or not ledger.has_status_apart or not aside:
        return spelled_out(entries, live, ledger)
    said = [entry for entry in spelled_out(entries, live, ledger) if not _is_same(entry, aside[0])]
    return [*said, *aside]


def _is_same(entry: Entry, other: Entry) -> bool:
    return all(entry.get(name) == other.get(name) for name in ("manager", "operation", "apiVersion", "subresource"))


def _merged(old: Any, new: Any, shape: Shape) -> Any:
    if shape.kind == "map" and isinstance(old, Mapping) and isinstance(new, Mapping):
        merged = dict(old)
        for name, value in new.items():
            known = shape.member(name)
            merged[name] = _merged(old[name], value, known[1]) if known and name in old else value
        return merged
    if shape.kind in ("items", "set") and isinstance(old, list) and isinstance(new, list):
        before, after = by_step(old, shape), by_step(new, shape)
        if before is not None and after is not None:
            return _merged_items(before, after, shape)
    return new


def _merged_items(before: Mapping[str, Any], after: Mapping[str, Any], shape: Shape) -> list[Any]:
    """Merge lists: the configuration's items in its order; the others stay before what of it followed them."""
    result: list[Any] = []
    waiting = deque(before)
    done = set()

    def pass_others() -> None:
        while waiting and (waiting[0] not in after or waiting[0] in done):
            if (other := waiting.popleft()) not in done:
                result.append(before[other])

    for step, item in after.items():
        pass_others()
        result.append(_merged(before[step], item, shape.item) if step in before and shape.kind == "items" else item)
        done.add(step)
    pass_others()
    return result


def _pruned(value: Any, last: FieldSet, everybody: FieldSet, shape: Shape) -> Any:
    """Give a value without what was in a manager's last set and is below nothing that anybody owns now."""
    if shape.kind == "map" and isinstance(value, Mapping):
        kept = {}
        for name, inner in value.items():
            known = shape.member(name)
            if known is None or known[0] not in last:
                kept[name] = inner
            elif known[0] in everybody or known[1].hides:
                kept[name] = _pruned(inner, last[known[0]], everybody.get(known[0], LEAF), known[1])
        return kept
    if shape.kind in ("items", "set") and isinstance(value, list) and (items := by_step(value, shape)) is not None:
        return [
            _keyed(item, _pruned(item, last.get(step, LEAF), everybody.get(step, LEAF), shape.item), shape)
            for step, item in items.items()
            if step not in last or step in everybody
        ]
    return value


def _keyed(item: Any, pruned: Any, shape: Shape) -> Any:
    """Give a pruned item with its keys: as long as somebody owns something of it, it must be told apart."""
    if shape.kind != "items":
        return pruned
    return {name: item[name] for name, default in shape.keys if item.get(name, default) != default} | pruned


def _not_inherited(live: ReadOnlyObject, found: _Found, writer: Writer, ledger: Ledger) -> _Found:
    """Give the conflicts that are no conflicts of kubectl with itself: fields that it applied from the client's side.

    What the annotation holds counts only where the object still has it so.
    """
    last = _last_applied(live) if writer.manager == KUBECTL else None
    if last is None:
        return found
    try:
        allowed = difference(set_fields(last, ledger.shape), union(*compare(last, live, ledger.shape)))
    except ValueError:
        return found
    return [(entry, rest) for entry, hit in found if (rest := difference(hit, allowed))]


def _last_applied(obj: ReadOnlyObject) -> ReadOnlyObject | None:
    try:
        found = json.loads(annotations_of(obj).get(LAST_APPLIED) or "null")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _conflict(found: _Found) -> Conflict:
    paths = [(_named(entry), shown(path)) for entry, hit in found for path in members(hit)]
    causes = [Cause("FieldManagerConflict", f"conflict with {name}", path) for name, path in paths]
    if len(paths) == 1:
        return Conflict(f"Apply failed with 1 conflict: conflict with {paths[0][0]}: {paths[0][1]}", causes=causes)
    parts = []
    for name in sorted({name for name, _ in paths}):
        lines = "\n".join(f"- {path}" for other, path in paths if other == name)
        parts.append(f"conflicts with {name}:\n{lines}")
    return Conflict(f"Apply failed with {len(paths)} conflicts: " + "\n".join(parts), causes=causes)


def _named(entry: Entry) -> str:
    name = json.dumps(entry.get("manager") or "", ensure_ascii=False)
    if entry.get("subresource"):
        name += f" with subresource {json.dumps(entry['subresource'])}"
    return name if entry.get("operation") == "Apply" else f"{name} using {entry.get('apiVersion')}"
