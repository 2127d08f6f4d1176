"""Events for people (``kubectl describe``): what controllers say about objects, counted instead of repeated.

An Event's name follows from the object's uid, reason and message, so that saying it again counts up, also after a
restart and by another process. Recording never waits: a few tasks write what is queued. An Event that cannot be written
is lost; it never fails a plan. What is fleeting waits a moment, and is dropped where its object is gone by then:
thousands of short Pods would else leave thousands of Events. Source: Kubernetes API, core/v1 Event.
"""

import asyncio
import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from beamhall.client.protocol import Client
from beamhall.kernel.clock import Clock, format_time
from beamhall.kernel.errors import AlreadyExists, ApiError, NotFound
from beamhall.kernel.kinds import EVENT, Kind
from beamhall.kernel.objects import Object, ReadOnlyObject, metadata_of, name_of, namespace_of, uid_of
from beamhall.kernel.plan import Emit

QUEUE_LIMIT = 10_000
"""Events that wait to be written; more are dropped. Thousands of short Jobs may begin and end together."""

AT_ONCE = 4
"""Events that are written together: enough to keep up, few enough not to keep work waiting."""

REMEMBERED = 16_384
Find = Callable[[Kind, str, str], ReadOnlyObject | None]
"""Gives the object of a kind, namespace and name, if it is there."""

QUIET_S = 10.0
"""The same Event is written at most once in so many seconds; what was said meanwhile is counted with the next."""

FLEETING_S = 0.5
"""How long what is fleeting waits."""

MESSAGE_LIMIT = 1_024

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Series:
    """What is known of one Event: how often it was said since it was last written, and when that was."""

    unwritten: int = 0
    written_at: float | None = None
    is_queued: bool = False


class EventRecorder:
    """Writes the Events of one process's controllers.

    Args:
        client: Where they are written.
        clock: The time.
        find: Says which objects are still there.
    """

    def __init__(self, client: Client, clock: Clock, find: Find) -> None:
        self._client = client
        self._find = find
        self._clock = clock
        self._queue: deque[tuple[Emit, str, datetime]] = deque()
        self._series: OrderedDict[str, _Series] = OrderedDict()
        self._wake = asyncio.Event()
        self._fleeting: deque[tuple[Emit, str, datetime, float]] = deque()
        self._fleets = asyncio.Event()

    def record(self, emit: Emit, source: str) -> None:
        """Note an Event. ``source`` is the controller's name."""
        if emit.is_fleeting:
            if len(self._fleeting) < QUEUE_LIMIT:
                self._fleeting.append((emit, source, self._clock.now(), asyncio.get_running_loop().time() + FLEETING_S))
                self._fleets.set()
            return
        self._record(emit, source, self._clock.now())

    def _record(self, emit: Emit, source: str, when: datetime) -> None:
        series = self._series.setdefault(event_name(emit), _Series())
        self._series.move_to_end(event_name(emit))
        if len(self._series) > REMEMBERED:
            self._series.popitem(last=False)
        series.unwritten += 1
        is_quiet = series.written_at is not None and self._clock.monotonic() - series.written_at < QUIET_S
        if series.is_queued or is_quiet or len(self._queue) >= QUEUE_LIMIT:
            return
        series.is_queued = True
        self._queue.append((emit, source, when))
        self._wake.set()

    async def run(self) -> None:
        """Write what is recorded, for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._work())
            group.create_task(self._pass_fleeting())

    async def _pass_fleeting(self) -> None:
        """Record what is fleeting when it has waited, if its object is still there."""
        while True:
            while self._fleeting:
                emit, source, when, due = self._fleeting.popleft()
                await asyncio.sleep(due - asyncio.get_running_loop().time())
                there = self._find(emit.kind, namespace_of(emit.about), name_of(emit.about))
                if there is not None and uid_of(there) == uid_of(emit.about):
                    self._record(emit, source, when)
            self._fleets.clear()
            await self._fleets.wait()

    async def _work(self) -> None:
        while True:
            while self._queue:
                await self._write(*self._queue.popleft())
            self._wake.clear()
            await self._wake.wait()

    async def _write(self, emit: Emit, source: str, when: datetime) -> None:
        name = event_name(emit)
        series = self._series.setdefault(name, _Series())
        count, series.unwritten = max(1, series.unwritten), 0
        series.is_queued = False
        series.written_at = self._clock.monotonic()
        event = event_of(emit, source, when, count)
        try:
            try:
                await self._client.create(EVENT, event)
            except AlreadyExists:
                await self._count_up(event)
        except NotFound:
            _log.debug("event not written: its namespace is gone", name=name)
        except ApiError as err:
            _log.warning("event not written", name=name, reason=emit.reason, error=err.message)

    async def _count_up(self, event: Object) -> None:
        namespace, name = namespace_of(event), name_of(event)
        old = await self._client.get(EVENT, name, namespace)
        patch = {"count": int(old.get("count") or 1) + event["count"], "lastTimestamp": event["lastTimestamp"]}
        await self._client.patch(EVENT, name, namespace, patch)


def event_name(emit: Emit) -> str:
    """Give the name of the Event that says this: the object's name, and a hash of what is said of which object."""
    said = "\0".join((uid_of(emit.about), emit.type, emit.reason, emit.message))
    digest = hashlib.sha256(said.encode()).hexdigest()[:16]
    return f"{name_of(emit.about)[:236]}.{digest}"


def event_of(emit: Emit, source: str, when: datetime, count: int) -> Object:
    """Make the core/v1 Event. One about a cluster-scoped object lives in ``default``, as in Kubernetes."""
    about = emit.about
    namespace = namespace_of(about) if emit.kind.namespaced else ""
    involved = {
        "apiVersion": emit.kind.api_version,
        "kind": emit.kind.kind,
        "name": name_of(about),
        "uid": uid_of(about),
        "resourceVersion": str(metadata_of(about).get("resourceVersion") or ""),
    }
    message = emit.message if len(emit.message) <= MESSAGE_LIMIT else emit.message[: MESSAGE_LIMIT - 1] + "…"
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"name": event_name(emit), "namespace": namespace or "default"},
        "involvedObject": involved | ({"namespace": namespace} if namespace else {}),
        "reason": emit.reason,
        "message": message,
        "type": emit.type,
        "source": {"component": source},
        "reportingComponent": source,
        "reportingInstance": "",
        "firstTimestamp": format_time(when),
        "lastTimestamp": format_time(when),
        "eventTime": None,
        "count": count,
    }
