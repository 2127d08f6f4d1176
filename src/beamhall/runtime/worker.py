"""The loop of one controller: take a key, plan it, carry the plan out, wait until the view shows it, take the next.

One key at a time; different keys may be under way together. This is the only place that runs a planner. An error is
never lost: it goes to the log and the story, and the key is planned again after a delay that doubles.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from beamhall.kernel.clock import Clock
from beamhall.kernel.errors import ApiError, Conflict
from beamhall.kernel.objects import Key, ReadOnlyObject
from beamhall.kernel.plan import Emit, Plan
from beamhall.runtime import metrics
from beamhall.runtime.carry_out import Hand, NameTaken, NotAllowed, Report
from beamhall.runtime.controller import Controller
from beamhall.runtime.events import EventRecorder
from beamhall.runtime.queue import KeyQueue
from beamhall.runtime.story import Story
from beamhall.runtime.views import Views

AT_ONCE = 32
"""Keys of one controller that are under way together: enough to share the store's commits."""

SIGHT_LIMIT_S = 5.0
"""After so long without seeing our own writes, plan on what is seen: planners bear stale views, waiting spares work."""

RESTLESS_S = 0.01
IDLE_REST = 4
"""A key whose planning took longer than this rests for as long as that took: the loop is there for others too. Where
nothing was to be done, it rests several times as long."""

FAILURES_UNTIL_STUCK = 5

_REASONS: Mapping[type[ApiError], str] = {NameTaken: "NameTaken", NotAllowed: "FailedCreate"}
"""What is told people of an object whose plan was refused, as Events of these reasons."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the workers of one process share."""

    views: Views
    recorder: EventRecorder
    story: Story
    clock: Clock


class Worker:
    """Runs one controller."""

    def __init__(self, controller: Controller, hand: Hand, shared: Surroundings) -> None:
        self.controller = controller
        self.single_key = controller.single_key
        self.queue = KeyQueue(shared.clock)
        self._hand = hand
        self._shared = shared
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Work until cancelled."""
        if self.controller.singleton:
            self.queue.add(self.single_key)
        async with asyncio.TaskGroup() as group:
            while True:
                await self._slots.acquire()
                key = await self.queue.get()
                group.create_task(self._process(key), name=f"{self.controller.name} {key}")

    async def _process(self, key: Key) -> None:
        try:
            obj = self._object(key)
            if obj is None:
                self.queue.forget_failures(key)
                return
            began_s = self._shared.clock.monotonic()
            plan = self._plan(key, obj)
            taken_s = self._shared.clock.monotonic() - began_s
            if plan is not None:
                await self._carry_out(key, obj, plan)
            if (rest_s := max(self.controller.rest_s, _rest_s(plan, taken_s))) > 0:
                await asyncio.sleep(rest_s)
        except Exception as err:  # noqa: BLE001  the runtime's loop: a defect in one plan must not stop the others
            self._note_defect(key, "", err)
        finally:
            self.queue.done(key)
            self._slots.release()

    def _object(self, key: Key) -> ReadOnlyObject | None:
        return {} if self.controller.singleton else self._shared.views.caches[key.kind].get(key.namespace, key.name)

    def _plan(self, key: Key, obj: ReadOnlyObject) -> Plan | None:
        with metrics.PLAN_SECONDS.labels(self.controller.name).time():
            return self.controller.plan(obj, self._shared.views.present())

    async def _carry_out(self, key: Key, obj: ReadOnlyObject, plan: Plan) -> None:
        report = await self._hand.carry_out(plan)
        try:
            self._tell(key, plan, report)
            if report.error is None:
                self.queue.forget_failures(key)
                if plan.again_after_s is not None:
                    self.queue.add_after(key, plan.again_after_s)
            else:
                self._note_refusal(key, obj, report)
            await self._until_seen(key, report)
        finally:
            self._hand.end(report)

    async def _until_seen(self, key: Key, report: Report) -> None:
        sightings = [sighting for _, sighting in report.sightings]
        try:
            if any(sighting.is_pending for sighting in sightings):
                async with asyncio.timeout(SIGHT_LIMIT_S):
                    for sighting in sightings:
                        if sighting.is_pending:
                            await sighting.happened()
        except TimeoutError:
            _log.warning("own writes were not seen in time", controller=self.controller.name, key=str(key))
            self.queue.add(key)
        if any(sighting.was_missed for sighting in sightings):
            self.queue.add(key)

    def _tell(self, key: Key, plan: Plan, report: Report) -> None:
        outcome = "done" if report.error is None else f"{report.error.reason}: {report.error.message}"
        actions = [text for _, text in report.done]
        name = self.controller.name
        metrics.PLANS.labels(name, "done" if report.error is None else report.error.reason).inc()
        metrics.WRITES.labels(name).inc(len(report.done))
        self._shared.story.tell(key, name, why=plan.why, actions=actions, outcome=outcome)
        for other, text in report.done:
            if other != key:
                about = name if self.controller.singleton else str(key)
                self._shared.story.tell(other, name, why=plan.why, actions=(text,), about=about)

    def _note_refusal(self, key: Key, obj: ReadOnlyObject, report: Report) -> None:
        """Take an error of the API: usual are conflicts with others' writes, which the next view will show."""
        error = report.error
        if error is None:
            return
        failures = self.queue.add_failed(key)
        reason = _REASONS.get(type(error))
        if reason and not self.controller.singleton:
            about = Emit(self.controller.kind, obj, reason, error.message, "Warning")
            self._shared.recorder.record(about, self.controller.name)
        is_usual = failures == 1 or (isinstance(error, Conflict) and failures < FAILURES_UNTIL_STUCK)
        level = _log.debug if is_usual else _log.warning
        level(
            "plan was not carried out",
            controller=self.controller.name,
            key=str(key),
            reason=error.reason,
            error=error.message,
            failures=failures,
        )

    def _note_defect(self, key: Key, why: str, err: Exception) -> None:
        """Take an exception that nobody expected: it is a defect of ours, and the log says all about it."""
        failures = self.queue.add_failed(key)
        name = self.controller.name
        metrics.PLANS.labels(name, "defect").inc()
        _log.error("planner failed", controller=name, key=str(key), plan=why, failures=failures, exc_info=err)
        if failures >= FAILURES_UNTIL_STUCK:
            outcome = f"failed {failures} times in a row with a defect of Beamhall: {type(err).__name__}: {err}"
            self._shared.story.tell(key, name, why="the planner failed; it is tried again", outcome=outcome)


def _rest_s(plan: Plan | None, taken_s: float) -> float:
    """Give how long a key rests whose planning took so long."""
    if taken_s <= RESTLESS_S:
        return 0.0
    return taken_s if plan is not None and plan.actions else IDLE_REST * taken_s
