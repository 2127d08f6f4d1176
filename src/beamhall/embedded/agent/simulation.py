"""Simulated nodes, for studies of scale: Node objects whose Pods do nothing but say that they run, and end.

A Pod on one runs at once. It ends after ``beamhall.io/simulated-run`` (such as ``30s``), with the exit code of
``beamhall.io/simulated-exit-code``; without that annotation it runs until it is deleted. Statuses are written many at
a time, so that they share commits. What a Pod's status is to be is ``simulated_pods``.
"""

import asyncio
import contextlib
import heapq
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import structlog

from beamhall.client.protocol import Client, Selection
from beamhall.client.reflector import Removed, Replaced, Upserted, reflect
from beamhall.embedded.agent.simulated_pods import LABEL, TAINT, Step, next_step, simulated_node
from beamhall.kernel.clock import Clock
from beamhall.kernel.errors import AlreadyExists, ApiError, Conflict, NotFound
from beamhall.kernel.kinds import NODE, POD
from beamhall.kernel.objects import ReadOnlyObject, name_of, namespace_of, uid_of

AT_ONCE = 4
"""Statuses that are under way together: enough to share commits, few enough to leave the way to the scheduler's."""

_RETRY_S = 0.5
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SimulatedNodes:
    """Which nodes are simulated.

    Attributes:
        number: How many.
        resources: What each has, by resource name, as Kubernetes writes quantities.
        is_open: Whether every Pod may go there. If not, they have a taint, and only Pods that tolerate it come.
    """

    number: int = 0
    resources: dict[str, str] = field(default_factory=lambda: {"cpu": "32", "memory": "128Gi", "pods": "1000"})
    is_open: bool = False


class Simulation:
    """Keeps the simulated nodes and their Pods. ``run`` it once.

    Args:
        client: The API.
        wanted: Which nodes there are to be; others that an earlier run has left are removed.
        clock: The time.
    """

    def __init__(self, client: Client, wanted: SimulatedNodes, clock: Clock) -> None:
        self._client = client
        self._wanted = wanted
        self._clock = clock
        self._names = [f"simulated-{number:04d}" for number in range(wanted.number)]
        self._pods: dict[str, ReadOnlyObject] = {}
        self._todo: dict[str, None] = {}
        self._due: list[tuple[float, str]] = []
        self._wake = asyncio.Event()
        self._ready = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether every node is there."""
        return self._ready.is_set()

    async def wait_ready(self) -> None:
        """Wait until ``ready``."""
        await self._ready.wait()

    async def run(self) -> None:
        """Make the nodes, then be their agent until cancelled; with none to simulate, only clean up."""
        await self._remove_others()
        for name in self._names:
            await self._register(name)
        self._ready.set()
        if not self._names:
            return
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._follow())
            parts.create_task(self._write())

    async def _remove_others(self) -> None:
        page = await self._client.list(NODE, Selection(labels=LABEL))
        for node in page.items:
            if name_of(node) not in self._names:
                with contextlib.suppress(NotFound):
                    await self._client.delete(NODE, name_of(node), uid=uid_of(node))

    async def _register(self, name: str) -> None:
        taints = [] if self._wanted.is_open else [TAINT]
        node = simulated_node(name, self._wanted.resources, taints, self._clock.now())
        try:
            await self._client.create(NODE, node)
        except AlreadyExists:
            there = await self._client.get(NODE, name)
            others = [t for t in (there.get("spec") or {}).get("taints") or () if t.get("key") != TAINT["key"]]
            await self._client.patch(NODE, name, "", {"spec": {"taints": [*others, *taints] or None}})
            current = there.get("status") or {}
            gone = {part: dict.fromkeys(current.get(part) or {}) for part in ("capacity", "allocatable")}
            status = {**node["status"], **{part: {**gone[part], **node["status"][part]} for part in gone}}
            await self._client.patch(NODE, name, "", {"status": status}, subresource="status")

    async def _follow(self) -> None:
        names = frozenset(self._names)
        async with aclosing(reflect(self._client, POD)) as changes:
            async for change in changes:
                match change:
                    case Replaced(pods):
                        self._replace([pod for pod in pods if (pod.get("spec") or {}).get("nodeName") in names])
                    case Upserted(pod) if (pod.get("spec") or {}).get("nodeName") in names:
                        self._see(pod)
                    case Removed(pod):
                        self._pods.pop(uid_of(pod), None)

    def _replace(self, pods: Sequence[ReadOnlyObject]) -> None:
        self._pods = {}
        for pod in pods:
            self._see(pod)

    def _see(self, pod: ReadOnlyObject) -> None:
        uid = uid_of(pod)
        self._pods[uid] = pod
        if next_step(pod, self._clock.now()) is not None:
            self._add(uid)

    def _add(self, uid: str) -> None:
        self._todo[uid] = None
        self._wake.set()

    async def _write(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            slots = asyncio.Semaphore(AT_ONCE)
            while True:
                await self._until_due()
                while self._todo:
                    await slots.acquire()
                    uid = next(iter(self._todo), "")
                    self._todo.pop(uid, None)
                    tasks.create_task(self._advance(uid, slots))

    async def _until_due(self) -> None:
        """Wait until there is something to do."""
        now_s = self._clock.monotonic()
        while self._due and self._due[0][0] <= now_s:
            self._add(heapq.heappop(self._due)[1])
        if self._todo:
            return
        self._wake.clear()
        try:
            async with asyncio.timeout(self._due[0][0] - now_s if self._due else None):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _advance(self, uid: str, slots: asyncio.Semaphore) -> None:
        """Do the next step of a Pod's life, or put it off until it is due."""
        try:
            pod = self._pods.get(uid)
            step = next_step(pod, self._clock.now()) if pod is not None else None
            if pod is None or step is None:
                return
            if step.after_s > 0:
                self._put_off(uid, step.after_s)
            else:
                await self._do(pod, step)
        except (NotFound, Conflict):
            return  # it is gone or was written meanwhile; the change is on its way
        except ApiError as error:
            _log.warning("simulated Pod not written", uid=uid, error=error.message)
            self._put_off(uid, _RETRY_S)
        finally:
            slots.release()

    def _put_off(self, uid: str, delay_s: float) -> None:
        heapq.heappush(self._due, (self._clock.monotonic() + delay_s, uid))
        self._wake.set()

    async def _do(self, pod: ReadOnlyObject, step: Step) -> None:
        name, namespace, uid = name_of(pod), namespace_of(pod), uid_of(pod)
        if step.status is None:
            await self._client.delete(POD, name, namespace, uid=uid, grace_period_s=0)
            return
        patch = {"metadata": {"uid": uid}, "status": step.status}
        written = await self._client.patch(POD, name, namespace, patch, subresource="status")
        if uid in self._pods:
            self._see(written)
