"""The logs of all replicas of a job as one: what there is in the order of time, or what is written as it comes.

Replicas that are made anew are read from their beginning when they are there. Nothing is held of a log but the piece
that is being sent, and one line of each where they are put in order.
"""

import asyncio
import contextlib
import heapq
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass

from beamhall.client.protocol import Client, LogOptions, Selection
from beamhall.client.reflector import Removed, Replaced, Upserted, reflect
from beamhall.kernel.errors import ApiError, BadRequest, NotFound
from beamhall.kernel.kinds import POD, Kind
from beamhall.kernel.objects import ReadOnlyObject, name_of, namespace_of, uid_of
from beamhall.training.overview import is_pod_of, labels_of_pods, log_container, replica_name, state_of

Say = Callable[[str, Sequence[str]], Awaitable[None]]
"""Takes lines of a replica."""

_LATE_OUTPUT_S = 2.0
"""How long replicas that still run are read after the job has ended: parameter servers never end by themselves."""


@dataclass(frozen=True, slots=True)
class Followed:
    """A job whose logs are wanted.

    Attributes:
        job: The object.
        client: Where it is, as the cluster's owner sees it: who asks was asked for before.
    """

    kind: Kind
    job: ReadOnlyObject
    client: Client

    @property
    def pods(self) -> Selection:
        """Which Pods carry the job's labels."""
        return Selection(namespace_of(self.job), labels_of_pods(self.kind, name_of(self.job)))


async def read_logs(job: Followed, say: Say, tail: int | None = None) -> None:
    """Give what all replicas have written so far, in the order of time.

    Args:
        job: The job.
        say: Takes each line.
        tail: Only so many of the last lines of each replica.
    """
    page = await job.client.list(POD, job.pods)
    pods = [pod for pod in page.items if is_pod_of(job.kind, job.job, pod)]
    async with AsyncExitStack() as stack:
        heads: list[tuple[str, int, str]] = []
        sources: list[tuple[str, AsyncGenerator[str, None]]] = []
        for pod in pods:
            options = LogOptions(log_container(pod), timestamps=True, tail_lines=tail)
            try:
                pieces = await stack.enter_async_context(job.client.logs(name_of(pod), namespace_of(pod), options))
            except (BadRequest, NotFound):
                continue  # it has none yet, or none any more
            lines = await stack.enter_async_context(aclosing(_lines(pieces)))
            sources.append((replica_name(job.kind, pod), lines))
            await _push(heads, len(sources) - 1, lines)
        while heads:
            _, number, line = heapq.heappop(heads)
            replica, lines = sources[number]
            await say(replica, [line])
            await _push(heads, number, lines)


async def _push(heads: list[tuple[str, int, str]], number: int, lines: AsyncGenerator[str, None]) -> None:
    """Put the next line of a source among those that wait for their turn."""
    with contextlib.suppress(StopAsyncIteration):
        time, _, text = (await anext(lines)).partition(" ")
        heapq.heappush(heads, (time, number, text))


async def follow_logs(job: Followed, say: Say, tail: int | None = None) -> None:
    """Give what all replicas have written, and go on with what they write, until the job has ended or is gone."""
    readers = _Readers(job, say, tail)
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(readers.keep_up(tasks))
        await _wait_for_end(job)
        watching.cancel()
        page = await job.client.list(POD, job.pods)
        readers.take(page.items, tasks)
        await readers.finish()


async def _wait_for_end(job: Followed) -> None:
    selection = Selection(namespace_of(job.job), fields=f"metadata.name={name_of(job.job)}")
    async with aclosing(reflect(job.client, job.kind, selection)) as changes:
        async for change in changes:
            match change:
                case Replaced(objects):
                    found = next((obj for obj in objects if uid_of(obj) == uid_of(job.job)), None)
                    if found is None or state_of(job.kind, found).is_end:
                        return
                case Upserted(obj):
                    if state_of(job.kind, obj).is_end:
                        return
                case Removed():
                    return


class _Readers:
    """Those who follow the log of one Pod each.

    Args:
        job: The job.
        say: Takes what they read.
        tail: As ``follow_logs`` has it.
    """

    def __init__(self, job: Followed, say: Say, tail: int | None) -> None:
        self._job = job
        self._say = say
        self._tail = tail
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def keep_up(self, tasks: asyncio.TaskGroup) -> None:
        """Follow each Pod that there is, and each that comes."""
        async with aclosing(reflect(self._job.client, POD, self._job.pods)) as changes:
            async for change in changes:
                match change:
                    case Replaced(objects):
                        self.take(objects, tasks)
                    case Upserted(obj):
                        self.take((obj,), tasks)

    def take(self, pods: Sequence[ReadOnlyObject], tasks: asyncio.TaskGroup) -> None:
        """Follow those of the job's Pods that have begun and are not followed yet."""
        for pod in pods:
            has_begun = (pod.get("status") or {}).get("phase") not in (None, "Pending")
            if has_begun and uid_of(pod) not in self._tasks and is_pod_of(self._job.kind, self._job.job, pod):
                self._tasks[uid_of(pod)] = tasks.create_task(self._follow(pod))

    async def finish(self) -> None:
        """Wait for those whose Pods have ended, and leave those that still run."""
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=_LATE_OUTPUT_S)
        for task in self._tasks.values():
            task.cancel()

    async def _follow(self, pod: ReadOnlyObject) -> None:
        if not await _follow_log(self._job, pod, self._say, self._tail):
            self._tasks.pop(uid_of(pod), None)  # it had none yet: its next change says that it may have one


async def _follow_log(job: Followed, pod: ReadOnlyObject, say: Say, tail: int | None) -> bool:
    """Give the log of one Pod to its end; tell whether there was one."""
    options = LogOptions(log_container(pod), follow=True, tail_lines=tail)
    replica = replica_name(job.kind, pod)
    try:
        async with job.client.logs(name_of(pod), namespace_of(pod), options) as pieces:
            async for lines in _line_groups(pieces):
                await say(replica, lines)
    except (BadRequest, NotFound):
        return False
    except ApiError as error:
        await say(replica, [f"the log of {name_of(pod)} cannot be read any further: {error.message}"])
    return True


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncGenerator[str, None]:
    async for group in _line_groups(pieces):
        for line in group:
            yield line


async def _line_groups(pieces: AsyncIterator[bytes]) -> AsyncIterator[list[str]]:
    """Give the lines that each piece ends."""
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        if lines:
            yield [line.decode(errors="replace") for line in lines]
    if rest:
        yield [rest.decode(errors="replace")]
