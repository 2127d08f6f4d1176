"""What Pods and nodes use now, as ``kubectl top`` asks for it: read from the node agent, never stored.

Source: ``metrics.k8s.io/v1beta1`` and what metrics-server answers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from beamhall.client.protocol import Selection
from beamhall.embedded.api.authorization import Attributes, require
from beamhall.embedded.api.beginnings import SYSTEM
from beamhall.embedded.api.replies import Reply, accepted_of, reply
from beamhall.embedded.api.requests import Address, Request
from beamhall.embedded.api.tables import partial
from beamhall.embedded.api.usage_source import UsageSource
from beamhall.embedded.api.verbs import Api
from beamhall.kernel.errors import MethodNotAllowed, NotFound, ServiceUnavailable
from beamhall.kernel.identity import User
from beamhall.kernel.kinds import NODE, POD, Kind
from beamhall.kernel.objects import Object, ReadOnlyObject, labels_of, metadata_of, name_of, namespace_of, uid_of

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
USAGE_KINDS = (
    Kind(GROUP, VERSION, "NodeMetrics", "nodes", namespaced=False),
    Kind(GROUP, VERSION, "PodMetrics", "pods", namespaced=True),
)
"""What is served; it can only be read."""
USAGE_VERBS = ("get", "list")
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


class Usage:
    """Answers requests for usage.

    Args:
        api: Where Pods and nodes are read, and who knows what they use.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    async def answer(self, request: Request, user: User, address: Address) -> Reply:
        """Answer a request on ``nodes`` or ``pods`` of the group.

        Raises:
            NotFound: There is no such resource, or nothing is known of the Pod or node.
            MethodNotAllowed: Usage can only be read, and not be watched.
            ServiceUnavailable: There is no agent.
        """
        kind = next((kind for kind in USAGE_KINDS if kind.plural == address.plural), None)
        if kind is None or address.subresource or (address.namespace and not kind.namespaced):
            raise NotFound(f"the server could not find the requested resource: nothing is served at {request.path}")
        if request.method != "GET" or request.flag("watch"):
            raise MethodNotAllowed(f"{kind.kind} can be got and listed, nothing else")
        verb = "get" if address.name else "list"
        attributes = Attributes(verb, GROUP, kind.plural, address.namespace, address.name)
        require(self._api.core.authorizer, user, attributes)
        source = self._api.usage_of
        if source is None:
            raise ServiceUnavailable("this API server has no node agent to ask for usage")
        fields = f"metadata.name={address.name}" if address.name else request.query.get("fieldSelector", "")
        labels = request.query.get("labelSelector", "")
        found = await self._found(kind, source, Selection(address.namespace, labels, fields))
        if not address.name:
            return self._shaped(request, kind, found, is_list=True)
        if not found:
            full_name = f"{address.namespace}/{address.name}" if kind.namespaced else address.name
            details = {"group": GROUP, "kind": kind.kind.lower(), "name": full_name}
            raise NotFound(f'{kind.kind.lower()}.{GROUP} "{full_name}" not found', details=details)
        return self._shaped(request, kind, found, is_list=False)

    async def _found(self, kind: Kind, source: UsageSource, selection: Selection) -> Sequence[Object]:
        """Give the usage of what is selected, as far as something is known of it."""
        if kind.namespaced:
            page = await self._api.list(SYSTEM, POD, selection)
            known = await source.pods() if page.items else {}
            return [_metrics(kind, pod, known[uid_of(pod)]) for pod in page.items if uid_of(pod) in known]
        page = await self._api.list(SYSTEM, NODE, selection)
        known = await source.nodes() if page.items else {}
        return [_metrics(kind, node, known[name_of(node)]) for node in page.items if name_of(node) in known]

    def _shaped(self, request: Request, kind: Kind, found: Sequence[Object], *, is_list: bool) -> Reply:
        accepted = accepted_of(request.headers.get(b"accept", b""))
        if accepted.form == "table":
            return Reply(msgspec.json.encode(_table(found)), media_type=_TABLE)
        shown = [partial(item) for item in found] if accepted.form == "metadata" else found
        if not is_list:
            return reply(shown[0], accepted=accepted)
        names = {"kind": f"{kind.kind}List", "apiVersion": kind.api_version}
        return reply({**names, "metadata": {}, "items": shown}, accepted=accepted)


def _metrics(kind: Kind, of: ReadOnlyObject, figures: Mapping[str, Any]) -> Object:
    metadata = {"name": name_of(of), "creationTimestamp": metadata_of(of).get("creationTimestamp")}
    if kind.namespaced:
        metadata["namespace"] = namespace_of(of)
    if labels_of(of):
        metadata["labels"] = dict(labels_of(of))
    return {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata, **figures}


def _table(found: Sequence[ReadOnlyObject]) -> Object:
    names = ("Name", "cpu", "memory", "window")
    columns = [
        {"name": n, "type": "string", "format": "name" if n == "Name" else "", "description": "", "priority": 0}
        for n in names
    ]
    rows = [{"cells": _cells(item), "object": partial(item)} for item in found]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": columns,
        "rows": rows,
    }


def _cells(item: ReadOnlyObject) -> list[str]:
    """Give the cells of a row; usage of containers is added up."""
    usages = [c["usage"] for c in item["containers"]] if "containers" in item else [item["usage"]]
    cpu = sum(int(usage["cpu"].removesuffix("n")) for usage in usages)
    memory = sum(int(usage["memory"].removesuffix("Ki")) for usage in usages)
    return [name_of(item), f"{cpu}n", f"{memory}Ki", item["window"]]
