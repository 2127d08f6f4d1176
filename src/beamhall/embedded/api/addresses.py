"""Cluster addresses of Services: each has one that no other Service has.

The range is 127.96.0.0/12, loopback like the Pods' addresses, since Services live on one machine. Must not know what
listens there. Next: the agent's ``network``, for the Pods' addresses.
"""

import ipaddress
from random import Random

from beamhall.embedded.store.store import Store
from beamhall.kernel.errors import ServiceUnavailable
from beamhall.kernel.kinds import SERVICE

_RANGE = ipaddress.ip_network("127.96.0.0/12")
_ATTEMPTS = 64


class ServiceAddresses:
    """Gives out addresses, looking at the stored Services for what is taken.

    Args:
        store: Where Services are kept.
        random: Which address is tried first.
    """

    def __init__(self, store: Store, random: Random) -> None:
        self._store = store
        self._random = random

    def allocate(self) -> str:
        """Give an address that no Service has.

        Raises:
            ServiceUnavailable: Nearly all are taken.
        """
        taken = {(item.get("spec") or {}).get("clusterIP") for item in self._store.list(SERVICE.resource).items}
        for _ in range(_ATTEMPTS):
            address = str(_RANGE[self._random.randrange(256, _RANGE.num_addresses - 256)])
            if address not in taken:
                return address
        raise ServiceUnavailable(f"no address in {_RANGE} is free for another Service")
