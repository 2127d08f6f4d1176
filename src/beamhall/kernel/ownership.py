"""Who owns which fields of an object: ``metadata.managedFields``, and how each write changes it.

An entry is one manager's, as on the wire. What is particular here: the entry of the first writer of an object, and that
of the first writer of its status, have no ``fieldsV1`` where they are stored. Such an entry owns *the rest*: all that
the object has (or its status), but for what other entries name. Nothing is lost by that as long as everybody else is
an updater, because updates take fields from each other; ``spelled_out`` writes it down before somebody applies, and
for clients that read. So a write costs next to nothing while only one manager writes, and entries stay small.

Pure. Source: KEP-555; ``k8s.io/apimachinery/pkg/util/managedfields``. Next: ``apply``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from beamhall.kernel.fieldsets import LEAF, FieldSet, cut, difference, read_fields, union
from beamhall.kernel.fieldshapes import Shape, compare, every_field
from beamhall.kernel.objects import Object, ReadOnlyObject

Entry = Mapping[str, Any]
"""One entry of ``metadata.managedFields``. Never change one."""

MAX_UPDATERS = 10
"""Entries of updaters that an object may have; older ones become one."""

BEFORE_FIRST_APPLY = "before-first-apply"
"""Owns what an object has that nobody was known to own when it was first applied."""

_ANCIENT = "ancient-changes"
_STATUS = "f:status"
_OPERATIONS = ("Apply", "Update")


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes, as an entry names it.

    Attributes:
        manager: The field manager.
        api_version: The version of the kind that is written.
        time: When, as on the wire.
        subresource: Through which subresource; empty: the object itself.
        operation: How.
    """

    manager: str
    api_version: str
    time: str
    subresource: str = ""
    operation: Literal["Apply", "Update"] = "Update"

    def owns(self, entry: Entry) -> bool:
        """Tell whether an entry is this writer's. An applier's is, whatever version it applied last."""
        return (
            entry.get("manager") == self.manager
            and entry.get("operation") == self.operation
            and (entry.get("subresource") or "") == self.subresource
            and (self.operation == "Apply" or entry.get("apiVersion") == self.api_version)
        )

    def entry(self, fields: FieldSet | None) -> Entry:
        """Make the entry that gives this writer a set of fields; None: the rest."""
        entry: dict[str, Any] = {
            "manager": self.manager,
            "operation": self.operation,
            "apiVersion": self.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
        }
        if fields is not None:
            entry["fieldsV1"] = fields
        if self.subresource:
            entry["subresource"] = self.subresource
        return entry


@dataclass(frozen=True, slots=True)
class Ledger:
    """How the fields of a kind are owned.

    Attributes:
        shape: How its objects fall into fields.
        has_status_apart: Whether only the ``status`` subresource writes the status.
        servers: What the server itself fills in, so that it does not count among the rest.
        complete: Fills in the kind's defaults, in place: what they add to an atomic value is no change of it.
    """

    shape: Shape
    has_status_apart: bool = False
    servers: FieldSet = field(default_factory=dict)
    complete: Callable[[Object], None] | None = None


def owned(entry: Entry) -> FieldSet:
    """Give the fields that an entry names."""
    fields: FieldSet = entry.get("fieldsV1") or LEAF
    return fields


def after_update(
    pair: tuple[ReadOnlyObject, ReadOnlyObject], entries: Sequence[Entry], writer: Writer, ledger: Ledger
) -> Sequence[Entry]:
    """Give the entries after an update: the writer owns what it changed or added, and nobody else does any longer.

    Args:
        pair: The object before and after; they differ.
        entries: Whose fields were whose before. Where there are none, nothing is known, and stays so until an apply.
        writer: Who updated it.
        ledger: The kind's.
    """
    if not entries:
        return entries
    mine = next((entry for entry in entries if writer.owns(entry)), None)
    if mine is None and _begins_status(entries, writer, ledger):
        mine = writer.entry(None)
    has_rest = mine is not None and "fieldsV1" not in mine
    others = [entry for entry in entries if not writer.owns(entry)]
    if has_rest and not any(_may_lose(entry, writer, ledger) for entry in others):
        return [*others, writer.entry(None)]
    gone, changed = compare(*pair, ledger.shape)
    if gone or changed:
        others = without(others, union(gone, changed))
    if has_rest:
        return [*others, writer.entry(None)]
    fields = union(difference(owned(mine), gone) if mine else LEAF, changed)
    if not fields:
        return others
    left = [*others, writer.entry(fields) if changed or mine is None else {**mine, "fieldsV1": fields}]
    return left if len(left) <= MAX_UPDATERS else _capped(spelled_out(left, pair[1], ledger))


