"""Resource objects as plain JSON mappings, and the few accessors that everything needs.

Objects are what the wire carries: no classes, so unknown fields of users survive a round trip. Reads that need more
than one field make a typed view where they stand; writes are patches (``patches``) that name only our fields.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from beamhall.kernel.kinds import Kind

Object = dict[str, Any]
"""A resource object, owned by whoever holds it: may be changed in place."""

ReadOnlyObject = Mapping[str, Any]
"""A resource object that is shared, for example by a cache: never change it."""


class Key(NamedTuple):
    """Names one object of the cluster. ``namespace`` is empty for cluster-scoped kinds."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        path = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind.kind} {path}"


def metadata_of(obj: ReadOnlyObject) -> ReadOnlyObject:
    """Give the metadata, empty if there is none."""
    return obj.get("metadata") or {}


def name_of(obj: ReadOnlyObject) -> str:
    """Give ``metadata.name``, empty if unset."""
    return str(metadata_of(obj).get("name") or "")


def namespace_of(obj: ReadOnlyObject) -> str:
    """Give ``metadata.namespace``, empty for cluster-scoped objects."""
    return str(metadata_of(obj).get("namespace") or "")


def uid_of(obj: ReadOnlyObject) -> str:
    """Give ``metadata.uid``, empty before the object is stored."""
    return str(metadata_of(obj).get("uid") or "")


def revision_of(obj: ReadOnlyObject) -> int:
    """Give ``metadata.resourceVersion`` as a number, 0 before the object is stored.

    Clients must treat resource versions as opaque; only code that serves or follows our own store may order them.
    """
    return int(metadata_of(obj).get("resourceVersion") or 0)


def labels_of(obj: ReadOnlyObject) -> Mapping[str, str]:
    """Give the labels, empty if there are none."""
    return metadata_of(obj).get("labels") or {}


def annotations_of(obj: ReadOnlyObject) -> Mapping[str, str]:
    """Give the annotations, empty if there are none."""
    return metadata_of(obj).get("annotations") or {}


def key_of(kind: Kind, obj: ReadOnlyObject) -> Key:
    """Give the key of an object of this kind."""
    return Key(kind, namespace_of(obj) if kind.namespaced else "", name_of(obj))


def is_being_deleted(obj: ReadOnlyObject) -> bool:
    """Tell whether deletion was asked for and waits for finalizers or for a grace period."""
    return bool(metadata_of(obj).get("deletionTimestamp"))


def controller_of(obj: ReadOnlyObject) -> ReadOnlyObject | None:
    """Give the owner reference with ``controller: true``, if there is one."""
    for reference in metadata_of(obj).get("ownerReferences") or ():
        if reference.get("controller"):
            return dict(reference)
    return None


def is_controlled_by(obj: ReadOnlyObject, owner: ReadOnlyObject) -> bool:
    """Tell whether ``owner`` (the very one, by uid) is the controller of ``obj``."""
    reference = controller_of(obj)
    return reference is not None and reference.get("uid") == uid_of(owner)


def owner_reference(kind: Kind, owner: ReadOnlyObject) -> Object:
    """Make the controller reference that an object made on behalf of ``owner`` carries."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }
