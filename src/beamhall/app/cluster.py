"""The embedded cluster put together: store, API server, controllers, agent.

The order matters: the API answers before anything asks it, definitions are installed before planners watch their kinds,
and the agent comes last, so that Pods of an earlier run are adopted with every part at work.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client.registry import Collector
from starlette.types import ASGIApp

from beamhall.app.controllers import embedded_controllers, embedded_definitions
from beamhall.app.definitions import install_definitions, install_roles
from beamhall.app.placing import PlacingAtOnce
from beamhall.app.pod_access import PodAccess, publish
from beamhall.app.settings import Settings, simulated_resources
from beamhall.app.trainer import install_trainer
from beamhall.catalog.catalog import Catalog
from beamhall.client.local import LocalClient
from beamhall.client.protocol import Client
from beamhall.embedded.agent.agent import Agent
from beamhall.embedded.agent.limits.gauges import UsageCollector
from beamhall.embedded.agent.logs import PodLogs
from beamhall.embedded.agent.remote import PodStreams
from beamhall.embedded.agent.settings import AgentSettings
from beamhall.embedded.agent.simulation import SimulatedNodes, Simulation
from beamhall.embedded.api.authorization import Attributes, require
from beamhall.embedded.api.factory import Api, Identity, create_app, create_resource_api
from beamhall.embedded.store.store import Store
from beamhall.kernel.clock import Clock
from beamhall.kernel.identity import ADMIN_GROUP, User
from beamhall.kernel.kinds import Kind
from beamhall.kernel.objects import ReadOnlyObject
from beamhall.runtime.manager import Manager
from beamhall.training.registry import training_validators

_CONTROLLERS = User("system:controllers", (ADMIN_GROUP,))
_SIMULATION = User("system:node:simulated", (ADMIN_GROUP, "system:nodes"))
_OWNER = User("owner", (ADMIN_GROUP,))


class Cluster:
    """The embedded cluster. Made by ``embedded_cluster``.

    Attributes:
        app: The Kubernetes API as an ASGI application.
        client: The cluster as its owner sees it.
        usage: What containers use, for Prometheus.
    """

    def __init__(self, settings: Settings, clock: Clock, api: Api, access: PodAccess) -> None:
        node = f"system:node:{settings.node_name or 'local'}"
        catalog = Catalog.load(settings.data)
        self._api = api
        self._access = access
        self._agent = Agent(
            LocalClient(api, User(node, (ADMIN_GROUP, "system:nodes"))),
            catalog, settings.data, _agent_settings(settings), clock,
        )  # fmt: skip
        controllers = embedded_controllers(settings.capabilities, self._agent.node_name)
        self._manager = Manager(LocalClient(api, _CONTROLLERS), controllers, clock)
        simulated = SimulatedNodes(
            settings.simulated_nodes, simulated_resources(settings.simulated_node), settings.simulated_open
        )
        self._simulation = Simulation(LocalClient(api, _SIMULATION), simulated, clock)
        self._installed = asyncio.Event()
        self.app: ASGIApp = create_app(
            api, PodLogs(self._agent), PodStreams(self._agent, self._agent.sandboxes), self._agent.metering
        )
        self.client: Client = LocalClient(api, _OWNER)
        self.usage: Collector = UsageCollector(self._agent.metering)

    @property
    def n_running_pods(self) -> int:
        """How many Pods have processes now."""
        return self._agent.n_running_pods

    def unready(self) -> list[str]:
        """Give what is not ready yet."""
        parts = {
            "definitions": self._installed.is_set(),
            "controllers": self._manager.is_ready,
            "agent": self._agent.ready,
            "simulation": self._simulation.ready,
        }
        return [name for name, is_ready in parts.items() if not is_ready]

    async def wait_until_ready(self) -> None:
        """Wait until nothing is unready."""
        await self._installed.wait()
        await self._manager.ready()
        await self._agent.wait_ready()
        await self._simulation.wait_ready()

    async def run(self) -> None:
        """Run the parts until cancelled. Pods go on running then."""
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._api.run())
            await install_definitions(self.client, embedded_definitions(), update=True)
            await self._api.begun.wait()
            await install_roles(self.client, embedded_definitions())
            await publish(self.client, self._access)
            await install_trainer(self.client)
            self._installed.set()
            parts.create_task(self._manager.run())
            parts.create_task(self._agent.run())
            parts.create_task(self._simulation.run())

    async def stop_pods(self) -> None:
        """End every Pod for good, each within its grace period."""
        await self._agent.stop_pods()

    def authenticate(self, token: str) -> User | None:
        """Give the service account whose token this is, None if it is none that is good now."""
        return self._api.tokens.user_of(token)

    def also_authenticate(self, authenticate: Callable[[str], User | None]) -> None:
        """Let reviews of tokens know those of other users too."""
        self._api.reviews.authenticators.append(authenticate)

    def require(self, user: User, verb: str, group: str, resource: str, namespace: str) -> None:
        """Let pass what a user may do; raises ``Forbidden`` otherwise."""
        require(self._api.core.authorizer, user, Attributes(verb, group, resource, namespace))

    def require_access(self, user: User, wanted: Attributes) -> None:
        """Let pass what a user may do, in every detail; raises ``Forbidden`` otherwise."""
        require(self._api.core.authorizer, user, wanted)

    def may_get(self, user: User, path: str) -> bool:
        """Tell whether a user may get a path that is no resource."""
        return self._api.core.authorizer.allows(user, Attributes("get", path=path))

    def story(self, user: User, kind: str, namespace: str, name: str) -> Sequence[Mapping[str, Any]]:
        """Give what was done to an object, oldest first.

        Args:
            user: Who asks.
            kind: As users write it: ``tfjob``, ``pods``.
            namespace: The object's.
            name: Likewise.

        Raises:
            Forbidden: The user may not get the object.
        """
        wanted = kind.lower()
        for known in self._manager.views.caches:
            if wanted in (known.kind.lower(), known.plural, known.resource):
                where = namespace if known.namespaced else ""
                require(self._api.core.authorizer, user, Attributes("get", known.group, known.plural, where, name))
                return self._manager.story.of(known.resource, where, name)
        return ()


@asynccontextmanager
async def embedded_cluster(
    settings: Settings, clock: Clock, identity: Identity, access: PodAccess
) -> AsyncIterator[Cluster]:
    """Open the store of a data directory and put a cluster on it; its parts run once ``run`` is awaited.

    Args:
        settings: The service's.
        clock: The time.
        identity: What the API server is known by.
        access: Where Pods reach it.
    """
    store = await Store.open(settings.data / "objects.db")

    def look(kind: Kind, namespace: str, name: str) -> ReadOnlyObject | None:
        return store.get(kind.resource, namespace, name)

    try:
        api = create_resource_api(
            store,
            clock,
            random.SystemRandom(),
            admissions=[PlacingAtOnce(store)],
            validators=training_validators(look),
            identity=identity,
        )
        yield Cluster(settings, clock, api, access)
    finally:
        await store.close()


def _agent_settings(settings: Settings) -> AgentSettings:
    return AgentSettings(
        node_name=settings.node_name,
        gpus=None if settings.gpus == "auto" else int(settings.gpus),
        gpu_shared_by=settings.gpu_shares,
        warm_start=settings.warm_start,
        step_environments=settings.step_environments,
        allow_host_path=settings.allow_host_path,
        cgroups=settings.cgroups,
        pod_pids_limit=settings.pod_pids_limit,
        log_max_bytes=settings.container_log_max_mib << 20,
        log_max_files=settings.container_log_max_files,
        passed_through=settings.pass_environment,
    )
