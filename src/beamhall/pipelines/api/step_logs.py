"""The log of a step: from its Pod while that is there, and then from the file that was kept of it.

Who follows it may begin before the Pod exists and is given all attempts, until the step has ended. Nothing is held but
the piece that is being sent.

Source: reference "KFP", section 3.2: users want logs while a step runs and after its Pod is gone.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from beamhall.client.protocol import LogOptions
from beamhall.history.protocol import Reading
from beamhall.history.records import Run, Specification, Task
from beamhall.kernel.errors import ApiError, BadRequest, NotFound
from beamhall.pipelines.api.access import Access
from beamhall.pipelines.api.pieces import after
from beamhall.pipelines.driver.records import ATTEMPTS
from beamhall.pipelines.runs import NOT_ENDED
from beamhall.pipelines.signals import wait_for
from beamhall.pipelines.steps.layout import LOG_FILE, execution_root, run_root
from beamhall.pipelines.steps.naming import pod_name
from beamhall.storage import Storage

LOOK_S = 2.0
"""How often a follower looks whether something has happened that nobody rang for."""

_CONTAINER = "main"
_BLOCK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a log is wanted.

    Attributes:
        follow: Stay until the step has ended.
        attempt: Of which attempt, from 0; None: of the last one, and of those that follow.
        tail: Only so many of the last lines.
        timestamps: Put a time before each line; what is kept of a Pod that is gone has none.
    """

    follow: bool = False
    attempt: int | None = None
    tail: int | None = None
    timestamps: bool = False


Find = Callable[[Reading], Task | None]
"""Finds the step in a transaction."""


class StepLogs:
    """Reads the logs of steps.

    Args:
        access: Where they are.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    async def read(self, run: Run, task: Task, part: Part) -> AsyncIterator[bytes]:
        """Open the log of a step as it is now.

        Raises:
            BadRequest: Its container waits to be started.
            NotFound: It has none.
        """
        attempt = _attempt(task, part)
        if attempt is None:
            raise NotFound(f"task {task.path} {_why_no_log(task)}")
        pieces = self._pieces(run, task, attempt, part)
        first = await anext(pieces, b"")
        return after(first, pieces)

    async def follow(self, run: Run, find: Find, part: Part) -> AsyncIterator[bytes]:
        """Give the log of a step, and what it goes on to write, until it has ended; it may not have begun."""
        done = -1
        while True:
            bell = self._access.signals.follow(run.id)
            try:
                task, goes_on = await self._look(run.id, find)
            except ApiError as error:  # several have come by now that have the name
                yield f"{error.message}\n".encode()
                return
            attempt = None if task is None else _attempt(task, part)
            if task is not None and attempt is not None and attempt > done:
                wanted = part if done < 0 else Part(follow=True, timestamps=part.timestamps)
                try:
                    async for piece in self._pieces(run, task, attempt, wanted):
                        yield piece
                    done = attempt
                    continue
                except (NotFound, BadRequest):
                    pass  # its Pod is yet to come
                except ApiError as error:  # too late for an answer that says so
                    yield f"the log of {task.path} cannot be read any further: {error.message}\n".encode()
                    return
            if not goes_on or (task is not None and _is_over(task, part, done)):
                return
            await wait_for(bell, LOOK_S)

    async def _look(self, run_id: str, find: Find) -> tuple[Task | None, bool]:
        """Give the step as it is now, and whether its run goes on."""

        def look(tx: Reading) -> tuple[Task | None, bool]:
            run = tx.get(Run, run_id)
            return find(tx), run is not None and run.state in NOT_ENDED

        return await self._access.history.read(look)

    async def _pieces(self, run: Run, task: Task, attempt: int, part: Part) -> AsyncIterator[bytes]:
        """Give the log of one attempt.

        Raises:
            NotFound: There is none yet.
            BadRequest: Its container waits to be started.
        """
        name = pod_name(run.pipeline_name, run.id, task.path, attempt)
        options = LogOptions(_CONTAINER, part.follow, timestamps=part.timestamps, tail_lines=part.tail)
        is_begun = False
        try:
            async with self._access.client.logs(name, run.namespace, options) as log:
                async for piece in log:
                    is_begun = True
                    yield piece
        except (NotFound, BadRequest):
            is_over = task.state not in NOT_ENDED or attempt < task.attempt
            if is_begun or not is_over:
                raise
        else:
            return
        async for piece in self._kept(run, task, attempt, part.tail):
            yield piece

    async def _kept(self, run: Run, task: Task, attempt: int, tail: int | None) -> AsyncIterator[bytes]:
        """Give what was kept of the log of an attempt; nothing where it wrote nothing.

        Raises:
            ApiError: It cannot be read.
        """
        storage = await self._access.storage_of(run.namespace)
        problem: ApiError | None = None
        for root in await self._roots(run):
            directory = execution_root(run_root(root, run.pipeline_name, run.id), task.path, attempt)
            uri = f"{directory}/{LOG_FILE}"
            try:
                found = await storage.stat(uri)
            except ApiError as error:
                problem = error
                continue
            if found is not None:
                start = 0 if tail is None else await _beginning_of_tail(storage, uri, found.size_bytes, tail)
                async for piece in storage.chunks(uri, start):
                    yield piece
                return
        if problem is not None:
            raise problem

    async def _roots(self, run: Run) -> Sequence[str]:
        """Give the pipeline roots that a run may have."""
        if run.pipeline_root:
            return (run.pipeline_root,)
        kept = await self._access.history.read(lambda tx: tx.get(Specification, run.spec_digest))
        document: Any = {} if kept is None else msgspec.json.decode(kept.body)
        spec = document.get("pipeline_spec") or document
        return [root for root in (spec.get("defaultPipelineRoot"), self._access.pipeline_root) if root]


def _attempt(task: Task, part: Part) -> int | None:
    """Give the number of the attempt that is meant; None: it has not begun."""
    first = task.attempt - task.attempt % ATTEMPTS
    last = task.attempt - (1 if task.state == "PENDING" else 0)
    if not task.pods or last < first:
        return None
    if part.attempt is None:
        return last
    return first + part.attempt if first + part.attempt <= last else None


def _is_over(task: Task, part: Part, done: int) -> bool:
    """Tell whether nothing more will be written."""
    return task.state not in NOT_ENDED or (part.attempt is not None and done >= 0)


def _why_no_log(task: Task) -> str:
    if task.cached:
        return "has no log: its outputs were taken from an earlier run"
    if task.type != "RUNTIME":
        return f"is a {task.type}: the steps in it have logs"
    if task.state in NOT_ENDED:
        return "has not begun; with follow=true its log is waited for"
    return "has no log: it had no Pod" if not task.pods else "has had no such attempt"


async def _beginning_of_tail(storage: Storage, uri: str, size: int, lines: int) -> int:
    """Find where the last lines of a file begin, reading it backwards."""
    if not lines:
        return size
    left = lines + 1  # the end of the line before
    stop = size
    is_last = True
    while stop > 0:
        start = max(0, stop - _BLOCK_BYTES)
        block = b"".join([piece async for piece in storage.chunks(uri, start, stop)])
        if is_last and not block.endswith(b"\n"):
            left -= 1
        is_last = False
        position = len(block)
        while (position := block.rfind(b"\n", 0, position)) >= 0:
            left -= 1
            if left == 0:
                return start + position + 1
        stop = start
    return 0
