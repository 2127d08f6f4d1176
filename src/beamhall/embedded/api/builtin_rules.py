"""The built-in kinds as resources: ``builtin``'s knowledge behind the ``Rules`` of this package."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from beamhall.embedded.api import crds
from beamhall.embedded.api.builtin.defaults import apply_defaults, prepare_create, prepare_update
from beamhall.embedded.api.builtin.fields import check_fields
from beamhall.embedded.api.builtin.kinds import BUILT_INS, BuiltIn
from beamhall.embedded.api.builtin.schemas import schema_of
from beamhall.embedded.api.builtin.tables import table_cells, table_columns
from beamhall.embedded.api.builtin.validation import validate_create, validate_status, validate_update
from beamhall.embedded.api.resources import Check, Resource, ScalePaths
from beamhall.kernel import kinds
from beamhall.kernel.errors import Cause
from beamhall.kernel.kinds import Kind
from beamhall.kernel.objects import Object, ReadOnlyObject

AllocateIp = Callable[[], str]
"""Gives an address for a Service that nobody else has."""

_UPDATE = ("get", "patch", "update")
_SUBRESOURCES: Mapping[str, Mapping[str, Sequence[str]]] = {
    "pods": {
        "attach": ("create", "get"),
        "binding": ("create",),
        "eviction": ("create",),
        "exec": ("create", "get"),
        "log": ("get",),
        "portforward": ("create", "get"),
    },
    "namespaces": {"finalize": ("update",)},
    "serviceaccounts": {"token": ("create",)},
}
_SCALE = ScalePaths(".spec.replicas", ".status.replicas", ".spec.selector")
_SCALED = (kinds.DEPLOYMENT, kinds.REPLICA_SET, kinds.STATEFUL_SET)
_SELECTABLE: Mapping[str, frozenset[str]] = {
    "pods": frozenset(
        {
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        }
    ),
    "nodes": frozenset({"spec.unschedulable"}),
    "namespaces": frozenset({"status.phase"}),
    "secrets": frozenset({"type"}),
    "services": frozenset({"spec.clusterIP", "spec.type"}),
    "jobs.batch": frozenset({"status.successful"}),
    "replicasets.apps": frozenset({"status.replicas"}),
    "events": frozenset(
        {
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        }
    ),
}
_FIELD_PLACES: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "pods": {"spec.hostNetwork": ("spec.hostNetwork", "false")},
    "nodes": {"spec.unschedulable": ("spec.unschedulable", "false")},
    "jobs.batch": {"status.successful": ("status.succeeded", "0")},
    "events": {"source": ("source.component", "")},
}
_RETURNS_DELETED = frozenset({"pods", "services", "serviceaccounts", "persistentvolumeclaims", "persistentvolumes"})


class BuiltInRules:
    """The rules of one built-in kind.

    Args:
        kind: The kind.
        allocate_ip: Where Services get their addresses.
    """

    def __init__(self, kind: Kind, allocate_ip: AllocateIp) -> None:
        self._kind = kind
        self._allocate_ip = allocate_ip

    def check(self, obj: Object) -> Check:
        """Find unknown fields and wrong types; null members are dropped: null means absent."""
        _drop_nulls(obj)
        found = check_fields(self._kind, obj)
        for path in found.unknown:
            _drop(obj, path)
        return Check(found.unknown, found.causes)

    def default(self, obj: Object) -> None:
        """Fill in defaults."""
        apply_defaults(self._kind, obj)

    def prepare_create(self, obj: Object) -> None:
        """Fill in what the server decides."""
        prepare_create(self._kind, obj, self._allocate_ip)

    def prepare_update(self, obj: Object, old: ReadOnlyObject) -> None:
        """Carry over what a writer may leave out."""
        prepare_update(self._kind, obj, old)

    def validate_create(self, obj: ReadOnlyObject) -> Sequence[Cause]:
        """Find what is wrong with a new object."""
        return validate_create(self._kind, obj)

    def validate_update(self, obj: ReadOnlyObject, old: ReadOnlyObject) -> Sequence[Cause]:
        """Find what is wrong with a changed object."""
        return validate_update(self._kind, obj, old)

    def validate_status(self, obj: ReadOnlyObject, old: ReadOnlyObject) -> Sequence[Cause]:
        """Find what is wrong with a changed status."""
        return validate_status(self._kind, obj, old)

    def schema(self) -> Mapping[str, Any]:
        """Give the structural schema."""
        return schema_of(self._kind)

    def columns(self) -> Sequence[Mapping[str, Any]]:
        """Give the column definitions."""
        return table_columns(self._kind)

    def cells(self, obj: ReadOnlyObject, now: datetime) -> list[Any]:
        """Give an object's row."""
        return table_cells(self._kind, obj, now)