def without(entries: Iterable[Entry], fields: FieldSet) -> list[Entry]:
    """Take fields from the entries that name them; who is left with none goes."""
    left: list[Entry] = []
    for entry in entries:
        if "fieldsV1" not in entry:
            left.append(entry)
        elif kept := difference(entry["fieldsV1"], fields):
            left.append(entry if kept == entry["fieldsV1"] else {**entry, "fieldsV1": kept})
    return left


def _begins_status(entries: Sequence[Entry], writer: Writer, ledger: Ledger) -> bool:
    """Tell whether a writer is the first of the status, so that the rest of it can be its own."""
    return (
        writer.subresource == "status"
        and ledger.has_status_apart
        and not any(entry.get("subresource") == "status" or _STATUS in owned(entry) for entry in entries)
    )


def _may_lose(entry: Entry, writer: Writer, ledger: Ledger) -> bool:
    """Tell whether an update could take fields from an entry: one of the status takes no others, and the reverse."""
    if "fieldsV1" not in entry:
        return False
    if not ledger.has_status_apart:
        return True
    fields = entry["fieldsV1"]
    return _STATUS in fields if writer.subresource == "status" else len(fields) > 1 or _STATUS not in fields


def spelled_out(entries: Sequence[Entry], obj: ReadOnlyObject, ledger: Ledger) -> list[Entry]:
    """Give the entries in the order of the wire, with ``fieldsV1`` in each; who owns nothing is left out."""
    if all("fieldsV1" in entry for entry in entries):
        return in_order(entries)
    rest = cut(every_field(obj, ledger.shape), ledger.servers)
    for entry in entries:
        if "fieldsV1" in entry:
            rest = difference(rest, entry["fieldsV1"])
    status = {_STATUS: rest[_STATUS]} if _STATUS in rest and ledger.has_status_apart else {}
    main = {step: below for step, below in rest.items() if step not in status}
    found = []
    for entry in entries:
        if "fieldsV1" in entry:
            found.append(entry)
        elif fields := status if entry.get("subresource") == "status" and ledger.has_status_apart else main:
            found.append({**entry, "fieldsV1": fields})
    return in_order(found)


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """Give the entries in the order of the wire: appliers first, the oldest first."""
    return sorted(
        entries,
        key=lambda e: (
            e.get("operation") or "",
            e.get("time") or "",
            e.get("manager") or "",
            e.get("apiVersion") or "",
            e.get("subresource") or "",
        ),
    )


def _capped(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Put the oldest updaters of a version together until there are few enough."""
    updaters = in_order(entry for entry in entries if entry["operation"] == "Update")
    left = list(entries)
    first: dict[str, Entry] = {}
    for entry in updaters:
        if sum(one["operation"] == "Update" for one in left) <= MAX_UPDATERS:
            break
        version = str(entry.get("apiVersion"))
        if version not in first:
            first[version] = entry
            continue
        bucket = first[version]
        merged = Writer(_ANCIENT, version, str(entry.get("time") or "")).entry(union(owned(bucket), owned(entry)))
        left = [one for one in left if one is not bucket and one is not entry]
        left.append(merged)
        first[version] = merged
    return left


def read_entries(value: Any) -> Sequence[Entry] | None:
    """Read ``managedFields`` that a client sent. Empty: it wants them forgotten. None: it says nothing that counts.

    As in Kubernetes, one empty entry (``[{}]``) is the wish to forget; an empty list is not, since clients that know
    nothing of the field send that.
    """
    if not isinstance(value, list) or not value:
        return None
    if value == [{}]:
        return ()
    found = []
    for entry in value:
        if not _is_entry(entry):
            return None
        kept = {name: entry[name] for name in _NAMES if entry.get(name)}
        if entry.get("fieldsV1") is not None:
            try:
                kept["fieldsV1"] = read_fields(entry["fieldsV1"])
            except ValueError:
                return None
        elif entry["operation"] == "Apply":
            return None
        found.append(kept)
    return found


_NAMES = ("manager", "operation", "apiVersion", "time", "fieldsType", "subresource")


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and entry.get("operation") in _OPERATIONS
        and entry.get("fieldsType", "FieldsV1") == "FieldsV1"
        and isinstance(entry.get("apiVersion"), str)
        and all(isinstance(entry.get(name, ""), str) for name in ("manager", "time", "subresource"))
    )
