"""Events are forgotten an hour after they were last written, as a kube-apiserver does: they are news, not history.

Must not know what else is stored; ``verbs`` runs it beside ``collector``.
"""

import asyncio
from datetime import timedelta

from beamhall.embedded.api.core import Core
from beamhall.embedded.api.resources import Resource
from beamhall.kernel.clock import parse_time
from beamhall.kernel.errors import ApiError
from beamhall.kernel.kinds import EVENT
from beamhall.kernel.objects import ReadOnlyObject, name_of, namespace_of

EVENT_LIFETIME_S = 3_600.0
"""How long an Event is kept after its last write."""

_BATCH = 100
"""How many are deleted at a time."""


class EventExpiry:
    """Deletes old Events. An ``Observer``; ``run`` it once.

    Args:
        core: What the verbs share.
        lifetime_s: How long an Event is kept.
    """

    def __init__(self, core: Core, lifetime_s: float = EVENT_LIFETIME_S) -> None:
        self._core = core
        self._lifetime_s = lifetime_s
        # In order of their ends: each write moves an Event to the end, and all have the same time to live.
        self._ends: dict[tuple[str, str], float] = {}
        self._wake = asyncio.Event()

    def written(self, resource: Resource, obj: ReadOnlyObject, *, is_gone: bool) -> None:
        """Notice a write of an Event."""
        if resource.kind != EVENT:
            return
        key = (namespace_of(obj), name_of(obj))
        self._ends.pop(key, None)
        if not is_gone:
            self._ends[key] = self._core.clock.monotonic() + self._lifetime_s
            self._wake.set()

    async def run(self) -> None:
        """Delete Events as their time comes, until cancelled."""
        await self._remember_stored()
        while True:
            if not self._ends:
                self._wake.clear()
                await self._wake.wait()
            left_s = next(iter(self._ends.values())) - self._core.clock.monotonic()
            if left_s > 0:
                await asyncio.sleep(left_s)
                continue
            await self._delete_ended()

    async def _remember_stored(self) -> None:
        now, monotonic = self._core.clock.now(), self._core.clock.monotonic()
        found = []
        for event in (await asyncio.to_thread(self._core.store.list, EVENT.resource)).items:
            written = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
            # A clock that was set back makes news of the future: they must not live for as long as it went back.
            age_s = max(0.0, (now - parse_time(written)) / timedelta(seconds=1))
            found.append((monotonic + self._lifetime_s - age_s, (namespace_of(event), name_of(event))))
        later = self._ends
        self._ends = {key: end for end, key in sorted(found) if key not in later} | later

    async def _delete_ended(self) -> None:
        now = self._core.clock.monotonic()
        ended = [key for key, end in self._ends.items() if end <= now][:_BATCH]
        for namespace, name in ended:
            self._ends.pop((namespace, name), None)
            try:
                gone = await self._core.store.delete(EVENT.resource, namespace, name)
            except ApiError:
                continue  # gone already, or not to be written now: the next start looks again
            self._core.tell(self._core.registry.find(EVENT), gone, is_gone=True)
