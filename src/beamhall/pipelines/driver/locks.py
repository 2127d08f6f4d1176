"""Which runs may go on at once: mutexes and semaphores that pipelines name, each in its namespace.

A semaphore's limit is what its key says in the ConfigMap ``semaphore-config`` of the namespace; without one it is 1.
Both kinds of locks are taken together or not at all, so that no two runs wait for each other. What runs hold is known
to the running driver alone: after a start it is made anew of the runs that had begun. Read on in ``driver``.

Source: ``kubeflow/pipelines`` pull requests 11340 and 11370; Argo Workflows, "Synchronization".
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from beamhall.client.protocol import Client
from beamhall.history.records import Moment
from beamhall.kernel.errors import BadRequest, NotFound
from beamhall.kernel.kinds import CONFIG_MAP
from beamhall.pipelines.spec.platform import PipelineConfig

SEMAPHORES = "semaphore-config"
"""The ConfigMap of a namespace that holds the limits of its semaphores."""

_Lock = tuple[str, str, str]


class Locks:
    """The locks of one service.

    Args:
        client: Where limits are.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._holders: dict[_Lock, set[str]] = {}
        self._waiting: dict[str, tuple[Moment, Sequence[_Lock]]] = {}

    async def take(self, run_id: str, namespace: str, config: PipelineConfig, created_at: Moment) -> bool:
        """Take all locks that a run needs, or none: then it waits for its turn.

        Args:
            run_id: The run; one that has its locks keeps them.
            namespace: The run's.
            config: Which locks its pipeline names.
            created_at: Of the run: who came first goes first.

        Raises:
            ApiError: The limit cannot be read, or is no number.
        """
        limits: dict[_Lock, int] = {}
        if config.mutex_name:
            limits["mutex", namespace, config.mutex_name] = 1
        if config.semaphore_key:
            limits["semaphore", namespace, config.semaphore_key] = await self._limit(namespace, config.semaphore_key)
        others = {lock: self._holders.get(lock, set()) - {run_id} for lock in limits}
        if any(len(others[lock]) >= limit for lock, limit in limits.items()):
            self._waiting[run_id] = created_at, tuple(limits)
            return False
        self.force(run_id, namespace, config)
        return True

    def force(self, run_id: str, namespace: str, config: PipelineConfig) -> None:
        """Take all locks that a run needs, whoever holds them: for one that had begun, or that is to end."""
        for kind, name in (("mutex", config.mutex_name), ("semaphore", config.semaphore_key)):
            if name:
                self._holders.setdefault((kind, namespace, name), set()).add(run_id)
        self._waiting.pop(run_id, None)

    def give_back(self, run_id: str) -> AbstractSet[str]:
        """Give back what a run holds; gives the runs whose turn it is: the oldest that waits, for each lock."""
        freed = {lock for lock, holders in self._holders.items() if run_id in holders}
        for lock in freed:
            self._holders[lock].discard(run_id)
            if not self._holders[lock]:
                del self._holders[lock]
        self._waiting.pop(run_id, None)
        told: set[str] = set()
        for lock in freed:
            waiting = [(since, other) for other, (since, locks) in self._waiting.items() if lock in locks]
            told.update(other for _, other in sorted(waiting)[:1])
        return told

    async def _limit(self, namespace: str, key: str) -> int:
        try:
            data = (await self._client.get(CONFIG_MAP, SEMAPHORES, namespace)).get("data") or {}
        except NotFound:
            return 1
        text = str(data.get(key, "1")).strip()
        if not text.isdecimal():
            raise BadRequest(
                f"ConfigMap {SEMAPHORES} of namespace {namespace}: key {key!r} is {text!r}; it must be how many runs "
                "may go on at once, such as '2'"
            )
        return int(text)
