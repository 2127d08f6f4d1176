"""EndpointSlices: what stands behind a Service, in pieces that stay small.

A slice's name follows from its Service, its ports and its number, so that a stale view never makes one twice.

Source: Kubernetes API reference, EndpointSlice v1 discovery.k8s.io; KEP-752.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from beamhall.kernel.kinds import ENDPOINT_SLICE, SERVICE
from beamhall.kernel.objects import (
    Object,
    ReadOnlyObject,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from beamhall.kernel.plan import Action, Create, Delete, Patch, View

SERVICE_LABEL = "kubernetes.io/service-name"
MANAGER_LABEL = "endpointslice.kubernetes.io/managed-by"
_MANAGER = "endpointslice-controller.k8s.io"
_MIRROR = "endpointslicemirroring-controller.k8s.io"
_SIZE = 100
_CARRIED = ("hostname", "nodeName", "targetRef")


def slice_actions(service: ReadOnlyObject, subsets: Sequence[Any], view: View) -> Iterator[Action]:
    """Give what brings a Service's slices in line with the subsets of its Endpoints."""
    wanted = {name_of(piece): piece for piece in _slices(service, subsets)}
    for existing in view.controlled_by(ENDPOINT_SLICE, uid_of(service)):
        piece = wanted.pop(name_of(existing), None)
        if piece is None:
            yield Delete(key_of(ENDPOINT_SLICE, existing), uid=uid_of(existing))
        elif (existing.get("endpoints") or []) != piece["endpoints"]:
            yield Patch(key_of(ENDPOINT_SLICE, existing), {"endpoints": piece["endpoints"]}, uid=uid_of(existing))
    for piece in wanted.values():
        yield Create(ENDPOINT_SLICE, piece)


def _slices(service: ReadOnlyObject, subsets: Sequence[Any]) -> Iterator[Object]:
    for subset in subsets:
        # A name is always stated, as upstream's controller does: kubectl describe looks at it unasked.
        ports = [{"name": "", **port} for port in subset.get("ports") or ()]
        for number, endpoints in enumerate(_pieces(_endpoints(service, subset))):
            yield _slice(service, ports, number, endpoints)


def _pieces(endpoints: Iterable[Object]) -> Iterator[list[Object]]:
    rest = iter(endpoints)
    yield list(islice(rest, _SIZE))
    while piece := list(islice(rest, _SIZE)):
        yield piece


def _endpoints(service: ReadOnlyObject, subset: ReadOnlyObject) -> Iterator[Object]:
    for field in ("addresses", "notReadyAddresses"):
        is_ready = field == "addresses"
        for address in subset.get(field) or ():
            conditions = {"ready": is_ready, "serving": is_ready, "terminating": False}
            endpoint: Object = {"addresses": [address["ip"]], "conditions": conditions}
            yield endpoint | {
                name: address[name] for name in ("hostname", "nodeName", "targetRef") if address.get(name)
            }


def _slice(service: ReadOnlyObject, ports: list[Object], number: int, endpoints: list[Object]) -> Object:
    identity = f"{uid_of(service)} {ports!r} {number}"
    suffix = hashlib.sha256(identity.encode()).hexdigest()[:8]
    manager = _MANAGER if (service.get("spec") or {}).get("selector") else _MIRROR
    labels = {**labels_of(service), SERVICE_LABEL: name_of(service), MANAGER_LABEL: manager}
    return {
        "apiVersion": ENDPOINT_SLICE.api_version,
        "kind": ENDPOINT_SLICE.kind,
        "metadata": {
            "name": f"{name_of(service)}-{suffix}",
            "namespace": namespace_of(service),
            "labels": labels,
            "ownerReferences": [owner_reference(SERVICE, service)],
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": ports,
    }
