"""The training jobs of a service, as people look at them: the API of ``/api/jobs``, and their progress."""

from starlette.types import ASGIApp

from beamhall.app.cluster import Cluster
from beamhall.embedded.api.authorization import Attributes
from beamhall.gateway.jobs.application import JobsApi
from beamhall.kernel.clock import Clock
from beamhall.kernel.identity import User
from beamhall.kernel.kinds import Kind
from beamhall.runtime.progress import ProgressReader


class Jobs:
    """What is above the planners of training jobs.

    Attributes:
        app: The API, for ``/api/jobs``.
    """

    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        def require(
            user: User, verb: str, kind: Kind, namespace: str, name: str = "", *, subresource: str = ""
        ) -> None:
            cluster.require_access(user, Attributes(verb, kind.group, kind.plural, namespace, name, subresource))

        self._cluster = cluster
        self._api = JobsApi(cluster.client, require)
        self._progress = ProgressReader(cluster.client, clock)
        self.app: ASGIApp = self._api.application()

    async def run(self) -> None:
        """Read the progress of jobs until cancelled, once the cluster is there."""
        try:
            await self._cluster.wait_until_ready()
            await self._progress.run()
        finally:
            self._api.closing.set()
