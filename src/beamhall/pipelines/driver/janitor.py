"""Keeping logs, and deleting Pods whose steps are over: soon if they succeeded, later if people may want to look.

Pods come here once the end of their step is written, and from ``sweep``, which finds those that a crash left. Steps go
before: while they end one after the other, their Pods stay, as long as there are not too many. Bounded: so many at
once, and failed ones only so many and so long. Read on in ``logs``.
"""

import asyncio
import contextlib
import heapq
import itertools
import logging
from collections import deque

import msgspec

from beamhall.client.protocol import Client
from beamhall.kernel.errors import ApiError, BadRequest, NotFound
from beamhall.kernel.kinds import POD
from beamhall.pipelines.driver.files import RootOf
from beamhall.pipelines.driver.logs import keep_log
from beamhall.pipelines.driver.patience import patiently
from beamhall.pipelines.driver.settings import DriverSettings

_log = logging.getLogger(__name__)

_WORKERS = 4
_ATTEMPTS = 5
_BACKLOG = 400
"""How many Pods may wait until no step ends for a moment."""


class Over(msgspec.Struct, frozen=True):
    """A Pod whose step is over.

    Attributes:
        namespace: Where it is.
        name: Its name.
        uid: Its uid; empty: whichever has the name.
        root: The directory of the execution, for its log; empty: the log is not kept.
        kept_s: How long it stays.
    """

    namespace: str
    name: str
    uid: str = ""
    root: str = ""
    kept_s: float = 0.0


class Janitor:
    """Deletes Pods.

    Args:
        client: Where Pods are.
        root_of: Where logs of a namespace's steps are kept.
        settings: How long and how many failed Pods stay.
    """

    def __init__(self, client: Client, root_of: RootOf, settings: DriverSettings) -> None:
        self._client = client
        self._root_of = root_of
        self._settings = settings
        self._logged: deque[Over] = deque()
        self._kept: list[tuple[float, int, Over]] = []  # a heap: a pipeline may say that its Pods go sooner
        self._numbers = itertools.count()
        self._work = asyncio.Semaphore(0)
        self._put_at = 0.0
        self._known: set[tuple[str, str]] = set()

    def put(self, over: Over) -> None:
        """Have the log of a Pod kept, and the Pod deleted when it is time."""
        key = over.namespace, over.name
        if key not in self._known:
            self._known.add(key)
            self._put_at = asyncio.get_running_loop().time()
            self._logged.append(over)
            self._work.release()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(_WORKERS):
                group.create_task(self._run_worker())
            group.create_task(self._run_expiry())

    async def _run_worker(self) -> None:
        while True:
            await self._work.acquire()
            await self._calm()
            await self._finish(self._logged.popleft())

    async def _calm(self) -> None:
        """Wait until no step has ended for a moment, or too many Pods wait."""
        loop = asyncio.get_running_loop()
        left_s = calm_s = self._settings.calm_s
        while len(self._logged) < _BACKLOG and left_s > 0:
            await asyncio.sleep(left_s)
            left_s = self._put_at + calm_s - loop.time()

    async def _run_expiry(self) -> None:
        """Delete failed Pods when they have been kept long enough, or there are too many."""
        while True:
            await asyncio.sleep(1.0)
            now = asyncio.get_running_loop().time()
            while self._kept and (self._kept[0][0] <= now or len(self._kept) > self._settings.failed_pods_kept):
                await self._delete(heapq.heappop(self._kept)[-1])

    async def _finish(self, over: Over) -> None:
        if over.root:
            await self._keep_log(over)
        if over.kept_s > 0:
            due = asyncio.get_running_loop().time() + over.kept_s
            entry = due, next(self._numbers), msgspec.structs.replace(over, root="", kept_s=0.0)
            heapq.heappush(self._kept, entry)
        else:
            await self._delete(over)

    async def _keep_log(self, over: Over) -> None:
        try:
            files = (await self._root_of(over.namespace)).storage
            await patiently(
                lambda: keep_log(self._client, files, over.namespace, over.name, over.root), attempts=_ATTEMPTS
            )
        except (NotFound, BadRequest):
            return  # the Pod is gone, or its container never ran
        except (ApiError, OSError) as error:
            _log.warning("the log of Pod %s/%s could not be kept: %s", over.namespace, over.name, error)

    async def _delete(self, over: Over) -> None:
        try:
            with contextlib.suppress(NotFound):
                await patiently(
                    lambda: self._client.delete(POD, over.name, over.namespace, uid=over.uid, grace_period_s=0),
                    attempts=_ATTEMPTS,
                )
        except ApiError as error:
            _log.warning("Pod %s/%s could not be deleted, and will be later: %s", over.namespace, over.name, error)
        finally:
            self._known.discard((over.namespace, over.name))
