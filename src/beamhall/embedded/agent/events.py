"""Events about Pods (and Services), as a kubelet records them: same names for same things, counted, bounded in rate.

An event's name follows from what it says, so that repeating it counts up instead of making another, even after a
restart. Recording never waits and never fails its caller: events are for people, and too many of them are dropped, as
are those that tell how a Pod got on that has succeeded and is gone before they were written.
"""

import asyncio
import hashlib
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Literal

from beamhall.client.protocol import Client
from beamhall.kernel.clock import Clock, format_time
from beamhall.kernel.errors import AlreadyExists, ApiError, NotFound
from beamhall.kernel.kinds import EVENT
from beamhall.kernel.objects import Object, ReadOnlyObject, name_of, namespace_of, uid_of

_QUEUE_LIMIT = 2000
_REMEMBERED = 4096
_BURST = 30
_REFILL_S = 10.0
_MESSAGE_LIMIT = 1024
_PATIENCE_S = 0.5
"""Events wait a moment, so that they do not stand in the way of what they tell about. Many a Pod is gone by then."""


@dataclass(slots=True)
class _Series:
    count: int
    first: str


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


@dataclass(frozen=True, slots=True)
class _Said:
    pod: ReadOnlyObject
    said: tuple[Literal["Normal", "Warning"], str, str]
    path: str
    slot: str
    moment: str
    at: float


@dataclass(slots=True)
class EventRecorder:
    """Writes Events about Pods of one node.

    Attributes:
        client: Where they are written.
        clock: Gives the times.
        host: The node's name.
    """

    client: Client
    clock: Clock
    host: str
    _queue: deque[_Said] = field(default_factory=deque)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _series: OrderedDict[tuple[str, str], _Series] = field(default_factory=OrderedDict)
    _forgotten: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _buckets: OrderedDict[str, _Bucket] = field(default_factory=OrderedDict)

    def normal(self, pod: ReadOnlyObject, reason: str, message: str, *, container: str = "", slot: str = "") -> None:
        """Record that something went its way. Arguments as for ``warning``."""
        self._record(pod, ("Normal", reason, message), container, slot)

    def warning(self, pod: ReadOnlyObject, reason: str, message: str, *, container: str = "", slot: str = "") -> None:
        """Record that something is wrong.

        Args:
            pod: What it is about.
            reason: One word in CamelCase.
            message: What and, where it helps, what to do.
            container: The container it is about, as ``spec.containers{name}``; empty: the Pod as a whole.
            slot: Events with the same slot are one event whose message changes, for progress.
        """
        self._record(pod, ("Warning", reason, message), container, slot)

    def forget(self, pod: ReadOnlyObject) -> None:
        """Drop what was not written yet of a Pod that went its way, and is gone."""
        self._forgotten[uid_of(pod)] = None
        if len(self._forgotten) > _REMEMBERED:
            self._forgotten.popitem(last=False)

    async def run(self) -> None:
        """Write what is recorded, one after another, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            while self._queue:
                await asyncio.sleep(self._queue[0].at + _PATIENCE_S - loop.time())
                if self._queue:
                    await self._write(self._queue.popleft())
            self._wake.clear()
            await self._wake.wait()

    async def flush(self) -> None:
        """Write what is still waiting; for the end of the service."""
        while self._queue:
            await self._write(self._queue.popleft())

    def _record(
        self, pod: ReadOnlyObject, said: tuple[Literal["Normal", "Warning"], str, str], container: str, slot: str
    ) -> None:
        if len(self._queue) >= _QUEUE_LIMIT or not self._is_allowed(uid_of(pod)):
            return
        path = f"spec.containers{{{container}}}" if container else ""
        now_s = asyncio.get_running_loop().time()
        self._queue.append(_Said(pod, said, path, slot, format_time(self.clock.now()), now_s))
        self._wake.set()

    def _is_allowed(self, uid: str) -> bool:
        """Take a token of the Pod's bucket: a burst, then one every few seconds."""
        moment = self.clock.monotonic()
        bucket = self._buckets.setdefault(uid, _Bucket(_BURST, moment))
        self._buckets.move_to_end(uid)
        if len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        bucket.tokens = min(_BURST, bucket.tokens + (moment - bucket.at) / _REFILL_S)
        bucket.at = moment
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def _event(self, said: _Said) -> Object:
        """Make the event."""
        pod, path = said.pod, said.path
        kind, reason, message = said.said
        text = "\0".join((uid_of(pod), kind, reason, said.slot or message, path))
        digest = hashlib.sha256(text.encode()).hexdigest()
        about = {
            "apiVersion": "v1",
            "kind": pod.get("kind") or "Pod",
            "namespace": namespace_of(pod),
            "name": name_of(pod),
            "uid": uid_of(pod),
        }
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{name_of(pod)}.{digest[:16]}", "namespace": namespace_of(pod)},
            "involvedObject": about | ({"fieldPath": path} if path else {}),
            "reason": reason,
            "message": message if len(message) <= _MESSAGE_LIMIT else message[: _MESSAGE_LIMIT - 1] + "…",
            "type": kind,
            "count": 1,
            "firstTimestamp": said.moment,
            "lastTimestamp": said.moment,
            "source": {"component": "kubelet", "host": self.host},
            "reportingComponent": "kubelet",
            "reportingInstance": self.host,
        }

    async def _write(self, said: _Said) -> None:
        """Make the event, or count it up. What the API refuses is dropped: nobody's work depends on an event."""
        if said.said[0] == "Normal" and uid_of(said.pod) in self._forgotten:
            return
        event = self._event(said)
        key = namespace_of(event), name_of(event)
        known = self._series.get(key)
        try:
            if known is None:
                known = await self._create(event)
            if known is not None:
                await self._count_up(event, known)
        except ApiError:
            self._series.pop(key, None)

    async def _create(self, event: Object) -> _Series | None:
        try:
            await self.client.create(EVENT, event)
        except AlreadyExists:
            there = await self.client.get(EVENT, name_of(event), namespace_of(event))
            first = str(there.get("firstTimestamp") or event["firstTimestamp"])
            return self._remember(event, _Series(int(there.get("count") or 1), first))
        self._remember(event, _Series(1, event["firstTimestamp"]))
        return None

    async def _count_up(self, event: Object, known: _Series) -> None:
        known.count += 1
        patch = {"count": known.count, "message": event["message"], "lastTimestamp": event["lastTimestamp"]}
        try:
            await self.client.patch(EVENT, name_of(event), namespace_of(event), patch)
        except NotFound:  # it was deleted, or aged out: begin anew
            self._series.pop((namespace_of(event), name_of(event)), None)
            await self._create(event)

    def _remember(self, event: Object, series: _Series) -> _Series:
        self._series[namespace_of(event), name_of(event)] = series
        if len(self._series) > _REMEMBERED:
            self._series.popitem(last=False)
        return series
