"""One worker a Pod: it looks, asks ``lifecycle`` what to do, does it, and looks again.

All of a Pod's state in memory belongs to its worker, and everything that matters is on disk too (``directory``), so a
worker may be lost at any moment. What is decided and what is reported are pure (``lifecycle``, ``status``); this module
only carries out. Next: ``agent``, which makes the workers.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from beamhall.embedded.agent.api_access import API_SERVICE
from beamhall.embedded.agent.care import Care
from beamhall.embedded.agent.devices import gpus_wanted
from beamhall.embedded.agent.directory import PodDirectory, Snapshot
from beamhall.embedded.agent.environment import ConfigError
from beamhall.embedded.agent.facts import (
    ContainerFacts,
    Ending,
    PodFacts,
    containers,
    has_ended,
    init_containers,
    is_brief,
    on_host_network,
    phase_of,
)
from beamhall.embedded.agent.handlers import Target
from beamhall.embedded.agent.launching import Ground, agent_fields, container_spec, read_sources
from beamhall.embedded.agent.lifecycle import (
    BeginEnd,
    CallPreStop,
    CleanUp,
    Delete,
    PrepareImage,
    PrepareVolumes,
    Start,
    Step,
    Terminate,
    decide,
    grace_period_s,
    outcome,
)
from beamhall.embedded.agent.limits.limits import tell_end
from beamhall.embedded.agent.limits.running import Running
from beamhall.embedded.agent.node import HOST_IP
from beamhall.embedded.agent.podvolumes import PodVolumes
from beamhall.embedded.agent.probing import Health
from beamhall.embedded.agent.projections import volumes_of
from beamhall.embedded.agent.pulling import Pulling
from beamhall.embedded.agent.reporting import PATIENCE_S, PATIENCE_WITH_BRIEF_ONES_S, StatusReporter
from beamhall.embedded.agent.runs import Run, Runs
from beamhall.embedded.agent.sandbox import StartFailed
from beamhall.embedded.agent.sandbox.exec import run_command
from beamhall.embedded.agent.security import security_of, unmet_message
from beamhall.embedded.agent.status import back_off_message, pod_status, reported_health
from beamhall.embedded.agent.tools import Tools
from beamhall.embedded.agent.volumes import remove_memory
from beamhall.kernel.errors import ApiError, NotFound
from beamhall.kernel.kinds import POD
from beamhall.kernel.objects import Object, ReadOnlyObject, name_of, namespace_of, revision_of, uid_of

_DISK_RETRY_S = 2.0
_EVICTION_GRACE_S = 1.0
_MESSAGES_BYTES = 12 * 1024
"""How much the messages of all containers of a Pod may have, as in a kubelet."""
_FORGET_S = 1.0
_LEAST_GRACE_S = 2.0
"""What a container gets for its end, even where a preStop hook or others' ends took all of the grace period."""


