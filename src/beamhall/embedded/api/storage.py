"""Admission of claims and volumes: the default class, protection while in use, and which claims may grow.

Source: ``k8s.io/kubernetes/plugin/pkg/admission/storage``: ``storageclass/setdefault``,
``storageobjectinuseprotection``, ``persistentvolume/resize``.
"""

from collections.abc import Mapping
from typing import Any

from beamhall.embedded.api.core import Operation
from beamhall.embedded.store.store import Store
from beamhall.kernel.errors import Forbidden
from beamhall.kernel.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, STORAGE_CLASS
from beamhall.kernel.objects import Object, ReadOnlyObject, metadata_of, name_of

FIRST_CLASS: Object = {
    "metadata": {"name": "beamhall", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": "beamhall.io/directory",
    "allowVolumeExpansion": True,
}
"""The class that every cluster has: directories of the data directory."""

_PROTECTION = {
    PERSISTENT_VOLUME_CLAIM: "kubernetes.io/pvc-protection",
    PERSISTENT_VOLUME: "kubernetes.io/pv-protection",
}
_DEFAULT = "storageclass.kubernetes.io/is-default-class"


class StorageAdmission:
    """Completes new claims and volumes, and refuses claims to grow whose class does not let them.

    Args:
        store: Where StorageClasses are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def admit(self, operation: Operation) -> None:
        """Let a claim or volume pass, completed.

        Raises:
            Forbidden: A claim is to grow, and its class says that it may not.
        """
        kind, obj = operation.resource.kind, operation.object
        if kind not in _PROTECTION or operation.subresource or operation.verb == "delete":
            return
        if operation.verb == "create":
            finalizers = obj["metadata"].setdefault("finalizers", [])
            if _PROTECTION[kind] not in finalizers:
                finalizers.append(_PROTECTION[kind])
            if kind == PERSISTENT_VOLUME_CLAIM:
                self._set_default_class(obj)
        elif kind == PERSISTENT_VOLUME_CLAIM and operation.old is not None:
            self._check_growth(operation, operation.old)

    def _set_default_class(self, claim: Object) -> None:
        spec = claim.get("spec")
        if not isinstance(spec, dict) or spec.get("storageClassName") is not None:
            return
        defaults = [
            found
            for found in self._store.list(STORAGE_CLASS.resource).items
            if (metadata_of(found).get("annotations") or {}).get(_DEFAULT) == "true"
        ]
        if defaults:  # as in Kubernetes, of several the newest
            newest = max(defaults, key=lambda found: str(metadata_of(found).get("creationTimestamp") or ""))
            spec["storageClassName"] = name_of(newest)

    def _check_growth(self, operation: Operation, old: ReadOnlyObject) -> None:
        wanted, had = _requested(operation.object), _requested(old)
        name = str((old.get("spec") or {}).get("storageClassName") or "")
        found = self._store.get(STORAGE_CLASS.resource, "", name) if name else None
        if wanted == had or (found is not None and found.get("allowVolumeExpansion")) or (name and found is None):
            return
        resource, claim = operation.resource, name_of(operation.object)
        raise Forbidden(
            f"{resource.describe(claim)} is forbidden: only dynamically provisioned pvc can be resized and the "
            "storageclass that provisions the pvc must support resize",
            details=resource.details(claim),
        )


def _requested(claim: ReadOnlyObject) -> Any:
    spec: Mapping[str, Any] = claim.get("spec") or {}
    return ((spec.get("resources") or {}).get("requests") or {}).get("storage")
