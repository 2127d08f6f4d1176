"""Field ownership on the path of writes: who a writer is, what ``managedFields`` an object gets, how clients see them.

What ownership means is in ``kernel.ownership`` and ``kernel.apply``. Objects are stored with short entries (see there);
``show`` spells them out where an object goes to a client over HTTP. Must not know HTTP or the store.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from beamhall.embedded.api.builtin.schemas import metadata_schema
from beamhall.embedded.api.resources import Resource, Rules
from beamhall.kernel.apply import KUBECTL, LAST_APPLIED, apply_configuration
from beamhall.kernel.clock import Clock, format_time
from beamhall.kernel.fieldsets import LEAF, FieldSet, field_step, union, value_step
from beamhall.kernel.fieldshapes import Shape
from beamhall.kernel.identity import User
from beamhall.kernel.objects import Object, ReadOnlyObject, annotations_of
from beamhall.kernel.ownership import Entry, Ledger, Writer, after_update, read_entries, spelled_out

_SERVERS = (
    "name", "namespace", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "uid",
    "generation", "managedFields", "resourceVersion",
)  # fmt: skip
_KEPT = 128
"""Objects whose entries are kept as they were shown: clients ask for the same few again and again."""
_HIDDEN = {"apiVersion": None, "kind": None, "metadata": dict.fromkeys(_SERVERS)}
_PRESENT = frozenset({"metadata", "spec", "status", "template", "strategy", "updateStrategy", "jobTemplate"})
"""Objects that built-in kinds always have, so that nobody makes them."""

_JOB_LABELS = ("controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name")


def _below(*path: str, names: Iterable[str]) -> FieldSet:
    fields: FieldSet = {field_step(name): LEAF for name in names}
    for step in reversed(path):
        fields = {field_step(step): fields}
    return fields


_FINALIZERS: FieldSet = {
    "f:metadata": {
        "f:finalizers": {
            value_step(name): LEAF
            for name in (
                "foregroundDeletion", "orphan", "kubernetes.io/pvc-protection", "kubernetes.io/pv-protection",
                "customresourcecleanup.apiextensions.k8s.io",
            )
        }
    }
}  # fmt: skip
_SERVERS_OWN: Mapping[str, FieldSet] = {
    "pods": union(
        _below("spec", names=("nodeName", "serviceAccountName", "serviceAccount", "priority", "preemptionPolicy")),
        _below("status", names=("qosClass",)),
    ),
    "services": _below("spec", names=("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")),
    "persistentvolumeclaims": _below("spec", names=("volumeName", "storageClassName")),
    "namespaces": union(
        _below("spec", names=("finalizers",)), _below("metadata", "labels", names=("kubernetes.io/metadata.name",))
    ),
    "jobs.batch": union(
        _below("spec", names=("selector",)), _below("spec", "template", "metadata", "labels", names=_JOB_LABELS)
    ),
}
"""What admission and the server fill in when an object is made, after it is noted whose its fields are."""


class Owners:
    """Keeps ``managedFields``.

    Args:
        clock: The time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ledgers: WeakKeyDictionary[Rules, Ledger] = WeakKeyDictionary()
        self._shown: dict[tuple[str, str, str], list[Entry]] = {}

    def writer(self, user: User, resource: Resource, manager: str, subresource: str, *, applies: bool) -> Writer:
        """Give how the entry of a writer names it; one that gives no manager is named by its user."""
        return Writer(
            manager or user.name.removeprefix("system:"),
            resource.kind.api_version,
            format_time(self._clock.now()),
            subresource,
            "Apply" if applies else "Update",
        )

    def begin(self, obj: Object, writer: Writer) -> None:
        """Give a new object's fields to who made it."""
        obj["metadata"]["managedFields"] = [writer.entry(None)]

    def carry(self, resource: Resource, pair: tuple[Object, ReadOnlyObject], given: Any, writer: Writer) -> None:
        """Bring the entries of a changed object in line.

        Args:
            resource: What it is.
            pair: The new object, with the old one's entries, and the old one.
            given: The entries that the client sent with it, if it did.
            writer: Who changed it.
        """
        new, old = pair
        before: Sequence[Entry] = old["metadata"].get("managedFields") or ()
        entries = self._given(resource, old, before, given)
        if new != old:
            entries = after_update((old, new), entries, writer, self._ledger(resource))
        _put(new, entries)

    def _given(self, resource: Resource, old: ReadOnlyObject, before: Sequence[Entry], given: Any) -> Sequence[Entry]:
        if given is None or given == before:
            return before
        read = read_entries(given)
        if read is None or read == spelled_out(before, old, self._ledger(resource)):
            return before
        return read

    def apply(
        self, resource: Resource, live: ReadOnlyObject, config: ReadOnlyObject, writer: Writer, *, force: bool
    ) -> Object:
        """Give an object with a configuration applied, and with its entries. ``live`` empty: it is made by this.

        Raises:
            ApiError: As ``kernel.apply.apply_configuration``.
        """
        obj, entries = apply_configuration(live, config, writer, self._ledger(resource), force=force)
        if writer.manager == KUBECTL and LAST_APPLIED in annotations_of(live):
            obj["metadata"] = {**obj["metadata"], "annotations": _with_last_applied(obj, config)}
        _put(obj, entries)
        return obj

    def show(self, resource: Resource, obj: Object) -> None:
        """Spell out, in place, who owns what of an object that goes to a client; it is only written from then on."""
        entries = obj["metadata"].get("managedFields")
        if entries and not all("fieldsV1" in entry for entry in entries):
            obj["metadata"]["managedFields"] = spelled_out(entries, obj, self._ledger(resource))

    def show_stored(self, resource: Resource, obj: Object) -> None:
        """Do as ``show``, quicker, for an object as it is stored: its resourceVersion says all of it."""
        metadata = obj["metadata"]
        state = (metadata["uid"], metadata["resourceVersion"], resource.kind.version)
        shown = self._shown.get(state)
        if shown is not None:
            metadata["managedFields"] = shown
        elif metadata.get("managedFields"):
            self.show(resource, obj)
            if len(self._shown) >= _KEPT:
                self._shown.clear()
            self._shown[state] = metadata["managedFields"]

    def _ledger(self, resource: Resource) -> Ledger:
        """Give how a kind's fields are owned, made once."""
        found = self._ledgers.get(resource.rules)
        if found is None:
            schema = resource.rules.schema()
            properties = {**(schema.get("properties") or {}), "metadata": metadata_schema()}
            present = frozenset({"metadata"}) if resource.is_custom else _PRESENT
            shape = Shape({**schema, "properties": properties}, _HIDDEN, present)
            servers = union(_FINALIZERS, {} if resource.is_custom else _SERVERS_OWN.get(resource.name, {}))
            has_status_apart = resource.has_status and not resource.status_at_create
            found = Ledger(shape, has_status_apart, servers, resource.rules.default)
            self._ledgers[resource.rules] = found
        return found


def _put(obj: Object, entries: Sequence[Entry]) -> None:
    if entries:
        obj["metadata"]["managedFields"] = list(entries)
    else:
        obj["metadata"].pop("managedFields", None)


def _with_last_applied(obj: ReadOnlyObject, config: ReadOnlyObject) -> dict[str, str]:
    """Give the annotations with what kubectl applied now, so that it can go back to applying from the client's side."""
    metadata = dict(config["metadata"])
    annotations = {key: value for key, value in annotations_of(config).items() if key != LAST_APPLIED}
    if annotations:
        metadata["annotations"] = annotations
    else:
        metadata.pop("annotations", None)
    text = _as_json({**config, "metadata": metadata}) + "\n"
    return {**annotations_of(obj), LAST_APPLIED: text}


def _as_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
