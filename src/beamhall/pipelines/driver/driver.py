"""The way in: takes runs that want attention, and carries each until it has ended.

A run wants attention when its row says so: it has not ended, or something was asked of it. The bells of ``signals``
only say when to look. Read on in ``carrier``.
"""

import asyncio
import logging

from beamhall.client.protocol import Client
from beamhall.history.history import History
from beamhall.history.records import Run
from beamhall.kernel.clock import Clock
from beamhall.kernel.errors import ApiError, ServiceUnavailable, UserError
from beamhall.pipelines.driver.beginning import begun, facts_of, rooted
from beamhall.pipelines.driver.carrier import DEFECTS, Carrier, RunGone
from beamhall.pipelines.driver.claims import clear_workspace
from beamhall.pipelines.driver.files import RootOf
from beamhall.pipelines.driver.fitting import Fitting
from beamhall.pipelines.driver.janitor import Janitor
from beamhall.pipelines.driver.ledger import TERMINATED, Ledger
from beamhall.pipelines.driver.loading import RETRY, TERMINATE, failed, loaded, retried, wanting
from beamhall.pipelines.driver.locks import Locks
from beamhall.pipelines.driver.patience import patiently
from beamhall.pipelines.driver.pods import Pods
from beamhall.pipelines.driver.settings import DriverSettings
from beamhall.pipelines.driver.slots import Slots
from beamhall.pipelines.driver.stopping import delete_all_of
from beamhall.pipelines.driver.sweeping import sweep
from beamhall.pipelines.driver.tools import Tools
from beamhall.pipelines.engine.decisions import State
from beamhall.pipelines.signals import Signals
from beamhall.pipelines.spec.platform import PipelineConfig
from beamhall.pipelines.specifications import Specifications
from beamhall.pipelines.steps.step import Steps

_log = logging.getLogger(__name__)

_RETRY_S = 5.0