class DefinitionRules(BuiltInRules):
    """The rules of CustomResourceDefinition: those of a built-in kind, and schemas that are looked at."""

    def validate_create(self, obj: ReadOnlyObject) -> Sequence[Cause]:
        """Find what is wrong with a definition, its schemas included."""
        return [*super().validate_create(obj), *crds.problems_of(obj)]

    def validate_update(self, obj: ReadOnlyObject, old: ReadOnlyObject) -> Sequence[Cause]:
        """Find what is wrong with a changed definition."""
        # A start writes its definitions again: what is stored was looked at, and its rules in CEL cost a start 25 MB.
        is_new = obj.get("spec") != old.get("spec")
        return [*super().validate_update(obj, old), *(crds.problems_of(obj) if is_new else ())]


def built_in_resources(allocate_ip: AllocateIp) -> Sequence[Resource]:
    """Give every built-in kind as it is served."""
    return tuple(_resource(entry, allocate_ip) for entry in BUILT_INS.values())


def _resource(entry: BuiltIn, allocate_ip: AllocateIp) -> Resource:
    kind = entry.kind
    rules = DefinitionRules if kind == kinds.CUSTOM_RESOURCE_DEFINITION else BuiltInRules
    subresources = dict(_SUBRESOURCES.get(kind.resource, {}))
    if entry.has_status:
        subresources["status"] = _UPDATE
    if kind in _SCALED:
        subresources["scale"] = _UPDATE
    return Resource(
        kind=kind,
        rules=rules(kind, allocate_ip),
        singular=entry.singular,
        list_kind=f"{kind.kind}List",
        short_names=entry.short_names,
        categories=entry.categories,
        has_status=entry.has_status,
        status_at_create=kind in (kinds.NODE, kinds.CUSTOM_RESOURCE_DEFINITION),
        bumps_generation=entry.has_generation,
        subresources=subresources,
        scale=_SCALE if kind in _SCALED else None,
        selectable=_SELECTABLE.get(kind.resource, frozenset()),
        field_places=_FIELD_PLACES.get(kind.resource, {}),
        stored_version=kind.version,
        returns_deleted=kind.resource in _RETURNS_DELETED,
    )


def _drop_nulls(value: Any) -> None:
    if isinstance(value, dict):
        for key in [key for key, item in value.items() if item is None]:
            del value[key]
        for item in value.values():
            if isinstance(item, dict | list):
                _drop_nulls(item)
    else:
        for item in value:
            if isinstance(item, dict | list):
                _drop_nulls(item)


def _drop(obj: Object, path: str) -> None:
    """Drop the field at a path such as ``spec.containers[0].imagee``; one that cannot be found is left."""
    target: Any = obj
    steps = path.replace("[", ".[").split(".")
    for step in steps[:-1]:
        if step.startswith("["):
            target = target[int(step[1:-1])] if isinstance(target, list) else None
        else:
            target = target.get(step) if isinstance(target, dict) else None
    if isinstance(target, dict):
        target.pop(steps[-1], None)
