"""Cells of the kinds that say what is allowed and what there is: quotas, limits, roles, storage classes, slices.

Source: what kube-apiserver prints for each kind. The columns stand in ``tables``.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from beamhall.embedded.api.builtin.cells import age_cell, joined, part
from beamhall.embedded.api.builtin.pod_table import NONE
from beamhall.kernel.objects import ReadOnlyObject, metadata_of, name_of

_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_SHOWN = 3


def quota_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    """Give the cells of a ResourceQuota: requests and counts first, limits apart."""
    hard, used = part(obj, "status", "hard") or part(obj, "spec", "hard"), part(obj, "status", "used")
    texts = {name: f"{name}: {used.get(name, 0)}/{hard[name]}" for name in sorted(hard)}
    limits = ", ".join(text for name, text in texts.items() if name.startswith("limits"))
    requests = ", ".join(text for name, text in texts.items() if not name.startswith("limits"))
    return [name_of(obj), age_cell(obj, now), requests, limits]


def created_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    """Give the cells of a kind that shows only when an object was made."""
    return [name_of(obj), metadata_of(obj).get("creationTimestamp") or ""]


def binding_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    """Give the cells of a RoleBinding or ClusterRoleBinding."""
    role = part(obj, "roleRef")
    subjects: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in obj.get("subjects") or ():
        name = str(subject.get("name") or "")
        if subject.get("kind") == "ServiceAccount":
            name = f"{subject.get('namespace') or ''}/{name}"
        subjects.setdefault(str(subject.get("kind")), []).append(name)
    named = [", ".join(subjects[kind]) for kind in ("User", "Group", "ServiceAccount")]
    return [name_of(obj), f"{role.get('kind') or ''}/{role.get('name') or ''}", age_cell(obj, now), *named]


def storage_class_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    """Give the cells of a StorageClass; the default one is marked."""
    is_default = (metadata_of(obj).get("annotations") or {}).get(_DEFAULT_CLASS) == "true"
    return [
        name_of(obj) + (" (default)" if is_default else ""),
        obj.get("provisioner") or "",
        obj.get("reclaimPolicy") or "Delete",
        obj.get("volumeBindingMode") or "Immediate",
        "true" if obj.get("allowVolumeExpansion") else "false",
        age_cell(obj, now),
    ]


def slice_cells(obj: ReadOnlyObject, now: datetime) -> list[Any]:
    """Give the cells of an EndpointSlice; of many ports and endpoints, the first."""
    ports = [port.get("port") or port.get("name") or NONE for port in obj.get("ports") or ()]
    addresses = list(_addresses(obj))
    return [name_of(obj), obj.get("addressType") or "", _first(ports), _first(addresses), age_cell(obj, now)]


def _addresses(obj: ReadOnlyObject) -> Iterator[str]:
    for endpoint in obj.get("endpoints") or ():
        yield from endpoint.get("addresses") or ()


def _first(values: list[Any]) -> str:
    if not values:
        return "<unset>"
    more = len(values) - _SHOWN
    return joined(values[:_SHOWN]) + (f" + {more} more..." if more > 0 else "")
