"""The service: every part built, started in order, and stopped in order.

``serving`` is the whole of it. Parts run in one task group: if one of them breaks, all stop and its error comes out,
because a service that lacks a part but answers is worse than one that is restarted.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

from prometheus_client import REGISTRY, CollectorRegistry
from starlette.types import ASGIApp

from beamhall.app.certificates import ensure_certificates
from beamhall.app.clock import SystemClock
from beamhall.app.cluster import Cluster, embedded_cluster
from beamhall.app.datadir import Running, announce, claimed, ensure_token, write_private
from beamhall.app.jobs import Jobs
from beamhall.app.logs import configure_logs
from beamhall.app.pipelines import pipelines_on
from beamhall.app.pod_access import INNER_HOST, NAMES, PIPELINE_NAMES, PodAccess, ensure_address
from beamhall.app.restore import finish_restore
from beamhall.app.settings import Settings
from beamhall.app.signing_key import ensure_signing_key
from beamhall.app.users import Users
from beamhall.client.kubeconfig import render_kubeconfig
from beamhall.client.protocol import Client
from beamhall.embedded.api.factory import Identity
from beamhall.gateway.access import AccessRules
from beamhall.gateway.front import Front, below
from beamhall.gateway.listener import Listener, bind
from beamhall.gateway.progress import ProgressReports
from beamhall.gateway.stories import stories_app


@dataclass(frozen=True, slots=True)
class Service:
    """A running service.

    Attributes:
        url: Its address for browsers and plain HTTP clients.
        login_url: The address that logs a browser in.
        client: The embedded cluster, as the service's owner.
    """

    url: str
    login_url: str
    client: Client
    cluster: Cluster

    @property
    def n_running_pods(self) -> int:
        """How many Pods have processes now."""
        return self.cluster.n_running_pods


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Service]:
    """Run the service for as long as the context is open; on entering it is ready.

    Raises:
        DataDirectoryInUse: Another service runs on the data directory.
        PortInUse: Another program listens on the port.
        OSError: The data directory cannot be used, or the address is not one of this machine.
    """
    configure_logs(settings.log_level, settings.log_format)
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        stack.enter_context(claimed(settings.data))
        finish_restore(settings.data, clock.now())
        # Bound before anything else is started: a port in use must not cost a start, nor touch the data.
        listener = stack.enter_context(contextlib.closing(bind(settings.host, settings.port)))
        port = int(listener.getsockname()[1])
        inner = stack.enter_context(contextlib.closing(bind(INNER_HOST, 0)))
        access = PodAccess(ensure_address(settings.data), int(inner.getsockname()[1]))
        token = ensure_token(settings.data)
        names = _names(settings, access)
        tls, authority = ensure_certificates(settings.data / "tls", names, clock.now())
        identity = Identity(ensure_signing_key(settings.data), authority)
        cluster = await stack.enter_async_context(embedded_cluster(settings, clock, identity, access))
        pipelines = await stack.enter_async_context(pipelines_on(cluster, settings, clock))
        kubernetes = pipelines.beside(ProgressReports(cluster.app, cluster.client))
        jobs = Jobs(cluster, clock)
        apps: dict[str, ASGIApp] = {
            **pipelines.apps, "/k8s": kubernetes, "/api/stories": stories_app(cluster.story), "/api/jobs": jobs.app,
        }  # fmt: skip
        rules = _rules(settings, token, cluster)
        front = Front(rules, apps, cluster.unready, _metrics(cluster), cluster.may_get)
        app = front.application()
        servers = (Listener(app, listener, tls), Listener(below("/k8s", app), inner, tls))
        async with asyncio.TaskGroup() as parts:
            work = (*(server.run() for server in servers), cluster.run(), pipelines.run(), jobs.run())
            tasks = [parts.create_task(part) for part in work]
            await cluster.wait_until_ready()
            host = _client_host(settings.host)
            url = f"http://{host}:{port}"
            kubeconfig = render_kubeconfig(f"https://{host}:{port}/k8s", authority, token)
            write_private(settings.data / "kubeconfig", kubeconfig)
            announce(settings.data, Running(os.getpid(), url, settings.host, port))
            try:
                yield Service(url, f"{url}/login?{urlencode({'token': token})}", cluster.client, cluster)
                if settings.stop_pods:
                    await cluster.stop_pods()
            finally:
                for task in tasks:
                    task.cancel()


def _rules(settings: Settings, token: str, cluster: Cluster) -> AccessRules:
    users = Users(settings.data)
    cluster.also_authenticate(users.user_of)
    names = {name.lower() for name in (socket.gethostname(), *settings.host_names, *NAMES, *PIPELINE_NAMES)}
    return AccessRules(token, names, lambda text: cluster.authenticate(text) or users.user_of(text))


def _names(settings: Settings, access: PodAccess) -> list[str]:
    """Give the names and addresses that the server's certificate is for."""
    names = {"localhost", "127.0.0.1", "::1", socket.gethostname(), *settings.host_names, access.address, *NAMES}
    if settings.host not in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        names.add(settings.host)
    return sorted(names)


def _client_host(host: str) -> str:
    """Give the address by which this machine calls a server that listens on ``host``."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"[{host}]" if ":" in host else host


def _metrics(cluster: Cluster) -> CollectorRegistry:
    """Give the metrics of this service, and all that parts count for the whole process."""
    registry = CollectorRegistry()
    registry.register(REGISTRY)
    registry.register(cluster.usage)
    return registry
