"""The APIs where programs in Pods look for them.

That of Kubernetes is at ``https://kubernetes.default.svc``, with no prefix in its paths, that of pipelines at
``http://ml-pipeline.kubeflow.svc.cluster.local:8888``, where ``kfp.Client()`` calls when it is told nothing.
The front door's main address serves other things at ``/api`` and ``/apis``, so Pods have a listener of their own, on a
port that changes with each start. The Service ``kubernetes`` in namespace ``default`` stands before it, with an address
that stays: the proxy of Services passes connections on, also those of Pods that outlived a restart. The Service
``ml-pipeline`` leads to the same listener: no path of one API is one of the other's (``pipelines.Pipelines.beside``).
"""

import contextlib
import ipaddress
import random
import socket
from dataclasses import dataclass
from pathlib import Path

from beamhall.app.datadir import write_private
from beamhall.client.protocol import Client
from beamhall.kernel.errors import AlreadyExists, Forbidden, Invalid
from beamhall.kernel.kinds import ENDPOINTS, NAMESPACE, SERVICE, Kind
from beamhall.kernel.objects import Object, name_of, namespace_of

NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
"""What Pods call the API."""

PIPELINE_NAMES = ("ml-pipeline", *(f"ml-pipeline.kubeflow{end}" for end in ("", ".svc", ".svc.cluster.local")))
"""What Pods call the API of pipelines."""

_NETWORK = ipaddress.ip_network("127.96.0.0/12")  # that of Services
_NAMESPACE, _NAME = "default", "kubernetes"
_PIPELINES_NAMESPACE, _PIPELINES_NAME, _PIPELINES_PORT = "kubeflow", "ml-pipeline", 8888
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
    """Make the Services and their Endpoints say where the APIs are now.

    Args:
        client: The cluster as its owner sees it; namespace ``default`` must be there.
        access: Where it is.
    """
    labels = {"component": "apiserver", "provider": "kubernetes"}
    service = _service(_NAMESPACE, _NAME, labels, "https", service_port(access.address), access)
    service["spec"]["clusterIP"] = access.address
    try:
        await _apply(client, SERVICE, service, "spec")
    except Invalid:  # another address, from a backup of another directory: an address cannot be changed
        await client.delete(SERVICE, _NAME, _NAMESPACE)
        await client.create(SERVICE, service)
    await _apply(client, ENDPOINTS, _endpoints(service, access), "subsets")
    with contextlib.suppress(Forbidden):  # the namespace is being deleted: then it is there after the next start
        await _publish_pipelines(client, access)


async def _publish_pipelines(client: Client, access: PodAccess) -> None:
    with contextlib.suppress(AlreadyExists):
        await client.create(NAMESPACE, {"metadata": {"name": _PIPELINES_NAMESPACE}})
    labels = {"app": _PIPELINES_NAME}
    service = _service(_PIPELINES_NAMESPACE, _PIPELINES_NAME, labels, "http", _PIPELINES_PORT, access)
    await _apply(client, SERVICE, service, "spec")
    await _apply(client, ENDPOINTS, _endpoints(service, access), "subsets")


def _service(namespace: str, name: str, labels: Object, port_name: str, port: int, access: PodAccess) -> Object:
    ports = [{"name": port_name, "port": port, "protocol": "TCP", "targetPort": access.inner_port}]
    return {"metadata": {"name": name, "namespace": namespace, "labels": labels}, "spec": {"ports": ports}}


def _endpoints(service: Object, access: PodAccess) -> Object:
    port = {"name": service["spec"]["ports"][0]["name"], "port": access.inner_port, "protocol": "TCP"}
    return {"metadata": service["metadata"], "subsets": [{"addresses": [{"ip": INNER_HOST}], "ports": [port]}]}


async def _apply(client: Client, kind: Kind, obj: Object, field: str) -> None:
    try:
        await client.create(kind, obj)
    except AlreadyExists:
        await client.patch(kind, name_of(obj), namespace_of(obj), {field: obj[field]})
