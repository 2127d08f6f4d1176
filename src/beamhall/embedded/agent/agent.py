"""The node agent: the kubelet of this machine. It makes Pods that are bound to its node run, and reports them.

``Agent.run`` follows Pods and Services and gives each Pod a worker (``pods``). It reaches everything through a
``Client`` and must not know the API server, the store or the controllers.

Read next: ``lifecycle`` (what to do), ``status`` (what to report), ``pods`` (doing it), ``sandbox`` (processes).
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from pathlib import Path

import structlog

from beamhall.client.protocol import Client
from beamhall.client.reflector import Removed, Replaced, Upserted, reflect
from beamhall.embedded.agent.devices import Devices, find_gpus
from beamhall.embedded.agent.directory import PodDirectory, pod_directories
from beamhall.embedded.agent.events import EventRecorder
from beamhall.embedded.agent.facts import has_ended, on_host_network, spec_of
from beamhall.embedded.agent.following import Following
from beamhall.embedded.agent.images import Catalog
from beamhall.embedded.agent.launching import passed_variables
from beamhall.embedded.agent.lifecycle import grace_period_s
from beamhall.embedded.agent.limits.limits import Limits, take_place
from beamhall.embedded.agent.limits.machine import Pressure, pressure
from beamhall.embedded.agent.limits.metering import Metering
from beamhall.embedded.agent.limits.running import Running
from beamhall.embedded.agent.network import Addresses, Names
from beamhall.embedded.agent.node import HOST_IP, NodeReporter, allocatable_of, node_object, read_machine
from beamhall.embedded.agent.pods import PodWorker
from beamhall.embedded.agent.reclaiming import Reclaiming
from beamhall.embedded.agent.sandbox import Sandboxes
from beamhall.embedded.agent.security import Service
from beamhall.embedded.agent.services import Services
from beamhall.embedded.agent.settings import AgentSettings
from beamhall.embedded.agent.subnets import Subnet
from beamhall.embedded.agent.tools import Tools
from beamhall.embedded.agent.volumes import Roots, sweep_memory
from beamhall.kernel.clock import Clock
from beamhall.kernel.errors import Conflict, ServiceUnavailable, Timeout, TooManyRequests
from beamhall.kernel.kinds import POD
from beamhall.kernel.objects import ReadOnlyObject, uid_of

_HOSTS_DELAY_S = 0.02
_AHEAD = 1_000  # Pods without a node that have an address ahead: addresses must not run out over a long queue
_DISK_RETRY_S = 2.0
_log = structlog.get_logger(__name__)


class Agent:
    """Runs the Pods of one node as local processes.

    Args:
        client: The API, as the node's user.
        catalog: Gives the environment that stands for an image.
        directory: The data directory; ``pods``, ``volumes`` and ``network`` in it are the agent's.
        settings: What can be set.
        clock: The time.
        sandboxes: Starts processes; None: makes its own.

    Attributes:
        node_name: What Pods are bound to.
        clock: The time.
        sandboxes: Starts processes.
        metering: Knows what the node and its Pods use.
    """

    def __init__(
        self,
        client: Client,
        catalog: Catalog,
        directory: Path,
        settings: AgentSettings,
        clock: Clock,
        sandboxes: Sandboxes | None = None,
    ) -> None:
        self.node_name = settings.node_name or os.uname().nodename.lower()
        self.clock = clock
        self.sandboxes = sandboxes or Sandboxes()
        self._client = client
        self._catalog = catalog
        self._directory = directory
        self._settings = settings
        self._workers: dict[str, PodWorker] = {}
        self._unbound: set[str] = set()
        self._ready = asyncio.Event()
        self._stale = asyncio.Event()
        self._tools: Tools | None = None
        self._is_stopping = False
        self.metering = Metering(self.node_name, clock, self._running, settings.usage_period_s)

    @property
    def ready(self) -> bool:
        """Whether the node is registered and every Pod of before is watched again."""
        return self._ready.is_set()

    async def wait_ready(self) -> None:
        """Wait until ``ready``."""
        await self._ready.wait()

    def worker_of(self, uid: str) -> PodWorker | None:
        """Give the worker of a Pod, if it is on this node."""
        return self._workers.get(uid)

    @property
    def n_running_pods(self) -> int:
        """How many Pods have processes now."""
        return sum(worker.is_running for worker in self._workers.values())

    def _running(self) -> Sequence[Running]:
        return [running for worker in self._workers.values() for running in worker.running()]

    def _pressure(self) -> Pressure:
        return pressure(self._directory)

    async def run(self) -> None:
        """Work until cancelled. Pods go on running then, and are taken over by the next ``run``."""
        async with contextlib.AsyncExitStack() as stack:
            place = await take_place(self._directory, is_wanted=self._settings.cgroups)  # before any process is started
            self._limits = Limits(place, self._settings.pod_pids_limit, self._running, self.metering)
            await self.sandboxes.start()
            stack.push_async_callback(self.sandboxes.close)
            subnet = stack.enter_context(contextlib.closing(Subnet(self._settings.pod_network, self._directory)))
            tools = self._tools = await self._make_tools(subnet)
            self._restore(tools)
            await asyncio.to_thread(sweep_memory)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(tools.recorder.run())
                services = Services(self._client, self._directory, tools.names, tools.recorder, self._stale.set)
                tasks.create_task(services.run())
                tasks.create_task(Reclaiming(self._client, tools.roots).run())
                tasks.create_task(tools.limits.run())
                tasks.create_task(self._keep_names(tools))
                tasks.create_task(tools.following.run())
                reporter = NodeReporter(self._client, self.clock, self._settings, self._node, self._pressure)
                await _persistently(reporter.register)
                tasks.create_task(reporter.beat())
                await services.seen.wait()
                await self._follow_pods(tools, tasks)

    async def stop_pods(self, reason: str = "Terminated", message: str = "") -> None:
        """End every Pod for good, each within its grace period, and wait until that is reported.

        Pods that are bound from now on, for instance to replace these, wait for the next ``run``.
        """
        self._is_stopping = True
        message = message or "Pod was terminated in response to imminent node shutdown."
        workers = list(self._workers.values())
        for worker in workers:
            worker.stop(reason, message, grace_period_s(worker.pod))
        for worker in workers:
            await worker.wait_stopped()
        if self._tools is not None:
            await self._tools.recorder.flush()

    async def _make_tools(self, subnet: Subnet) -> Tools:
        gpus = await asyncio.to_thread(find_gpus, self._settings.gpus)
        machine = await asyncio.to_thread(read_machine, self._directory, self._limits.bounds)
        devices = Devices(gpus, self._settings.gpu_shared_by)
        self._node = node_object(self.node_name, machine, devices, self._settings.max_pods)
        return Tools(
            client=self._client,
            catalog=self._catalog,
            sandboxes=self.sandboxes,
            recorder=EventRecorder(self._client, self.clock, self.node_name),
            clock=self.clock,
            settings=self._settings,
            addresses=Addresses(subnet.network),
            names=Names(self._directory / "network", _host_names()),
            devices=devices,
            service=_service(self.sandboxes),
            following=Following(self._client),
            roots=Roots(self._directory / "volumes", self._settings.allow_host_path),
            allocatable=allocatable_of(machine, devices, self._settings.max_pods),
            passed=passed_variables(self._settings, os.environ),
            limits=self._limits,
        )

    @property
    def _pods(self) -> Path:
        return self._directory / "pods"

    def _restore(self, tools: Tools) -> None:
        """Take in addresses and GPUs that Pods had before, ahead of giving out any."""
        for own in pod_directories(self._pods):
            snapshot = own.snapshot()
            if snapshot is not None:
                tools.addresses.restore(own.uid, snapshot.address)
                tools.devices.restore(own.uid, own.devices())

    async def _keep_names(self, tools: Tools) -> None:
        """Rewrite hosts files a moment after something changed, so that a burst is written once."""
        while True:
            await self._stale.wait()
            await asyncio.sleep(_HOSTS_DELAY_S)
            self._stale.clear()
            try:
                tools.names.flush()
            except OSError as error:  # a full disk: names that were written stay good, the rest is tried again
                _log.warning("names not written", why=str(error))
                await asyncio.sleep(_DISK_RETRY_S)
                self._stale.set()

    async def _follow_pods(self, tools: Tools, tasks: asyncio.TaskGroup) -> None:
        """Follow all Pods: those that are not bound yet get an address, so that names resolve once they start."""
        async with aclosing(reflect(self._client, POD)) as changes:
            async for change in changes:
                match change:
                    case Replaced(pods):
                        self._replace(tools, tasks, pods)
                    case Upserted(pod):
                        self._see(tools, tasks, pod)
                    case Removed(pod):
                        self._lose(tools, uid_of(pod))
                    case _:
                        continue
                self._stale.set()

    def _replace(self, tools: Tools, tasks: asyncio.TaskGroup, pods: Sequence[ReadOnlyObject]) -> None:
        there = {uid_of(pod) for pod in pods}
        for uid in [uid for uid in (*self._workers, *self._unbound) if uid not in there]:
            self._lose(tools, uid)
        for pod in pods:
            self._see(tools, tasks, pod)
        if not self._ready.is_set():
            self._end_forgotten(tools, tasks, there)
            self._ready.set()

    def _end_forgotten(self, tools: Tools, tasks: asyncio.TaskGroup, there: set[str]) -> None:
        """End Pods whose objects went while nobody looked; only their directories tell of them."""
        for own in pod_directories(self._pods):
            if own.uid in there or own.uid in self._workers:
                continue
            snapshot = own.snapshot()
            if snapshot is None:
                own.remove()
            else:
                worker = PodWorker(snapshot.pod, own, tools, gone_at=self.clock.now())
                self._begin(worker, tasks)

    def _see(self, tools: Tools, tasks: asyncio.TaskGroup, pod: ReadOnlyObject) -> None:
        uid = uid_of(pod)
        node = spec_of(pod).get("nodeName")
        if node and node != self.node_name:
            if uid in self._unbound:
                self._lose(tools, uid)
            return
        if not node and uid not in self._unbound and len(self._unbound) >= _AHEAD:
            return
        choose = tools.addresses.of if node else tools.addresses.early
        address = "" if has_ended(pod) else HOST_IP if on_host_network(pod) else choose(uid)
        tools.names.set_pod(pod, address)
        if not node:
            self._unbound.add(uid)
            return
        self._unbound.discard(uid)
        worker = self._workers.get(uid)
        if worker is not None:
            worker.update(pod)
        elif not self._is_stopping:
            self._begin(PodWorker(pod, PodDirectory(self._pods, uid), tools), tasks)

    def _lose(self, tools: Tools, uid: str) -> None:
        tools.names.remove_pod(uid)
        worker = self._workers.get(uid)
        if worker is not None:
            worker.vanish()
        elif uid in self._unbound:
            self._unbound.discard(uid)
            tools.addresses.release(uid)

    def _begin(self, worker: PodWorker, tasks: asyncio.TaskGroup) -> None:
        self._workers[worker.own.uid] = worker
        tasks.create_task(self._work(worker))

    async def _work(self, worker: PodWorker) -> None:
        await worker.run()
        self._workers.pop(worker.own.uid, None)


async def _persistently(write: Callable[[], Awaitable[object]]) -> None:
    """Try a write until the API takes it: without the Node nothing can be bound to it."""
    delay_s = 0.1
    while True:
        try:
            await write()
        except (ServiceUnavailable, Timeout, TooManyRequests, Conflict):
            await asyncio.sleep(delay_s)
            delay_s = min(10.0, 2 * delay_s)
        else:
            return


def _service(sandboxes: Sandboxes) -> Service:
    has_mounts = sandboxes.capabilities.mounts.works
    return Service(os.geteuid(), os.getegid(), frozenset((os.getegid(), *os.getgroups())), has_mounts)


def _host_names() -> str:
    try:
        return Path("/etc/hosts").read_text(encoding="utf-8")
    except OSError:
        return "127.0.0.1\tlocalhost\n"
