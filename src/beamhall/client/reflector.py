"""Keeping a copy of a kind: list, watch, resume, list afresh, as one stream of changes that does not end.

``reflect`` hides everything that goes wrong between a server and someone who follows it. It keeps no objects and runs
no task: the informers of ``runtime`` and the node agent do. It must not know which transport it is given.

resourceVersions are opaque here: a real kube-apiserver gives no order to compare by, so they are tested for equality
and handed back, nothing else. Source: Kubernetes API concepts, "Efficient detection of changes".
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from beamhall.client.protocol import ALL, Client, Selection, WatchEvent
from beamhall.kernel.errors import (
    ApiError,
    Conflict,
    Expired,
    Forbidden,
    InternalError,
    NotFound,
    ServiceUnavailable,
    Timeout,
    TooManyRequests,
    Unauthorized,
)
from beamhall.kernel.kinds import Kind
from beamhall.kernel.objects import Object, ReadOnlyObject, metadata_of, name_of, namespace_of

_RESUMABLE = (ServiceUnavailable, TooManyRequests, Timeout)
_RETRIED = (*_RESUMABLE, Expired, NotFound, InternalError, Conflict)
_RETRIED_ONCE_IT_WORKED = (Unauthorized, Forbidden)
_FAILURES_UNTIL_LIST = 5


@dataclass(frozen=True, slots=True)
class Replaced:
    """A list was made: these are all the objects now, and any other that the follower holds is gone."""

    objects: Sequence[ReadOnlyObject]
    revision: str


@dataclass(frozen=True, slots=True)
class Upserted:
    """An object was made or changed, or came to match the selection."""

    object: ReadOnlyObject
    revision: str


@dataclass(frozen=True, slots=True)
class Removed:
    """An object was deleted or no longer matches; ``object`` is its last state."""

    object: ReadOnlyObject
    revision: str


@dataclass(frozen=True, slots=True)
class Synced:
    """Every change up to ``revision`` has been given (a bookmark): nothing of this kind changed since the last."""

    revision: str


Change = Replaced | Upserted | Removed | Synced
"""``revision`` is always the resourceVersion that the follower is at once it has taken the change in."""


def _ignore(error: ApiError, delay_s: float) -> None:
    """Report to nobody."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How patiently a reflector works.

    Attributes:
        page_size: Objects per list request.
        delay_min_s: Mean delay before the first new attempt; also between watches that end without an event.
        delay_max_s: The delay doubles up to this.
        sleep: Waits; tests hand in one that only takes notes.
        jitter: Gives a number in [0, 1); delays are spread over 50% to 150%.
        on_retry: Told each error that is tried again, and after how many seconds.
    """

    page_size: int = 500
    delay_min_s: float = 0.1
    delay_max_s: float = 30.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    on_retry: Callable[[ApiError, float], None] = _ignore

    def delay_s(self, failures: int, retry_after_s: float | None = None) -> float:
        """Give the delay after so many failures in a row (from 1); never less than the server asked for."""
        mean = min(self.delay_max_s, self.delay_min_s * 2.0 ** min(failures - 1, 30))
        return max(retry_after_s or 0.0, mean * (0.5 + self.jitter()))


async def reflect(
    client: Client, kind: Kind, selection: Selection = ALL, *, pace: Pace | None = None
) -> AsyncGenerator[Change, None]:
    """Follow the objects of a kind for ever.

    First comes ``Replaced``, then every change, once and in order; whenever changes may have been missed, another
    ``Replaced``. Objects come without ``managedFields``, and may be
    shared: nobody changes them. A watch that breaks is resumed from the last revision. A list
    is made afresh when that revision is no longer kept (``Expired``), when the resource is not there (``NotFound``: its
    CRD may come, or come back), after a defect of the server, and after five failures in a row.

    Iterate inside ``contextlib.aclosing(reflect(...))``, in one task, so that the watch is closed when you leave.

    Raises:
        Unauthorized: Credentials are wrong, before anything was given. Later it is tried again: tokens are rotated.
        Forbidden: The user may not list or watch, before anything was given. Later it is tried again.
        ApiError: What will not become right by waiting: ``BadRequest`` (the selection), ``MethodNotAllowed``, ….
    """
    follower = _Follower(client, kind, selection, pace or Pace())
    while True:
        steps = follower.watch() if follower.revision else follower.list()
        try:
            async for change in steps:
                yield change
            error = None
        except ApiError as raised:
            error = raised
        finally:
            await steps.aclose()
        await follower.recover(error)


@dataclass(slots=True)
class _Follower:
    client: Client
    kind: Kind
    selection: Selection
    pace: Pace
    revision: str = ""
    failures: int = 0
    has_worked: bool = False
    whole_list: bool = False
    progressed: bool = False
    held: dict[tuple[str, str], str] = field(default_factory=dict)

    async def list(self) -> AsyncGenerator[Change, None]:
        """List all pages; a page that expired under way makes the next attempt ask for all at once."""
        self.progressed = False
        objects: list[Object] = []
        continue_ = ""
        while True:
            try:
                page = await self.client.list(
                    self.kind,
                    self.selection,
                    limit=0 if self.whole_list else self.pace.page_size,
                    continue_=continue_,
                )
            except Expired:
                self.whole_list = True
                raise
            objects.extend(page.items)
            continue_ = page.continue_
            if not continue_:
                break
        self.whole_list = False
        self.revision = page.revision
        self.held = {_name(obj): _revision(obj) for obj in objects}
        self.has_worked = self.progressed = True
        yield Replaced([_without_owners(obj) for obj in objects], page.revision)

    async def watch(self) -> AsyncGenerator[Change, None]:
        self.progressed = False
        async with self.client.watch(self.kind, self.selection, revision=self.revision) as events:
            async for event in events:
                self.progressed = True
                self.failures = 0
                change = self._taken(event)
                if change is not None:
                    yield change
        self.failures = 0

    async def recover(self, error: ApiError | None) -> None:
        """Decide what an attempt's end means: where to go on, and after which delay. Raises what cannot be retried."""
        if error is None:
            if not self.progressed:  # a watch that gave nothing: do not spin on a server that closes at once
                await self.pace.sleep(self.pace.delay_s(1))
            return
        if not isinstance(error, _RETRIED) and not (self.has_worked and isinstance(error, _RETRIED_ONCE_IT_WORKED)):
            raise error
        self.failures += 1
        if not isinstance(error, (*_RESUMABLE, *_RETRIED_ONCE_IT_WORKED)) or self.failures >= _FAILURES_UNTIL_LIST:
            self.revision = ""
        is_first_expiry = isinstance(error, Expired) and self.failures == 1
        delay_s = 0.0 if is_first_expiry else self.pace.delay_s(self.failures, error.retry_after_s)
        self.pace.on_retry(error, delay_s)
        if delay_s:
            await self.pace.sleep(delay_s)

    def _taken(self, event: WatchEvent) -> Change | None:
        """Turn an event into a change; None if it says what was said before."""
        revision = _revision(event.object)
        if event.type == "BOOKMARK":
            self.revision = revision or self.revision
            return Synced(self.revision)
        name = _name(event.object)
        if event.type == "DELETED":
            if self.held.pop(name, None) is None:
                return None
            self.revision = revision or self.revision
            return Removed(_without_owners(event.object), self.revision)
        if revision and self.held.get(name) == revision:
            return None
        self.held[name] = revision
        self.revision = revision or self.revision
        return Upserted(_without_owners(event.object), self.revision)


def _name(obj: ReadOnlyObject) -> tuple[str, str]:
    return namespace_of(obj), name_of(obj)


def _without_owners(obj: ReadOnlyObject) -> ReadOnlyObject:
    """Leave out who owns which fields: nobody who follows objects asks for it, and it would take much memory."""
    metadata = metadata_of(obj)
    if "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}


def _revision(obj: ReadOnlyObject) -> str:
    return str(metadata_of(obj).get("resourceVersion") or "")
