"""Services as this node knows them: their names for Pods, and the proxy that makes their addresses work.

Follows Services and their EndpointSlices. Next: ``network`` (names), ``proxy`` (connections).
"""

import asyncio
import errno
import os
from collections.abc import Callable, Mapping
from contextlib import aclosing
from pathlib import Path

from beamhall.client.protocol import Client
from beamhall.client.reflector import Removed, Replaced, Upserted, reflect
from beamhall.embedded.agent.events import EventRecorder
from beamhall.embedded.agent.network import Names
from beamhall.embedded.agent.node import HOST_IP
from beamhall.embedded.agent.proxy.link import ProxyLink
from beamhall.embedded.agent.proxy.table import Route, routes_of
from beamhall.kernel.kinds import ENDPOINT_SLICE, SERVICE
from beamhall.kernel.objects import ReadOnlyObject, labels_of, name_of, namespace_of

_SERVICE_LABEL = "kubernetes.io/service-name"
_DELAY_S = 0.01
_MENDS = {
    os.strerror(errno.EACCES): "ports below 1024 need privileges here: use a higher port, or let users have them with "
    "sysctl net.ipv4.ip_unprivileged_port_start=0",
    os.strerror(errno.EADDRINUSE): "another program listens there on all addresses: use another port",
}


class Services:
    """Follows Services for one node.

    Args:
        client: The API, as the node's user.
        directory: The data directory.
        names: Learns the names of Services.
        recorder: Tells where a Service cannot be listened for.
        renamed: Called when names may have changed.
    """

    def __init__(
        self, client: Client, directory: Path, names: Names, recorder: EventRecorder, renamed: Callable[[], None]
    ) -> None:
        self._client = client
        self._names = names
        self._recorder = recorder
        self._renamed = renamed
        self._link = ProxyLink(directory, self._tell)
        self._services: dict[tuple[str, str], ReadOnlyObject] = {}
        self._slices: dict[tuple[str, str], ReadOnlyObject] = {}
        self._routes: dict[tuple[str, str], list[Route]] = {}
        self._told: dict[str, str] = {}
        self._stale = asyncio.Event()
        self.seen = asyncio.Event()

    async def run(self) -> None:
        """Follow until cancelled; ``seen`` is set once the Services of before are known."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_services())
            tasks.create_task(self._follow_slices())
            tasks.create_task(self._link.run())
            tasks.create_task(self._keep_routes())

    async def _follow_services(self) -> None:
        async with aclosing(reflect(self._client, SERVICE)) as changes:
            async for change in changes:
                match change:
                    case Replaced(services):
                        self._services = {_key(service): service for service in services}
                        self._names.set_services(services)
                        self.seen.set()
                    case Upserted(service):
                        self._services[_key(service)] = service
                        self._names.set_service(service)
                    case Removed(service):
                        self._services.pop(_key(service), None)
                        self._names.remove_service(_key(service))
                    case _:
                        continue
                self._renamed()
                self._stale.set()

    async def _follow_slices(self) -> None:
        async with aclosing(reflect(self._client, ENDPOINT_SLICE)) as changes:
            async for change in changes:
                match change:
                    case Replaced(slices):
                        self._slices = {_key(piece): piece for piece in slices}
                    case Upserted(piece):
                        self._slices[_key(piece)] = piece
                    case Removed(piece):
                        self._slices.pop(_key(piece), None)
                    case _:
                        continue
                self._stale.set()

    async def _keep_routes(self) -> None:
        """Tell the proxy a moment after something changed, so that a burst is told once."""
        while True:
            await self._stale.wait()
            await asyncio.sleep(_DELAY_S)
            self._stale.clear()
            pieces: dict[tuple[str, str], list[ReadOnlyObject]] = {}
            for piece in self._slices.values():
                pieces.setdefault((namespace_of(piece), labels_of(piece).get(_SERVICE_LABEL, "")), []).append(piece)
            self._routes = {
                key: list(routes_of(service, pieces.get(key, ()), HOST_IP)) for key, service in self._services.items()
            }
            self._link.set_routes([route for routes in self._routes.values() for route in routes])

    def _tell(self, failed: Mapping[str, str]) -> None:
        """Record an Event on each Service where the proxy could not listen, once for each reason."""
        told: dict[str, str] = {}
        for key, routes in self._routes.items():
            service = self._services.get(key)
            if service is None:
                continue
            for route in routes:
                where = f"{route.listen[0]}:{route.listen[1]}"
                why = failed.get(where, "")
                if why and self._told.get(where) != why:
                    message = f"nothing can listen on {where}: {why}; {_MENDS.get(why, 'use another port')}"
                    self._recorder.warning({"kind": "Service", **service}, "ProxyFailed", message)
                told[where] = why
        self._told = told


def _key(obj: ReadOnlyObject) -> tuple[str, str]:
    return namespace_of(obj), name_of(obj)