class PipelineDriver:
    """Carries the runs of a service.

    Args:
        history: Where runs are.
        client: Where their Pods go.
        root_of: Where the files of a namespace's runs are.
        clock: The time.
        signals: Rings when a run wants attention.
        settings: What can be chosen.

    Attributes:
        specifications: Reads and checks pipelines, and keeps them: the API's own may be put in its place.
        ready: Set when runs are carried.
    """

    def __init__(
        self,
        history: History,
        client: Client,
        root_of: RootOf,
        clock: Clock,
        signals: Signals,
        settings: DriverSettings,
    ) -> None:
        self.specifications = Specifications()
        self._tools = Tools(
            history, client, root_of, clock, signals, settings, Pods(client), Slots(settings.steps_at_once),
            Janitor(client, root_of, settings), Fitting(client, clock, is_wanted=settings.fit_steps),
        )  # fmt: skip
        self._carriers: dict[str, Carrier] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._locks = Locks(client)
        self._resuming: set[str] = set()
        self._group: asyncio.TaskGroup | None = None
        self.ready = asyncio.Event()

    async def wait_ready(self) -> None:
        """Wait until runs are carried."""
        await self.ready.wait()

    async def run(self) -> None:
        """Carry runs until cancelled. What runs then goes on, and is taken up by the next driver."""
        async with asyncio.TaskGroup() as self._group:
            self._group.create_task(self._tools.pods.run())
            self._group.create_task(self._tools.janitor.run())
            await self._tools.pods.ready.wait()
            self._resuming = await self._look()
            self.ready.set()
            self._group.create_task(self._poll())
            self._group.create_task(self._sweep())
            while True:
                for run_id in await self._tools.signals.woken():
                    await self._attend(run_id)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._tools.settings.poll_s)
            await self._look()

    async def _sweep(self) -> None:
        while True:
            if self._tools.history.may_have_records():  # else all Pods are somebody else's
                await sweep(self._tools)
            await asyncio.sleep(self._tools.settings.sweep_s)

    async def _look(self) -> set[str]:
        """Look for runs that nobody rang for, or that could not be taken when somebody did; give those that had begun.

        A history without anything in it is not opened.
        """
        if not self._tools.history.may_have_records():
            return set()
        limit, carried = self._tools.settings.runs_at_once, list(self._carriers)
        try:
            (going, fresh), carried_runs = await self._tools.history.read(
                lambda tx: (wanting(tx, limit), {run_id: tx.get(Run, run_id) for run_id in carried})
            )
        except ServiceUnavailable as error:
            _log.error("runs cannot be looked for now: %s", error)
            return set()
        for run_id, run in carried_runs.items():
            self._tell(run_id, run)
        for run_id in (*going, *fresh):
            if run_id not in self._tasks:
                self._take(run_id)
        return set(going)

    async def _attend(self, run_id: str) -> None:
        """See what a run wants."""
        if run_id not in self._tasks:
            self._take(run_id)
            return
        try:
            run = await self._tools.history.read(lambda tx: tx.get(Run, run_id))
        except ServiceUnavailable as error:
            _log.error("run %s cannot be looked at now: %s", run_id, error)
            return
        self._tell(run_id, run)

    def _tell(self, run_id: str, run: Run | None) -> None:
        """Tell the carrier of a run what is wanted of it. One that is being made looks itself, or is told later."""
        carrier = self._carriers.get(run_id)
        if carrier is None:
            return
        if run is None:
            carrier.drop()
        elif run.asked == TERMINATE:
            carrier.cancel(TERMINATED)

    def _take(self, run_id: str) -> None:
        """Carry a run, if there is room; else it is found again by looking."""
        if len(self._tasks) >= self._tools.settings.runs_at_once:
            return
        assert self._group is not None
        self._tasks[run_id] = self._group.create_task(self._carry(run_id), name=f"run {run_id}")

    async def _carry(self, run_id: str) -> None:
        """Carry a run, and again if it was asked for something when it had just ended."""
        try:
            while await self._carry_once(run_id):
                pass
        finally:
            self._tasks.pop(run_id, None)
            self._carriers.pop(run_id, None)
            self._resuming.discard(run_id)

    async def _carry_once(self, run_id: str) -> bool:
        """Carry a run to its end; tell whether it wants more."""
        try:
            return await self._carry_loaded(run_id)
        except RunGone:
            self._locks.give_back(run_id)
            await delete_all_of(self._tools, run_id)
        except ServiceUnavailable as error:
            _log.error("run %s cannot be carried now: %s", run_id, error)
            await asyncio.sleep(_RETRY_S)
            return True
        except (ApiError, UserError) as error:
            await self._fail(run_id, str(error))
        except DEFECTS as error:
            _log.exception("run %s could not be carried", run_id)
            await self._fail(run_id, f"a defect of Beamhall: {type(error).__name__}: {error}")
        return False

    async def _carry_loaded(self, run_id: str) -> bool:
        tools = self._tools
        found = await tools.history.read(lambda tx: loaded(tx, run_id))
        if found is None:
            raise RunGone(run_id)
        run = found.run
        if run.asked != RETRY and State(run.state).is_final:
            return False
        pipeline = (await self.specifications.stored(tools.history, run.spec_digest)).pipeline
        if run.asked == RETRY:
            found = await tools.history.write(lambda tx: retried(tx, run_id, pipeline))
            if found is None:
                raise RunGone(run_id)
            run = found.run
        is_canceling = run.asked == TERMINATE or run.state == State.CANCELING
        run, root = await rooted(tools, run, pipeline)
        facts = facts_of(run, pipeline, tools.settings, root.env)
        ledger = Ledger(found, tools.now)
        if is_canceling:
            ledger.begin_canceling(run.error or TERMINATED)
        if not await self._locked(run, pipeline.config, force=is_canceling or run.state == State.RUNNING):
            return False  # it is told when it may go on
        try:
            carrier = self._carriers[run_id] = begun(tools, found, ledger, Steps(facts), is_canceling=is_canceling)
            await carrier.carry()
            if ledger.state is State.SUCCEEDED:  # a retry of what failed may need it
                await clear_workspace(tools.client, facts)
        finally:
            self._carriers.pop(run_id, None)
            for waiting in self._locks.give_back(run_id):
                tools.signals.wake(waiting)
        return True

    async def _locked(self, run: Run, config: PipelineConfig, *, force: bool) -> bool:
        """Take the locks that a run needs; what had begun before the driver's start goes first."""
        if force:
            self._locks.force(run.id, run.namespace, config)
            self._resuming.discard(run.id)
            return True
        if not (config.mutex_name or config.semaphore_key):
            return True
        return not self._resuming and await self._locks.take(run.id, run.namespace, config, run.created_at)

    async def _fail(self, run_id: str, error: str) -> None:
        """End a run that cannot be carried."""
        now = self._tools.now()
        try:
            await patiently(lambda: self._tools.history.write(lambda tx: failed(tx, run_id, error, now)))
            await delete_all_of(self._tools, run_id)
        except ApiError as err:
            _log.error("run %s failed, and that could not be written: %s; %s", run_id, error, err)
        self._tools.signals.publish(run_id)
