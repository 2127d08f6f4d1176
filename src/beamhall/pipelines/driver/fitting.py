"""Looking at the cluster's nodes, so that steps which no node could run as they are can be made to fit. See ``steps``.

Nodes are looked at again after some seconds, and only when a step asks for something.
"""

from collections.abc import Sequence

from beamhall.client.protocol import Client
from beamhall.kernel.clock import Clock
from beamhall.kernel.kinds import NODE
from beamhall.kernel.objects import Object, ReadOnlyObject
from beamhall.pipelines.steps.fitting import fitted

_FRESH_S = 10.0


class Fitting:
    """Makes Pods fit the nodes.

    Args:
        client: Where nodes are.
        clock: Says how old what was read is.
        is_wanted: Whether it does; if not, every Pod stays as it is.
    """

    def __init__(self, client: Client, clock: Clock, *, is_wanted: bool) -> None:
        self._client = client
        self._clock = clock
        self._is_wanted = is_wanted
        self._nodes: Sequence[ReadOnlyObject] = ()
        self._read_at = 0.0

    async def of(self, pod: Object) -> tuple[Object, Sequence[str]]:
        """Give a Pod that some node can run, and what it does without, in words.

        Raises:
            ApiError: The nodes cannot be read.
        """
        if not self._is_wanted or not _asks_for_something(pod):
            return pod, ()
        now = self._clock.monotonic()
        if not self._nodes or now - self._read_at > _FRESH_S:
            self._nodes, self._read_at = (await self._client.list(NODE)).items, now
        return fitted(pod, self._nodes)


def _asks_for_something(pod: Object) -> bool:
    spec = pod["spec"]
    containers = (*spec["containers"], *spec.get("initContainers", ()))
    return bool(spec.get("nodeSelector")) or any(container.get("resources") for container in containers)
