"""The pipelines of a service put together: the history, the API of runs, and what makes and carries out runs.

Runs are facts in ``DIR/history.db`` (or a database by URL); their steps are Pods of the cluster.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from beamhall.app.archive import ARTIFACTS, HISTORY
from beamhall.app.cluster import Cluster
from beamhall.app.definitions import PIPELINES_GROUP, READING
from beamhall.app.settings import Settings
from beamhall.gateway.front import at_full_paths
from beamhall.history.history import History, sqlite_url
from beamhall.kernel.clock import Clock
from beamhall.kernel.identity import User, namespace_of_account
from beamhall.pipelines.api.access import Access
from beamhall.pipelines.api.application import OLDER_PREFIXES, PREFIXES, kfp_application
from beamhall.pipelines.driver.driver import PipelineDriver
from beamhall.pipelines.driver.settings import DEFAULT_STEPS_AT_ONCE, DriverSettings
from beamhall.pipelines.roots import Roots
from beamhall.pipelines.schedules.loop import Schedules
from beamhall.pipelines.signals import Signals
from beamhall.pipelines.specifications import Specifications
from beamhall.storage import Storage

_PREFIXES = ("/apis", "/pipeline/apis")

_PATHS = (*PREFIXES, *OLDER_PREFIXES)
_PROXY = "/api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy"
"""Where ``kfp.Client()`` calls with a kubeconfig: in a cluster, the API server passes it on to the Service."""


class Pipelines:
    """The pipelines of a service. Made by ``pipelines_on``.

    Attributes:
        apps: The API, as ASGI applications by path prefix.
    """

    def __init__(self, settings: Settings, clock: Clock, cluster: Cluster, history: History) -> None:
        async def authorize(request: Request, verb: str, resource: str, namespace: str) -> None:
            user: User = request.scope["state"]["user"]
            if verb in READING and namespace_of_account(user.name) == namespace:
                return  # a step looks at runs of its own namespace, as in an installation of KFP
            cluster.require(user, verb, PIPELINES_GROUP, resource, namespace)

        self._cluster = cluster
        signals, specifications = Signals(), Specifications()
        self._signals = signals
        artifacts = settings.data / ARTIFACTS
        roots = [artifacts, *(Path(each) for each in settings.artifact_roots.split(":") if each)]
        if settings.pipeline_root.startswith("/"):
            roots.append(Path(settings.pipeline_root))
        namespaces = Roots(cluster.client, Storage(local_roots=roots), clock)

        async def storage_of(namespace: str) -> Storage:
            return (await namespaces.of(namespace)).storage

        access = Access(
            history, clock, authorize, cluster.client, signals, storage_of,
            may_fetch_privately=settings.fetch_privately, time_zone=settings.time_zone,
            pipeline_root=settings.pipeline_root or str(artifacts),
            readable_roots=[str(each) for each in roots],
        )  # fmt: skip
        self._app = kfp_application(access, specifications)
        self.apps: dict[str, ASGIApp] = dict.fromkeys(_PREFIXES, at_full_paths(self._app))
        self._schedules = Schedules(history, clock, signals, settings.time_zone)
        self._driver = PipelineDriver(
            history, cluster.client, namespaces.of, clock, signals, _driver_settings(settings)
        )
        self._driver.specifications = specifications

    def beside(self, kubernetes: ASGIApp) -> ASGIApp:
        """Serve the API of pipelines at its paths beside those of the Kubernetes API, which has none of them.

        For Pods, where both are behind one listener, and for ``kfp.Client()`` with a kubeconfig: its first call is to a
        proxy's path. That refreshes its token, by which the Python client forgets the proxy: the next calls are below
        the server's own address.
        """

        async def both(scope: Scope, receive: Receive, send: Send) -> None:
            root: str = scope.get("root_path", "")
            path = scope["path"].removeprefix(root)
            if path.startswith(f"{_PROXY}/"):
                path = "/" + path.removeprefix(_PROXY).lstrip("/")
            if path.startswith(_PATHS):
                await self._app({**scope, "path": root + path}, receive, send)
            else:
                await kubernetes(scope, receive, send)

        return both

    async def run(self) -> None:
        """Make and carry out runs until cancelled, once the cluster is there."""
        try:
            await self._cluster.wait_until_ready()
            async with asyncio.TaskGroup() as parts:
                parts.create_task(self._schedules.run())
                parts.create_task(self._driver.run())
        finally:
            self._signals.closing.set()


@asynccontextmanager
async def pipelines_on(cluster: Cluster, settings: Settings, clock: Clock) -> AsyncIterator[Pipelines]:
    """Put pipelines on a cluster; the history is closed when the context is left."""
    history = History(settings.history_url or sqlite_url(settings.data / HISTORY))
    try:
        yield Pipelines(settings, clock, cluster, history)
    finally:
        await history.close()


def _driver_settings(settings: Settings) -> DriverSettings:
    return DriverSettings(
        pipeline_root=settings.pipeline_root or str(settings.data / ARTIFACTS),
        fail_fast=settings.pipeline_fail_fast,
        final_status_state=settings.final_status_state,
        caching=settings.step_caching,
        fit_steps=settings.fit_steps,
        steps_at_once=settings.steps_at_once or DEFAULT_STEPS_AT_ONCE,
    )