class PodWorker:
    """Makes one Pod run and reports it, until its object and its processes are gone.

    Args:
        pod: The object as first seen.
        own: Its directory.
        tools: What it works with.
        gone_at: When the object was seen to be gone, for a Pod that only its directory tells of.
    """

    def __init__(self, pod: ReadOnlyObject, own: PodDirectory, tools: Tools, gone_at: datetime | None = None) -> None:
        self.pod = pod
        self.own = own
        self._tools = tools
        self._containers = {str(c["name"]): c for c in (*init_containers(pod), *containers(pod))}
        share = _MESSAGES_BYTES // max(1, len(self._containers))
        restart = tools.settings.restart
        self._runs = Runs(own, tools.sandboxes, tools.clock, restart, _talkative(self._containers), share)
        self._facts = PodFacts(gone_at=gone_at)
        self._wake = asyncio.Event()
        self._pulling = Pulling(lambda: self.pod, self._containers, tools, self._wake.set)
        self._care = Care(lambda: self.pod, tools.recorder, tools.clock, self._wake.set)
        self._volumes = PodVolumes(lambda: self.pod, own, tools)
        self._idle = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None
        self._forgetting: asyncio.Task[None] | None = None
        self._is_done = False
        patience_s = PATIENCE_WITH_BRIEF_ONES_S if is_brief(pod) else PATIENCE_S
        self._reporter = StatusReporter(tools.client, lambda: self.pod, self._status, self.update, patience_s)

    # -- what the agent tells it

    def update(self, pod: ReadOnlyObject) -> None:
        """Take in a newer state of the object; an older one is ignored."""
        if revision_of(pod) >= revision_of(self.pod):
            self.pod = pod
            self._volumes.notice(pod)
            self._wake.set()

    def vanish(self) -> None:
        """Take in that the object is gone."""
        if self._facts.gone_at is None:
            self._facts = replace(self._facts, gone_at=self._tools.clock.now())
            self._wake.set()
        if phase_of(self.pod) == "Succeeded":
            self._tools.recorder.forget(self.pod)

    def stop(self, reason: str, message: str, grace_s: float) -> None:
        """End the Pod for good, for instance because the node stops."""
        if self._facts.ending is None and not has_ended(self.pod):
            kill_at = self._tools.clock.now() + timedelta(seconds=grace_s)
            self._begin_end(Ending(kill_at, reason, message))
            self._wake.set()

    async def wait_stopped(self) -> None:
        """Wait until nothing of the Pod runs and that is reported."""
        while self._current().running() or not (self._is_done or has_ended(self.pod)):
            self._idle.clear()
            await self._idle.wait()

    @property
    def is_running(self) -> bool:
        """Whether a process of the Pod runs."""
        return bool(self._current().running())

    def running(self) -> Iterator[Running]:
        """Give the containers that run."""
        for name, container in self._containers.items():
            for run in self._runs.of(name)[-1:]:
                if run.sandbox.exit is None:
                    yield Running(self.pod, container, run.sandbox, run.attempt().started_at)

    def runs_of(self, container: str) -> tuple[Run, ...]:
        """Give the runs of a container that are kept, oldest first."""
        return tuple(self._runs.of(container))

    def status(self) -> Object:
        """Give the status as it is on this machine, which the API may not have yet."""
        return self._status()

    # -- its loop

    async def run(self) -> None:
        """Work until the object is gone and the directory is removed."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await self._despite_disk(self._take_on)
            reporting = tasks.create_task(self._reporter.run())
            while not self._is_done:
                self._wake.clear()
                facts = self._current()
                decision = decide(self.pod, facts, self._tools.clock.now(), self._tools.pace)
                for step in decision.steps:
                    await self._despite_disk(partial(self._carry_out, step))
                if not decision.steps:  # the process first, then the report of it
                    self._reporter.notify(is_pressing=self._is_over(facts) or facts.is_troubled())
                    self._idle.set()
                    self._let_go(facts)
                    await self._sleep_until(decision.wake_at)
            reporting.cancel()
            if self._forgetting is not None:
                self._forgetting.cancel()
            self._pulling.close()
            self._care.close()
            self._volumes.close()
        self._idle.set()

    async def _despite_disk(self, act: Callable[[], Awaitable[None]]) -> None:
        """Do something that writes to the disk, again and again while it is full or broken: the Pod waits, no more."""
        while True:
            try:
                await act()
            except OSError as error:
                message = f"{error.strerror or error}: {error.filename or self.own.path}"
                self._tools.recorder.warning(self.pod, "FailedSync", message)
                await asyncio.sleep(_DISK_RETRY_S)
            else:
                return

    async def _sleep_until(self, moment: datetime | None) -> None:
        delay_s = None if moment is None else max(0.0, (moment - self._tools.clock.now()).total_seconds())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._wake.wait()

    async def _take_on(self) -> None:
        """Take over what is on disk of the Pod, or make its directory before anything else is done."""
        tools, uid = self._tools, self.own.uid
        snapshot = self.own.snapshot()
        if snapshot is None:
            address = "" if has_ended(self.pod) else tools.addresses.of(uid)
            snapshot = Snapshot(self.pod, tools.clock.now(), address)
            self._keep(snapshot)
        else:
            await self._runs.adopt(list(self._containers))
            tools.names.file(namespace_of(self.pod), uid)  # what its containers see goes on being kept up to date
        self._facts = replace(
            self._facts,
            started_at=snapshot.started_at,
            address=HOST_IP if on_host_network(self.pod) else snapshot.address,
            ending=self.own.ending(),
            volumes_ready=not volumes_of(self.pod),
        )
        self._volumes.address = self._facts.address
        if self.is_running and self._tasks is not None:
            self._volumes.keep(self._tasks, self._evict, is_stale=True)
        for name in self._containers:
            for run in self._runs.of(name)[-1:]:
                container, is_unwell = self._containers[name], run.is_unwell
                self._watch(name, run, reported_health(self.pod, container, run.number, is_unwell=is_unwell))

    def _keep(self, snapshot: Snapshot) -> None:
        self.own.create(snapshot)
        ran_before = any(s.get("containerID") for s in (self.pod.get("status") or {}).get("containerStatuses") or ())
        if ran_before and not has_ended(self.pod):
            message = f"the directory of this Pod is no longer on the node: {self.own.path}"
            self.own.keep_ending(Ending(snapshot.started_at, "Lost", message))

    def _current(self) -> PodFacts:
        """Put together what is known now."""
        known = {name: self._container_facts(name) for name in self._containers}
        return replace(self._facts, containers=known, volumes_trouble=self._volumes.trouble)

    def _container_facts(self, name: str) -> ContainerFacts:
        prepared = self._pulling.prepared.get(name)
        return ContainerFacts(
            attempts=self._runs.attempts(name),
            quick_ends=self._runs.quick_ends(name),
            preparation=self._pulling.preparation(name),
            image_id=prepared.prefix.name if prepared is not None else "",
            trouble=self._pulling.troubles.get(name),
            health=self._care.health(name),
            pre_stop=self._care.pre_stop(name),
        )

    def _status(self) -> Object:
        return pod_status(self.pod, self._current(), self._tools.clock.now(), self._tools.pace, HOST_IP)

    def _is_over(self, facts: PodFacts) -> bool:
        """Whether nothing follows but the Pod's end."""
        return not facts.running() and (facts.ending is not None or outcome(self.pod, facts) is not None)

    def _let_go(self, facts: PodFacts) -> None:
        """Give back what a Pod that came to its end by itself no longer needs."""
        if not (self._volumes.is_kept or self._tools.devices.given(self.own.uid)):
            return
        if facts.running() or not (has_ended(self.pod) or outcome(self.pod, facts) is not None):
            return
        if self._volumes.is_kept and self._tasks is not None:
            self._volumes.close()
            self._forgetting = self._tasks.create_task(self._forget_memory())
        if self._tools.devices.given(self.own.uid):
            self._tools.devices.release(self.own.uid)
            self.own.keep_devices({})

    async def _forget_memory(self) -> None:
        """Give back what is in memory, unless the Pod goes with all it has in a moment."""
        await asyncio.sleep(_FORGET_S)
        await asyncio.to_thread(remove_memory, self.own.uid)

    # -- its steps

    async def _carry_out(self, step: Step) -> None:
        assert self._tasks is not None
        match step:
            case Start(name, number):
                await self._start(name, number)
            case PrepareImage(name):
                self._pulling.begin(self._tasks, name)
            case PrepareVolumes():
                await self._prepare_volumes()
            case CallPreStop(name, until, why):
                self._note_health(name, why)
                self._say_killing(name, why)
                self._care.begin_pre_stop(self._tasks, name, until)
            case Terminate(name, kill_at, why):
                self._terminate(name, kill_at, why)
            case BeginEnd(ending):
                self._begin_end(ending)
            case Delete():
                await self._delete()
            case CleanUp():
                await self._clean_up()

    async def _start(self, name: str, number: int) -> None:
        tools, container = self._tools, self._containers[name]
        try:
            ground = self._ground(name)
            fields = agent_fields(self._facts.address, HOST_IP)
            sources = await read_sources(tools.client, self.pod, container, fields, tools.allocatable)
            services, api = tools.names.addressed(namespace_of(self.pod)), tools.names.service(*API_SERVICE)
            sources = replace(sources, services=services, api=api)
            spec = container_spec(self.pod, container, number, ground, sources)
            run = await self._runs.launch(name, number, spec)
        except ConfigError as error:
            self._pulling.trouble(name, "CreateContainerConfigError", str(error), f"Error: {error}")
        except (StartFailed, ApiError, OSError, ValueError) as error:
            self._pulling.trouble(name, "RunContainerError", str(error), f"Error: {error}")
        else:
            self._pulling.troubles.pop(name, None)
            asked = self._facts.terminating
            self._facts = replace(self._facts, terminating={k: v for k, v in asked.items() if k != name})
            self._say_started(name, run)
            self._watch(name, run)
            if number > 1:
                await asyncio.to_thread(self._runs.drop_old, name)

    def _ground(self, name: str) -> Ground:
        tools, container = self._tools, self._containers[name]
        gpus = tools.devices.give(self.own.uid, container)
        if gpus is None:
            raise ConfigError(f"{gpus_wanted(container)} GPUs are asked for, and fewer are free; waiting for others")
        if gpus:
            self.own.keep_devices(tools.devices.given(self.own.uid))
        return Ground(
            own=self.own,
            roots=tools.roots,
            prepared=self._pulling.standing(name),
            address=self._facts.address,
            hosts_file=tools.names.file(namespace_of(self.pod), self.own.uid),
            gpus=gpus,
            settings=tools.settings,
            passed=tools.passed,
            service=tools.service,
            limits=tools.limits,
            installs=self._pulling.installs(name),
            refusal=self._pulling.refusals.get(name, ""),
        )

    def _say_started(self, name: str, run: Run) -> None:
        recorder = self._tools.recorder
        end = run.sandbox.exit
        if end is not None and end.reason == "StartError":
            recorder.warning(self.pod, "Failed", f"Error: {end.message}", container=name)
            return
        recorder.normal(self.pod, "Created", f"Created container {name}", container=name)
        recorder.normal(self.pod, "Started", f"Started container {name}", container=name)
        service = self._tools.service
        if problem := unmet_message(name, security_of(self.pod, self._containers[name], service), service.uid):
            recorder.warning(self.pod, "SecurityContextNotApplied", problem, container=name)

    def _watch(self, name: str, run: Run, adopted: Health | None = None) -> None:
        if run.sandbox.exit is None and self._tasks is not None:
            self._tasks.create_task(self._wait_for_end(name, run))
            execute = partial(run_command, self._tools.sandboxes, run.sandbox)
            target = Target(self._containers[name], self._facts.address, execute)
            self._care.begin(self._tasks, run, target, adopted)
            self._tools.limits.notice(self._containers[name])

    async def _wait_for_end(self, name: str, run: Run) -> None:
        await run.wait()
        self._care.end(name, run)
        tell_end(self._tools.recorder, self.pod, self._containers[name], run.sandbox.exit)
        delay_s = self._tools.settings.restart.delay_s(self._runs.quick_ends(name) - 1)
        if delay_s > 0 and self._facts.ending is None and outcome(self.pod, self._current()) is None:
            message = back_off_message(self.pod, name, delay_s).replace("back-off", "Back-off", 1)
            self._tools.recorder.warning(self.pod, "BackOff", message, container=name, slot="restart")
        self._wake.set()

    async def _prepare_volumes(self) -> None:
        assert self._tasks is not None
        if await self._volumes.prepare():
            self._facts = replace(self._facts, volumes_ready=True)
            self._volumes.keep(self._tasks, self._evict)

    def _evict(self, message: str) -> None:
        self._tools.recorder.warning(self.pod, "Evicted", message)
        self.stop("Evicted", message, _EVICTION_GRACE_S)

    def _begin_end(self, ending: Ending) -> None:
        self.own.keep_ending(ending)
        self._facts = replace(self._facts, ending=ending)
        if ending.reason == "DeadlineExceeded":
            self._tools.recorder.normal(self.pod, "DeadlineExceeded", ending.message)

    def _note_health(self, name: str, why: str) -> None:
        if why:
            self._runs.mark_unwell(name)

    def _say_killing(self, name: str, why: str) -> None:
        if self._facts.gone_at is None:
            self._tools.recorder.normal(self.pod, "Killing", why or f"Stopping container {name}", container=name)

    def _terminate(self, name: str, kill_at: datetime, why: str) -> None:
        assert self._tasks is not None
        self._note_health(name, why)
        hook, grace_s = self._care.pre_stop(name), (kill_at - self._tools.clock.now()).total_seconds()
        if name not in self._facts.terminating:
            if hook is None or hook.until is None:
                self._say_killing(name, why)
            if self._facts.gone_at is None and grace_period_s(self.pod) > 0:
                grace_s = max(_LEAST_GRACE_S, grace_s)
        self._facts = replace(self._facts, terminating={**self._facts.terminating, name: kill_at})
        self._tasks.create_task(self._kill(self._runs.of(name)[-1], max(0.0, grace_s)))

    async def _kill(self, run: Run, grace_s: float) -> None:
        await run.sandbox.kill(grace_s)
        self._wake.set()

    async def _delete(self) -> None:
        """Report how it ended, then drop the object; the reflector tells when that is done."""
        await self._reporter.flush()
        pod = self.pod
        try:
            await self._tools.client.delete(POD, name_of(pod), namespace_of(pod), uid=uid_of(pod), grace_period_s=0)
        except NotFound:
            self.vanish()
        except ApiError:
            await asyncio.sleep(1)
        else:
            self._facts = replace(self._facts, is_deletion_asked=True)

    async def _clean_up(self) -> None:
        uid = self.own.uid
        self._tools.devices.release(uid)
        self._tools.names.remove_pod(uid)
        await asyncio.to_thread(_remove, self.own)
        self._tools.addresses.release(uid)
        self._is_done = True


def _remove(own: PodDirectory) -> None:
    own.remove()
    remove_memory(own.uid)


def _talkative(every: Mapping[str, Mapping[str, Any]]) -> frozenset[str]:
    """Give the containers whose last words are the message of their failure."""
    wanted = "FallbackToLogsOnError"
    return frozenset(name for name, c in every.items() if c.get("terminationMessagePolicy") == wanted)
