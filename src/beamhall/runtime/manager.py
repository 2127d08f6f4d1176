"""Runs controllers together: one reflector per kind feeds the views, a worker per controller acts on them.

Whoever composes the process makes one ``Manager`` and awaits ``run``. Read ``worker`` for what happens to a key.
"""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from functools import partial

import structlog

from beamhall.client.protocol import Client
from beamhall.client.reflector import Pace, reflect
from beamhall.kernel.clock import Clock
from beamhall.kernel.errors import ApiError
from beamhall.kernel.kinds import Kind
from beamhall.kernel.plan import View
from beamhall.runtime.carry_out import Hand
from beamhall.runtime.controller import Controller
from beamhall.runtime.events import EventRecorder
from beamhall.runtime.story import Story
from beamhall.runtime.views import Seen, Views
from beamhall.runtime.worker import Surroundings, Worker

_log = structlog.get_logger(__name__)


class Manager:
    """Controllers on one client.

    Attributes:
        views: What they know; also for others to read.
        story: What they did, for ``beamhall explain``.

    Args:
        client: Used for everything, with the rights of its user.
        controllers: Their names are different.
        clock: Gives the time to planners and queues.
        pace: How patiently kinds are followed; None: as the reflector does by itself.
    """

    def __init__(
        self, client: Client, controllers: Sequence[Controller], clock: Clock, *, pace: Pace | None = None
    ) -> None:
        names = [controller.name for controller in controllers]
        if len(set(names)) != len(names):
            raise ValueError(f"controllers must have different names, not {sorted(names)}")
        kinds = sorted(
            {kind for controller in controllers for kind in controller.kinds}, key=lambda kind: kind.resource
        )
        self._client = client
        self._pace = pace
        self.views = Views(kinds, clock)
        self.story = Story(clock)
        self._recorder = EventRecorder(client, clock, lambda kind, *where: self.views.caches[kind].get(*where))
        shared = Surroundings(self.views, self._recorder, self.story, clock)
        self._workers = [
            Worker(controller, Hand(client, self.views, self._recorder, controller.name), shared)
            for controller in controllers
        ]
        self._synced = {kind: asyncio.Event() for kind in kinds}

    @property
    def is_ready(self) -> bool:
        """Whether every kind has been listed, so that every controller works."""
        return all(event.is_set() for event in self._synced.values())

    @property
    def is_idle(self) -> bool:
        """Whether no key waits or is under way, delayed ones aside."""
        return all(worker.queue.is_idle for worker in self._workers)

    async def ready(self) -> None:
        """Wait until ``is_ready``."""
        for event in self._synced.values():
            await event.wait()

    async def run(self) -> None:
        """Run until cancelled.

        Raises:
            ExceptionGroup: Of the ``ApiError`` that will not become right by waiting, such as ``Forbidden``.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._recorder.run(), name="events")
            for kind in self.views.caches:
                group.create_task(self._follow(kind), name=f"follow {kind.resource}")
            for worker in self._workers:
                group.create_task(self._work(worker), name=f"controller {worker.controller.name}")

    async def _follow(self, kind: Kind) -> None:
        """Keep one kind's view, and queue the keys that its changes concern."""
        cache = self.views.caches[kind]
        concerned = [worker for worker in self._workers if kind in worker.controller.kinds]
        pace = self._pace or Pace(on_retry=partial(_note_retry, kind))
        async with aclosing(reflect(self._client, kind, pace=pace)) as changes:
            async for change in changes:
                changed = cache.take(change)
                view = self.views.present()
                for seen in changed:
                    for worker in concerned:
                        _queue_keys(worker, kind, seen, view)
                if cache.is_synced and not self._synced[kind].is_set():
                    self._synced[kind].set()

    async def _work(self, worker: Worker) -> None:
        """Begin once all that a planner may ask for has been listed: it must not take what is unknown for absent."""
        for kind in worker.controller.kinds:
            await self._synced[kind].wait()
        await worker.run()


def _queue_keys(worker: Worker, kind: Kind, seen: Seen, view: View) -> None:
    if worker.controller.singleton:
        worker.queue.add(worker.single_key)
        return
    for obj in (seen.old, seen.new):
        if obj is not None:
            for key in worker.controller.keys_for(kind, obj, view):
                worker.queue.add(key)


def _note_retry(kind: Kind, error: ApiError, delay_s: float) -> None:
    _log.debug(
        "following is tried again", resource=kind.resource, reason=error.reason, error=error.message, delay_s=delay_s
    )
