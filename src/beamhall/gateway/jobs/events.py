"""What happens to a job, as it happens: Server-Sent Events of the job, its Pods, its events and, if wanted, its logs.

Each event carries the whole of what it is about as it is now, so that a follower may come late or come back: it is told
how things are, then what changes. The last one is ``job`` in its final state, or ``gone``.

Source: WHATWG HTML, section 9.2, "Server-sent events".
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from beamhall.client.protocol import Selection
from beamhall.client.reflector import Removed, Replaced, Upserted, reflect
from beamhall.gateway.jobs.logs import Followed, follow_logs
from beamhall.gateway.jobs.streaming import Write
from beamhall.kernel.kinds import EVENT, POD, Kind
from beamhall.kernel.objects import ReadOnlyObject, name_of, namespace_of, uid_of
from beamhall.training.overview import is_pod_of, job_overview, pod_overview

HEARTBEAT_S = 10.0
"""After how many seconds without an event a follower is told that the connection is good."""


class EventStream:
    """The events of one job, for one follower.

    Args:
        job: The job.
        write: Sends a piece.
        has_logs: Whether the lines of the logs are wanted too, as events ``log``.
        tail: Of what was written before, only so many of the last lines of each replica.
    """

    def __init__(self, job: Followed, write: Write, *, has_logs: bool = False, tail: int | None = None) -> None:
        self._job = job
        self._write = write
        self._has_logs = has_logs
        self._tail = tail
        self._pods: set[str] = {name_of(job.job)}
        self._told: dict[str, Mapping[str, Any]] = {}
        self._is_busy = True

    async def run(self) -> None:
        """Write what is and what happens until the job has ended and all was written."""
        async with asyncio.TaskGroup() as tasks:
            work = (self._pods_changes(), self._events(), self._heartbeat())
            others = [tasks.create_task(each) for each in work]
            logs = tasks.create_task(self._logs()) if self._has_logs else None
            last = await self._job_changes()
            if logs is not None:
                await asyncio.wait([logs])
            for task in others:
                task.cancel()
        for pod in (await self._job.client.list(POD, self._job.pods)).items:
            if self._is_own(pod):
                await self._tell_pod(pod)
        await self._send(*last)

    async def _job_changes(self) -> tuple[str, Mapping[str, Any]]:
        """Tell of each change of the job, and give its last event."""
        job = self._job
        selection = Selection(namespace_of(job.job), fields=f"metadata.name={name_of(job.job)}")
        last: Mapping[str, Any] = job_overview(job.kind, job.job)
        async with aclosing(reflect(job.client, job.kind, selection)) as changes:
            async for change in changes:
                match change:
                    case Replaced(objects):
                        found = next((obj for obj in objects if uid_of(obj) == uid_of(job.job)), None)
                    case Upserted(obj):
                        found = obj
                    case Removed():
                        found = None
                    case _:
                        continue
                if found is None:
                    return "gone", last
                now = job_overview(job.kind, found)
                if now["state"] in ("Succeeded", "Failed"):
                    return "job", now
                if now != last or isinstance(change, Replaced):
                    last = now
                    await self._send("job", now)
        return "gone", last

    async def _pods_changes(self) -> None:
        await self._follow(POD, self._job.pods, self._tell_pod, self._is_own)

    def _is_own(self, pod: ReadOnlyObject) -> bool:
        return is_pod_of(self._job.kind, self._job.job, pod)

    async def _tell_pod(self, pod: ReadOnlyObject) -> None:
        """Tell how a Pod is, if that is news."""
        self._pods.add(name_of(pod))
        now = pod_overview(self._job.kind, pod)
        if self._told.get(uid_of(pod)) != now:
            self._told[uid_of(pod)] = now
            await self._send("pod", now)

    async def _events(self) -> None:
        """Tell of the events of the job and what it is made of; a Pod's may come before the Pod, so they go by name."""
        name = name_of(self._job.job)

        async def tell(event: ReadOnlyObject) -> None:
            await self._send("event", event_overview(event))

        def is_ours(event: ReadOnlyObject) -> bool:
            about = event.get("involvedObject") or {}
            named = str(about.get("name", ""))
            is_child = about.get("kind") in ("Pod", "PodGroup", "JobSet", "Job") and named.startswith(f"{name}-")
            return about.get("uid") == uid_of(self._job.job) or named in self._pods - {name} or is_child

        await self._follow(EVENT, Selection(namespace_of(self._job.job)), tell, is_ours)

    async def _follow(
        self,
        kind: Kind,
        selection: Selection,
        tell: Callable[[ReadOnlyObject], Awaitable[None]],
        is_ours: Callable[[ReadOnlyObject], bool],
    ) -> None:
        async with aclosing(reflect(self._job.client, kind, selection)) as changes:
            async for change in changes:
                match change:
                    case Replaced(objects):
                        found = objects
                    case Upserted(obj):
                        found = (obj,)
                    case _:
                        continue
                for obj in found:
                    if is_ours(obj):
                        await tell(obj)

    async def _logs(self) -> None:
        async def say(replica: str, lines: Sequence[str]) -> None:
            await self._send("log", {"replica": replica, "lines": lines})

        await follow_logs(self._job, say, self._tail)

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            if not self._is_busy:
                await self._write(b": waiting\n\n")
            self._is_busy = False

    async def _send(self, kind: str, data: Mapping[str, Any]) -> None:
        self._is_busy = True
        await self._write(b"event: %s\ndata: %s\n\n" % (kind.encode(), msgspec.json.encode({"event": kind, **data})))


def event_overview(event: ReadOnlyObject) -> Mapping[str, Any]:
    """Tell of an event, in JSON."""
    about = event.get("involvedObject") or {}
    return {
        "type": str(event.get("type", "")),
        "reason": str(event.get("reason", "")),
        "message": str(event.get("message", "")),
        "about": f"{about.get('kind', '')}/{about.get('name', '')}",
        "count": int(event.get("count") or 1),
        "time": str(event.get("lastTimestamp") or event.get("eventTime") or ""),
    }
