"""Reads what trainers say of their progress in their logs, and puts it into the status of their jobs.

Of each job only the end of one log is read, that of rank 0, the less often the less is found there; a status is written
at most every few seconds, and only if something is new. However many jobs there are, so many logs a second are read and
no more. What the figures are is ``training.progress``'s.
"""

import asyncio
import heapq
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from beamhall.client.protocol import Client, LogOptions, Selection
from beamhall.client.reflector import Removed, Replaced, Upserted, reflect
from beamhall.kernel.clock import Clock
from beamhall.kernel.errors import ApiError
from beamhall.kernel.kinds import POD, TRAIN_JOB, Kind
from beamhall.kernel.objects import Object, ReadOnlyObject, controller_of, labels_of, name_of, namespace_of, uid_of
from beamhall.training.job import ROLE_LABEL
from beamhall.training.jobsets.jobs import REPLICATED_LABEL, SET_LABEL
from beamhall.training.overview import COMPLETION_INDEX, JOB_KINDS, log_container
from beamhall.training.progress import FIELD, Figures, Mark, last_figures, trainer_status

TAIL_LINES = 50
"""How many of the last lines of a log are looked at."""

_FIRST_S = 2.0
_SLOWEST_S = 30.0
_SLOWER = 1.5
_READS_PER_S = 40
_MAX_BYTES = 64 * 1024
_SELECTORS = (f"{ROLE_LABEL} in (master,launcher)", f"{REPLICATED_LABEL}=node,{COMPLETION_INDEX}=0")
_KINDS = {kind.kind: kind for kind in JOB_KINDS}


@dataclass(slots=True)
class _Trainer:
    """The Pod of rank 0 of a job, and what its log told so far."""

    pod: ReadOnlyObject
    kind: Kind
    job: str
    job_uid: str
    interval_s: float = _FIRST_S
    is_over: bool = False
    told: Figures | None = None
    first: Mark | None = None


@dataclass(order=True, slots=True)
class _Turn:
    at: float
    number: int
    uid: str = field(compare=False)


class ProgressReader:
    """Keeps the progress of all training jobs.

    Args:
        client: Where the jobs are.
        clock: The time.
    """

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._trainers: dict[str, _Trainer] = {}
        self._turns: list[_Turn] = []
        self._n_turns = 0
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for selector in _SELECTORS:
                tasks.create_task(self._watch(selector))
            tasks.create_task(self._read_in_turn())

    async def _watch(self, selector: str) -> None:
        """Keep up with which Pods of rank 0 run."""
        async with aclosing(reflect(self._client, POD, Selection(labels=selector))) as changes:
            async for change in changes:
                match change:
                    case Replaced(objects):
                        for pod in objects:
                            self._take(pod, is_news=False)
                    case Upserted(pod):
                        self._take(pod, is_news=True)
                    case Removed(pod):
                        self._trainers.pop(uid_of(pod), None)

    def _take(self, pod: ReadOnlyObject, *, is_news: bool) -> None:
        """Take in how a Pod is. What had ended before it was ever seen was read then."""
        phase = (pod.get("status") or {}).get("phase")
        is_over = phase in ("Succeeded", "Failed")
        known = self._trainers.get(uid_of(pod))
        if known is not None:
            if is_over and not known.is_over:
                known.is_over = True
                self._turn(uid_of(pod), 0.0)
        elif phase == "Running" or (is_over and is_news):
            trainer = _trainer_of(pod)
            if trainer is not None:
                trainer.is_over = is_over
                self._trainers[uid_of(pod)] = trainer
                self._turn(uid_of(pod), 0.0 if is_over else trainer.interval_s)

    def _turn(self, uid: str, delay_s: float) -> None:
        self._n_turns += 1
        heapq.heappush(self._turns, _Turn(self._clock.monotonic() + delay_s, self._n_turns, uid))
        self._changed.set()

    async def _read_in_turn(self) -> None:
        while True:
            self._changed.clear()
            wait_s = self._turns[0].at - self._clock.monotonic() if self._turns else None
            if wait_s is None or wait_s > 0:
                await _happened(self._changed, wait_s)
                continue
            uid = heapq.heappop(self._turns).uid
            trainer = self._trainers.get(uid)
            if trainer is None:
                continue
            was_over = trainer.is_over
            await self._read(trainer)
            if was_over:
                self._trainers.pop(uid, None)
            elif not trainer.is_over:
                self._turn(uid, trainer.interval_s)
            await asyncio.sleep(1 / _READS_PER_S)

    async def _read(self, trainer: _Trainer) -> None:
        """Look at the end of one log, and write what is new. What cannot be read or written now may be later."""
        try:
            figures = last_figures(await self._tail(trainer.pod))
            if figures is None or figures == trainer.told:
                trainer.interval_s = min(trainer.interval_s * _SLOWER, _SLOWEST_S)
                return
            await self._write(trainer, figures)
        except ApiError:
            trainer.interval_s = min(trainer.interval_s * _SLOWER, _SLOWEST_S)

    async def _tail(self, pod: ReadOnlyObject) -> Sequence[str]:
        read = b""
        options = LogOptions(log_container(pod), tail_lines=TAIL_LINES)
        async with self._client.logs(name_of(pod), namespace_of(pod), options) as pieces:
            async for piece in pieces:
                read = (read + piece)[-_MAX_BYTES:]
        lines = read.decode(errors="replace").split("\n")
        return lines[:-1]  # what has no end yet is being written

    async def _write(self, trainer: _Trainer, figures: Figures) -> None:
        now = self._clock.now()
        if trainer.first is None and figures.fraction is not None:
            trainer.first = Mark(now, figures.fraction)
        patch: Object = {"status": {FIELD: trainer_status(figures, trainer.first, now)}}
        if trainer.job_uid:
            patch["metadata"] = {"uid": trainer.job_uid}
        namespace = namespace_of(trainer.pod)
        await self._client.patch(trainer.kind, trainer.job, namespace, patch, subresource="status")
        trainer.told = figures
        trainer.interval_s = _FIRST_S


def _trainer_of(pod: ReadOnlyObject) -> _Trainer | None:
    """Find whose rank 0 a Pod is; None if it is no training job's."""
    owner = controller_of(pod) or {}
    kind = _KINDS.get(str(owner.get("kind", "")))
    if kind is not None:
        return _Trainer(pod, kind, str(owner.get("name", "")), str(owner.get("uid", "")))
    set_name = labels_of(pod).get(SET_LABEL)
    return _Trainer(pod, TRAIN_JOB, set_name, "") if set_name else None


async def _happened(event: asyncio.Event, timeout_s: float | None) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
