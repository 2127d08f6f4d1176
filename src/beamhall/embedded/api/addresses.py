"""Cluster addresses of Services: each has one that no other Service has.

The range is 127.96.0.0/12, loopback like the Pods' addresses, since Services live on one machine. Must not know what
listens there. Next: the agent's ``network``, for the Pods' addresses.
"""

import ipaddress
from random import Random

from beamhall.embedded.api.resources import Resource
from beamhall.embedded.store.store import Store
from beamhall.kernel.errors import ServiceUnavailable
from beamhall.kernel.kinds import SERVICE
from beamhall.kernel.objects import ReadOnlyObject, name_of, namespace_of

_RANGE = ipaddress.ip_network("127.96.0.0/12")
_ATTEMPTS = 64


class ServiceAddresses:
    """Gives out addresses, remembering what is taken. An ``Observer`` of writes.

    Args:
        store: Where Services are kept; read once, when the first address is asked for.
        random: Which address is tried first.
    """

    def __init__(self, store: Store, random: Random) -> None:
        self._store = store
        self._random = random
        self._by_service: dict[tuple[str, str], str] | None = None
        self._taken: set[str] = set()

    def written(self, resource: Resource, obj: ReadOnlyObject, *, is_gone: bool) -> None:
        """Learn that a Service was made, changed, or is gone."""
        if resource.kind != SERVICE or self._by_service is None:
            return
        key = (namespace_of(obj), name_of(obj))
        self._taken.discard(self._by_service.pop(key, ""))
        if not is_gone:
            self._remember(self._by_service, obj)

    def allocate(self) -> str:
        """Give an address that no Service has.

        Raises:
            ServiceUnavailable: Nearly all are taken.
        """
        if self._by_service is None:
            self._by_service = {}
            for service in self._store.list(SERVICE.resource).items:
                self._remember(self._by_service, service)
        for _ in range(_ATTEMPTS):
            address = str(_RANGE[self._random.randrange(256, _RANGE.num_addresses - 256)])
            if address not in self._taken:
                return address
        raise ServiceUnavailable(f"no address in {_RANGE} is free for another Service")

    def _remember(self, by_service: dict[tuple[str, str], str], service: ReadOnlyObject) -> None:
        address = str((service.get("spec") or {}).get("clusterIP") or "")
        if address:
            by_service[namespace_of(service), name_of(service)] = address
            self._taken.add(address)
