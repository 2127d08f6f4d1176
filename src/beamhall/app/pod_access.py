"""The API where programs in Pods look for it: ``https://kubernetes.default.svc``, with no prefix in its paths.

The front door's main address serves other things at ``/api`` and ``/apis``, so Pods have a listener of their own, on a
port that changes with each start. The Service ``kubernetes`` in namespace ``default`` stands before it, with an address
that stays: the proxy of Services passes connections on, also those of Pods that outlived a restart.
"""

import ipaddress
import random
import socket
from dataclasses import dataclass
from pathlib import Path

from beamhall.app.datadir import write_private
from beamhall.client.protocol import Client
from beamhall.kernel.errors import AlreadyExists, Invalid
from beamhall.kernel.kinds import ENDPOINTS, SERVICE, Kind
from beamhall.kernel.objects import Object

NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
"""What Pods call the API."""

_NETWORK = ipaddress.ip_network("127.96.0.0/12")  # that of Services
_NAMESPACE, _NAME = "default", "kubernetes"
_PORT, _UNPRIVILEGED_PORT = 443, 6443
INNER_HOST = "127.0.0.1"
"""Where the listener for Pods is bound."""


@dataclass(frozen=True, slots=True)
class PodAccess:
    """Where Pods reach the API.

    Attributes:
        address: Of the Service ``kubernetes``.
        inner_port: Where the listener for Pods is, on this machine.
    """

    address: str
    inner_port: int


def ensure_address(data: Path) -> str:
    """Give the address of the Service: chosen at first start, so that services on one machine have different ones."""
    file = data / "network" / "kubernetes"
    try:
        return str(ipaddress.IPv4Address(file.read_text().strip()))
    except (FileNotFoundError, ValueError):
        address = str(_NETWORK[random.SystemRandom().randrange(256, _NETWORK.num_addresses - 256)])
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(file, address + "\n")
        return address


def service_port(address: str) -> int:
    """Give the port of the Service: 443 as in every cluster, or another where that needs privileges."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, _PORT))
        except PermissionError:
            return _UNPRIVILEGED_PORT
        except OSError:  # taken, by the proxy that outlived the last start: then it may be had
            return _PORT
    return _PORT


async def publish(client: Client, access: PodAccess) -> None:
    """Make the Service and its Endpoints say where the API is now.

    Args:
        client: The cluster as its owner sees it; namespace ``default`` must be there.
        access: Where it is.
    """
    address, inner_port = access.address, access.inner_port
    port = service_port(address)
    ports = [{"name": "https", "port": port, "protocol": "TCP", "targetPort": inner_port}]
    labels = {"component": "apiserver", "provider": "kubernetes"}
    metadata = {"name": _NAME, "namespace": _NAMESPACE, "labels": labels}
    service: Object = {"metadata": metadata, "spec": {"clusterIP": address, "ports": ports}}
    try:
        await _apply(client, SERVICE, service, {"spec": service["spec"]})
    except Invalid:  # another address, from a backup of another directory: an address cannot be changed
        await client.delete(SERVICE, _NAME, _NAMESPACE)
        await client.create(SERVICE, service)
    subsets = [{"addresses": [{"ip": INNER_HOST}], "ports": [{"name": "https", "port": inner_port, "protocol": "TCP"}]}]
    await _apply(client, ENDPOINTS, {"metadata": metadata, "subsets": subsets}, {"subsets": subsets})


async def _apply(client: Client, kind: Kind, obj: Object, patch: Object) -> None:
    try:
        await client.create(kind, obj)
    except AlreadyExists:
        await client.patch(kind, _NAME, _NAMESPACE, patch)
