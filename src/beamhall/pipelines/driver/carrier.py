"""Carrying one run: what happened goes into the engine, what it decides is written, and only then is it done.

One task owns the run and takes its inbox in batches: all that arrives while one transaction is under way goes into the
next. Attempts are tasks beside it, which only tell how they ended. Read on in ``ledger``, which turns decisions into
rows, and in ``attempt``.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any

import msgspec

from beamhall.history.records import Task
from beamhall.kernel.errors import ApiError, NotFound, ServiceUnavailable, UserError
from beamhall.kernel.kinds import POD
from beamhall.pipelines.driver.attempt import Attempt, Ended
from beamhall.pipelines.driver.batch import Committed
from beamhall.pipelines.driver.caching import is_there, outputs_of
from beamhall.pipelines.driver.janitor import Over
from beamhall.pipelines.driver.ledger import Ledger
from beamhall.pipelines.driver.live import Live
from beamhall.pipelines.driver.stopping import stop_pods
from beamhall.pipelines.driver.tools import Tools
from beamhall.pipelines.engine.decisions import Decision, End, Note, Start, State, Stop
from beamhall.pipelines.engine.events import CancelAsked, Finished
from beamhall.pipelines.engine.machine import RunMachine
from beamhall.pipelines.engine.values import Outputs
from beamhall.pipelines.steps.claims import CREATE_IMAGE, DELETE_IMAGE
from beamhall.pipelines.steps.naming import pod_name
from beamhall.pipelines.steps.step import Steps

_log = logging.getLogger(__name__)

_RETRY_S = 1.0

DEFECTS = (
    ArithmeticError, AssertionError, AttributeError, LookupError, NotImplementedError, RecursionError, TypeError,
    ValueError,
)  # fmt: skip
"""What a mistake of ours raises: it ends the step or the run that it is in, never the driver."""


class RunGone(Exception):
    """The run was deleted while it was carried."""


class Granted(msgspec.Struct, frozen=True):
    """A task got a slot, and goes on."""

    path: str


class Unmade(msgspec.Struct, frozen=True):
    """A task was begun before the service ended, but not its Pod."""

    path: str


class Reused(msgspec.Struct, frozen=True):
    """A task has the outputs of an earlier one."""

    path: str
    outputs: Outputs


class Held(msgspec.Struct, frozen=True):
    """Something keeps the Pod of a task from starting; or, if nothing is said, does not any more."""

    path: str
    why: str


class Canceling(msgspec.Struct, frozen=True):
    """The run is to end, for this reason."""

    reason: str


Item = Ended | Granted | Held | Unmade | Reused | Canceling


class Carrier:
    """Carries one run.

    Args:
        tools: What the driver has.
        ledger: Has the run's rows.
        steps: Makes its steps.
        machine: Its engine, which has begun.
        decisions: What it decided then.
        deadline_s: How much longer the run may take; None: as long as it wants.
    """

    def __init__(
        self,
        tools: Tools,
        ledger: Ledger,
        steps: Steps,
        machine: RunMachine,
        decisions: Sequence[Decision],
        deadline_s: float | None = None,
    ) -> None:
        self._tools = tools
        self._ledger = ledger
        self._steps = steps
        self._machine = machine
        self._decisions = decisions
        self._deadline_s = deadline_s
        self._is_gone = False
        self._has_ended = False
        self._run_id = ledger.of.run_id
        self._live: dict[str, Live] = {}
        self._inbox: deque[Item] = deque()
        self._rung = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready: list[Live] = []
        self._lookups: list[Live] = []
        self._stops: list[str] = []
        self._over: list[Over] = []

    def drop(self) -> None:
        """Carry the run no further: it was deleted."""
        self._is_gone = True
        self._rung.set()

    def cancel(self, reason: str) -> None:
        """Have the run end soon, after its exit tasks."""
        self._put(Canceling(reason))

    async def carry(self) -> None:
        """Carry the run to its end; once.

        Raises:
            RunGone: It was deleted.
            ApiError: Its rows cannot be written, and will never be.
        """
        failure: Exception | None = None
        try:
            async with asyncio.TaskGroup() as self._group:
                try:
                    await self._loop()
                except (RunGone, ApiError, UserError, *DEFECTS) as error:
                    failure = error
                for task in self._tasks:
                    task.cancel()
        finally:
            self._tools.slots.forget(self._run_id)
            for live in self._live.values():
                self._free_slot(live)
        if failure is not None:
            raise failure

    async def _loop(self) -> None:
        if self._deadline_s is not None:
            self._spawn(self._end_late(self._deadline_s))
        self._decide(self._decisions)
        self._decisions = ()
        await self._settle()
        while not self._has_ended:
            await self._rung.wait()
            self._rung.clear()
            if self._is_gone:
                raise RunGone(self._run_id)
            while self._inbox:
                self._take(self._inbox.popleft())
            await self._settle()

    def _put(self, item: Item) -> None:
        self._inbox.append(item)
        self._rung.set()

    # What happened

    def _take(self, item: Item) -> None:
        if isinstance(item, Canceling):
            self._ledger.begin_canceling(item.reason)
            self._decide(self._machine.handle(CancelAsked()))
            return
        live = self._live.get(item.path)
        if live is None:
            return
        if isinstance(item, Granted):
            self._write_running(live)
        elif isinstance(item, Unmade):
            self._look_up(live)
        elif isinstance(item, Held):
            live.task = self._ledger.write_held(live.task, item.why)
        elif isinstance(item, Ended):
            self._take_end(live, item)
        else:
            self._free_slot(live)
            del self._live[item.path]
            self._ledger.write_cached(live.task, item.outputs)
            self._decide(self._machine.handle(Finished(item.path, State.SUCCEEDED, item.outputs, cached=True)))

    def _take_end(self, live: Live, end: Ended) -> None:
        """Take the end of an attempt: of the task, or it is tried again."""
        live.attempt = None
        self._free_slot(live)
        name, uid = end.pod
        if name:
            kept_s = self._kept_s if end.state is State.FAILED else 0.0
            self._over.append(Over(live.task.namespace, name, uid, end.root, kept_s))
        if end.state is State.FAILED and end.may_retry and live.may_retry:
            live.task = self._ledger.write_retry(live.task, end)
            live.again = False
            self._ready.append(live)
            return
        del self._live[end.path]
        outputs = self._ledger.write_end(live.task, end)
        self._decide(self._machine.handle(Finished(end.path, end.state, outputs, end.error)))

    @property
    def _kept_s(self) -> float:
        """How long the Pod of a failed step stays: no longer than the pipeline says, if it does."""
        kept_s, limit_s = self._tools.settings.failed_pods_kept_s, self._steps.facts.pipeline.config.failed_pods_ttl_s
        return min(kept_s, limit_s) if limit_s else kept_s

    # What was decided

    def _decide(self, decisions: Sequence[Decision]) -> None:
        """Turn decisions into rows to write, and into what is to be done then."""
        for decision in decisions:
            if isinstance(decision, Start):
                self._begin(decision)
            elif isinstance(decision, Note):
                self._ledger.write_note(decision)
            elif isinstance(decision, Stop):
                self._stops.append(decision.path)
            elif isinstance(decision, End):
                self._ledger.write_run_end(decision)
                self._has_ended = True

    def _begin(self, start: Start) -> None:
        live = self._live[start.path] = Live(start, self._ledger.begin(start), start.again)
        is_running = live.task.state == State.RUNNING  # or it was when the service ended
        if is_running:
            self._tools.slots.force()
            live.has_slot = True
        if not self._steps.fingerprint_of(start) or (start.again and not live.is_first):
            self._ready.append(live)
        elif start.again:
            self._spawn(self._seek(live))
            return
        else:
            self._look_up(live)
        if not is_running and not live.back_off_s(self._tools.now()) and self._tools.slots.take():
            live.has_slot = True
            self._write_running(live)

    def _look_up(self, live: Live) -> None:
        """Have the results of earlier runs looked for."""
        assert live.start is not None
        live.task = self._ledger.look_up(live.task, self._steps.fingerprint_of(live.start))
        self._lookups.append(live)

    def _write_running(self, live: Live) -> None:
        start = live.start
        assert start is not None
        container, facts, pod = start.executor.container, self._steps.facts, ""
        if container is not None and container.image not in (CREATE_IMAGE, DELETE_IMAGE):
            pod = pod_name(facts.pipeline.name, facts.run_id, start.path, live.task.attempt)
        live.task = self._ledger.write_running(live.task, pod)

    # What is done

    async def _settle(self) -> None:
        """Write all that was decided, then do it."""
        committed = await self._commit()
        ready, self._ready = self._ready, []
        lookups, self._lookups = self._lookups, []
        stops, self._stops = self._stops, []
        over, self._over = self._over, []
        for live in lookups:
            found = committed.cached.get(live.task.fingerprint)
            if found is None:
                ready.append(live)
            else:
                self._spawn(self._reuse(live, found))
        for live in ready:
            self._go_on(live)
        for path in stops:
            self._stop(path)
        for each in over:
            self._tools.janitor.put(each)
        self._tools.signals.publish(self._run_id)

    async def _commit(self) -> Committed:
        batch = self._ledger.taken()
        if not batch:
            return Committed()
        while True:
            try:
                committed = await self._tools.history.write(batch.write)
            except ServiceUnavailable as error:
                _log.error("run %s waits until it can be written: %s", self._run_id, error)
                await asyncio.sleep(max(_RETRY_S, float(error.retry_after_s or 0)))
                continue
            if committed.is_gone:
                raise RunGone(self._run_id)
            return committed

    def _go_on(self, live: Live) -> None:
        """Begin an attempt, or wait for the time or the slot that it needs."""
        if live.is_stopped:
            return
        if live.has_slot:
            self._attempt(live)
        elif wait_s := live.back_off_s(self._tools.now()):
            self._spawn(self._wait(live, wait_s))
        else:
            self._tools.slots.wait(self._run_id, live.task.path, self._granted)

    async def _wait(self, live: Live, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        if not live.is_stopped:
            self._tools.slots.wait(self._run_id, live.task.path, self._granted)

    def _granted(self, path: str) -> None:
        """Go on at once with what got a slot: its row is there; that it runs is written with what comes next."""
        live = self._live[path]
        live.has_slot = True
        self._put(Granted(path))
        self._attempt(live)

    def _attempt(self, live: Live) -> None:
        assert live.start is not None
        path = live.task.path
        attempt = Attempt(self._tools, self._steps, live.start, live.task.attempt, again=live.again)
        attempt.held = lambda why: self._put(Held(path, why))
        live.attempt = attempt
        self._spawn(self._run_attempt(live.task, attempt))

    async def _run_attempt(self, task: Task, attempt: Attempt) -> None:
        try:
            ended = await attempt.run()
        except DEFECTS as error:
            _log.exception("a step could not be carried out: run %s, task %s", self._run_id, task.path)
            message = f"a defect of Beamhall: {type(error).__name__}: {error}"
            ended = Ended(task.path, task.attempt, State.FAILED, error=message, may_retry=False)
        self._put(ended)

    async def _seek(self, live: Live) -> None:
        """Go on with the Pod that is there; where none is, the service may have ended before the cache was asked."""
        assert live.start is not None
        name = pod_name(self._steps.facts.pipeline.name, self._run_id, live.task.path, live.task.attempt)
        try:
            await self._tools.client.get(POD, name, live.task.namespace)
        except NotFound:
            self._put(Unmade(live.task.path))
        except ApiError:
            self._go_on(live)
        else:
            self._go_on(live)

    async def _reuse(self, live: Live, found: Task) -> None:
        """Take the outputs of an earlier task, if all that they name is still there."""
        outputs = outputs_of(found)
        if outputs is not None and await is_there(self._tools, self._steps.facts.namespace, outputs):
            self._put(Reused(live.task.path, outputs))
        else:
            self._go_on(live)

    async def _end_late(self, deadline_s: float) -> None:
        """End the run when it takes too long."""
        await asyncio.sleep(max(0.0, deadline_s))
        limit = self._steps.facts.pipeline.config.active_deadline_seconds
        self.cancel(f"it took longer than it may: {limit} s (activeDeadlineSeconds of the pipeline)")

    def _stop(self, path: str) -> None:
        """Stop a task: its attempt, or its waiting."""
        live = self._live.get(path)
        if live is None:  # the run was restored while it was ended: what runs is a Pod without an attempt
            task = self._ledger.row_of(path)
            if task is None:
                return
            live = self._live[path] = Live(None, task, is_stopped=True)
            self._spawn(self._stop_pods(live))
            return
        if live.is_stopped:
            return
        live.is_stopped = True
        if live.attempt is not None:
            self._spawn(live.attempt.stop())
        else:
            self._tools.slots.withdraw(self._run_id, path)
            self._put(Ended(path, live.task.attempt, State.CANCELED, error="it was stopped before it started"))

    async def _stop_pods(self, live: Live) -> None:
        names = [str(pod["name"]) for pod in live.task.pods]
        await stop_pods(self._tools, live.task.namespace, names)
        self._put(Ended(live.task.path, live.task.attempt, State.CANCELED, error="it was stopped"))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._group is not None
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _free_slot(self, live: Live) -> None:
        if live.has_slot:
            live.has_slot = False
            self._tools.slots.give_back()
