"""Probes and lifecycle hooks of one Pod's containers while they run.

For each run that states any, a task calls its postStart hook and then asks its probes, until the run ends; a run that
states none costs nothing. What came of it is a ``Health`` for each container, on which ``lifecycle`` decides; this
module ends no container. How probes ask is ``handlers``' business, how answers count ``probing``'s.

Source: Kubernetes ``pkg/kubelet/prober``, ``pkg/kubelet/kuberuntime/kuberuntime_container.go`` (hooks).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from beamhall.embedded.agent.events import EventRecorder
from beamhall.embedded.agent.facts import PreStop
from beamhall.embedded.agent.handlers import Answer, HandlerError, Target, ask, call
from beamhall.embedded.agent.probing import (
    WELL,
    Failure,
    Health,
    Probe,
    Tally,
    count,
    initial_health,
    judge,
    probes_of,
)
from beamhall.embedded.agent.runs import Run
from beamhall.kernel.clock import Clock
from beamhall.kernel.objects import ReadOnlyObject, is_being_deleted

Container = Mapping[str, Any]
_TRIES = 3


def hook_of(container: Container, name: str) -> Mapping[str, Any] | None:
    """Give a lifecycle hook of a container, ``postStart`` or ``preStop``, if it has one."""
    found: Mapping[str, Any] | None = (container.get("lifecycle") or {}).get(name)
    return found


@dataclass(slots=True)
class _Cared:
    """One run that is cared for."""

    container: Container
    run: Run
    target: Target
    health: Health
    started: asyncio.Event = field(default_factory=asyncio.Event)
    pre_stop: PreStop | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def cancel(self) -> None:
        """Stop what is under way for it."""
        for task in self.tasks:
            task.cancel()


class Care:
    """Cares for the runs of one Pod. The worker that owns it calls it from one event loop.

    Args:
        pod: Gives the object as last seen.
        recorder: Takes the events.
        clock: The time.
        wake: Is called when a container's health may have changed.
    """

    def __init__(
        self, pod: Callable[[], ReadOnlyObject], recorder: EventRecorder, clock: Clock, wake: Callable[[], None]
    ) -> None:
        self._pod = pod
        self._recorder = recorder
        self._clock = clock
        self._wake = wake
        self._cared: dict[str, _Cared] = {}

    def begin(self, tasks: asyncio.TaskGroup, run: Run, target: Target, adopted: Health | None = None) -> None:
        """Begin to care for a run, if its container states anything to do.

        Args:
            tasks: Where the work is done.
            run: The run; the one before it of the same container has ended.
            target: Its container.
            adopted: For a run that went on while the service was down: its health as last reported.
        """
        container = target.container
        probes, hook = probes_of(container), hook_of(container, "postStart") if adopted is None else None
        health = adopted or initial_health(probes, has_hook=hook is not None)
        if health == WELL and not probes and hook_of(container, "preStop") is None:
            return
        cared = _Cared(container, run, target, health)
        if (before := self._cared.get(str(container["name"]))) is not None:
            before.cancel()
        self._cared[str(container["name"])] = cared
        if cared.health.is_started:
            cared.started.set()
        if probes or hook is not None:
            cared.tasks.append(tasks.create_task(self._tend(cared, probes, hook)))

    def end(self, name: str, run: Run) -> None:
        """Stop caring for a container's run, which has ended."""
        cared = self._cared.get(name)
        if cared is not None and cared.run is run:
            del self._cared[name]
            cared.cancel()

    def close(self) -> None:
        """Stop caring for all."""
        while self._cared:
            self._cared.popitem()[1].cancel()

    def health(self, name: str) -> Health:
        """Give the health of a container's newest run."""
        cared = self._cared.get(name)
        return cared.health if cared is not None else WELL

    def pre_stop(self, name: str) -> PreStop | None:
        """Give what is known of a container's preStop hook; None: it has none, or does not run."""
        cared = self._cared.get(name)
        if cared is None or hook_of(cared.container, "preStop") is None:
            return None
        return cared.pre_stop or PreStop()

    def begin_pre_stop(self, tasks: asyncio.TaskGroup, name: str, until: datetime) -> None:
        """Call a container's preStop hook, which may take until then."""
        cared = self._cared.get(name)
        hook = hook_of(cared.container, "preStop") if cared is not None else None
        if cared is not None and hook is not None and cared.pre_stop is None:
            cared.pre_stop = PreStop(until)
            cared.tasks.append(tasks.create_task(self._pre_stop(cared, hook, until)))

    # -- hooks

    async def _tend(self, cared: _Cared, probes: Sequence[Probe], hook: Mapping[str, Any] | None) -> None:
        if hook is not None:
            problem = await call(hook, cared.target)
            if problem:
                self._warn(cared, "FailedPostStartHook", f"PostStartHook failed: {problem}")
                self._set(cared, replace(cared.health, failure=Failure("failed PostStartHook")))
                return
            has_startup = any(probe.purpose == "startup" for probe in probes)
            self._set(cared, replace(cared.health, is_hooked=True, is_started=not has_startup))
        async with asyncio.TaskGroup() as tasks:
            for probe in probes:
                tasks.create_task(self._follow(cared, probe))

    async def _pre_stop(self, cared: _Cared, hook: Mapping[str, Any], until: datetime) -> None:
        limit_s = max(0.0, (until - self._clock.now()).total_seconds())
        try:
            async with asyncio.timeout(limit_s):
                problem = await call(hook, cared.target)
        except TimeoutError:
            problem = f"it was not over after the {limit_s:.0f} s of the grace period"
        if problem:
            self._warn(cared, "FailedPreStopHook", f"PreStopHook failed: {problem}")
        cared.pre_stop = PreStop(until, is_over=True)
        self._wake()

    # -- probes

    async def _follow(self, cared: _Cared, probe: Probe) -> None:
        """Ask a probe again and again, until its run ends or there is nothing more to learn from it."""
        if probe.purpose != "startup":
            await cared.started.wait()
        elif cared.started.is_set():
            return
        await self._wait_initially(cared, probe)
        tally = Tally(cared.health.is_ready) if probe.purpose == "readiness" else Tally()
        while not self._is_over(probe):
            began = self._clock.monotonic()
            answer = await self._ask(cared, probe)
            if answer is not None and not self._is_over(probe):
                tally = count(tally, probe, answer)
                self._set(cared, judge(cared.health, probe, tally.verdict))
                if (probe.purpose == "startup" and tally.verdict) or cared.health.failure is not None:
                    return
            await asyncio.sleep(max(0.0, probe.period_s - (self._clock.monotonic() - began)))

    def _is_over(self, probe: Probe) -> bool:
        """Tell whether a verdict has no use any more: nothing is restarted in a Pod that is to end."""
        return probe.purpose != "readiness" and is_being_deleted(self._pod())

    async def _wait_initially(self, cared: _Cared, probe: Probe) -> None:
        since = cared.run.sandbox.started_at or cared.run.seen_at
        ran_s = (self._clock.now() - since).total_seconds()
        await asyncio.sleep(max(0.0, probe.initial_delay_s - ran_s))

    async def _ask(self, cared: _Cared, probe: Probe) -> bool | None:
        """Ask once; None where nothing could be learnt, and the last answer stays good."""
        what = probe.purpose.capitalize()
        problem = ""
        for _ in range(_TRIES):
            try:
                answer = await ask(probe.handler, cared.target, probe.timeout_s)
            except HandlerError as error:
                problem = str(error)
            else:
                self._tell(cared, what, answer)
                return answer.is_good
        self._warn(cared, "Unhealthy", f"{what} probe errored and resulted in unknown state: {problem}")
        return None

    def _tell(self, cared: _Cared, what: str, answer: Answer) -> None:
        if not answer.is_good:
            self._warn(cared, "Unhealthy", f"{what} probe failed: {answer.text}")
        elif answer.is_warning:
            self._warn(cared, "ProbeWarning", f"{what} probe warning: {answer.text}")

    # -- what comes of it

    def _set(self, cared: _Cared, health: Health) -> None:
        if health != cared.health:
            cared.health = health
            if health.is_started:
                cared.started.set()
            self._wake()

    def _warn(self, cared: _Cared, reason: str, message: str) -> None:
        self._recorder.warning(self._pod(), reason, message, container=str(cared.container["name"]))
