"""Which part of the Pod network is this service's: two services on one machine must not give out the same address.

Loopback addresses need no configuration, so nothing keeps two services from using one but this. A service asks first
for the part that its data directory's path leads to, so that a restart comes back to where adopted Pods are, and claims
it by an abstract Unix socket, which the kernel lets go when the process ends, however it ends.
"""

import hashlib
import ipaddress
import socket
from pathlib import Path

_PREFIX = 20  # 4,094 addresses each: more than a node takes Pods


class Subnet:
    """A part of the Pod network that no other service on this machine uses, until it is closed.

    Attributes:
        network: The part, such as ``127.66.16.0/20``.

    Args:
        pod_network: What to take a part of.
        directory: The service's data directory.
    """

    def __init__(self, pod_network: str, directory: Path) -> None:
        whole = ipaddress.IPv4Network(pod_network)
        parts = [whole] if whole.prefixlen >= _PREFIX else list(whole.subnets(new_prefix=_PREFIX))
        digest = hashlib.sha256(str(directory.resolve()).encode()).digest()
        first = int.from_bytes(digest[:8], "big") % len(parts)
        self._claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # If every part is taken, some Pods of two services may clash; that is better than not to start.
        self.network = next((p for p in (*parts[first:], *parts[:first]) if self._claims(p)), parts[first])

    def close(self) -> None:
        """Let others have it."""
        self._claim.close()

    def _claims(self, part: ipaddress.IPv4Network) -> bool:
        try:
            self._claim.bind(f"\0beamhall-pods-{part.network_address}")
        except OSError:
            return False
        return True
