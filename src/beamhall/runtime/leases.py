"""Leader election on a Lease: of several processes that run the same controllers, one works.

The clocks of the others are not trusted: a lease has run out when it did not change for its duration on our own clock.
A leader that cannot renew in time stops its work before another one may begin. Source: Kubernetes API,
coordination.k8s.io/v1 Lease; client-go tools/leaderelection describes the same protocol.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

from beamhall.client.protocol import Client
from beamhall.kernel.clock import Clock, format_micro_time
from beamhall.kernel.errors import AlreadyExists, ApiError, Conflict, NotFound
from beamhall.kernel.kinds import LEASE
from beamhall.kernel.objects import Object

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """When a lease runs out.

    Attributes:
        duration_s: Others may take the lease when it was not renewed for so long; whole seconds.
        renew_within_s: The leader stops when it could not renew for so long; must be less.
        retry_s: Time between attempts to take or renew it.
    """

    duration_s: int = 15
    renew_within_s: float = 10.0
    retry_s: float = 2.0


class Lease:
    """One candidate for one lease.

    Args:
        client: Where the Lease object lives.
        clock: Ours.
        name: (namespace, name) of the Lease.
        identity: Ours; no other candidate has it.
        terms: The same for all candidates.
        sleep: Waits; tests hand in one that moves their clock.
    """

    def __init__(
        self,
        client: Client,
        clock: Clock,
        name: tuple[str, str],
        identity: str,
        *,
        terms: Terms | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._clock = clock
        self._namespace, self._name = name
        self._identity = identity
        self._terms = terms or Terms()
        self._sleep = sleep
        self._seen: tuple[Any, float] = (None, 0.0)
        self._renewed_at = 0.0
        self._last_reason = ""
        self.is_held = False

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait for the lease, then do the work while it is held; return when the work ends or the lease is lost.

        When this is cancelled, or the work is over, the lease is given up at once.
        """
        while not await self.try_to_hold():
            await self._sleep(self._terms.retry_s)
        _log.info("leading", lease=self._name, identity=self._identity)
        try:
            async with asyncio.TaskGroup() as group:
                renewing = group.create_task(self._renew())
                working = group.create_task(_run(work))
                await asyncio.wait((renewing, working), return_when=asyncio.FIRST_COMPLETED)
                renewing.cancel()
                working.cancel()
        finally:
            self.is_held = False
            with suppress(ApiError, TimeoutError):
                async with asyncio.timeout(self._terms.retry_s):
                    await self._give_up()

    async def try_to_hold(self) -> bool:
        """Take or renew the lease, if we may. Errors of the API count as not."""
        began = self._clock.monotonic()
        try:
            self.is_held = await self._attempt()
        except ApiError as err:
            level = _log.debug if err.reason in (self._last_reason, Conflict.reason) else _log.warning
            level("lease not renewed", lease=self._name, reason=err.reason, error=err.message)
            self._last_reason = err.reason
            return False
        self._last_reason = ""
        if self.is_held:
            self._renewed_at = began
        return self.is_held

    async def _renew(self) -> None:
        """Renew until that fails for too long, or another one has the lease."""
        while True:
            await self._sleep(self._terms.retry_s)
            left_s = self._renewed_at + self._terms.renew_within_s - self._clock.monotonic()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, left_s)):
                    await self.try_to_hold()
            if not self.is_held or self._clock.monotonic() - self._renewed_at >= self._terms.renew_within_s:
                _log.warning("lease lost", lease=self._name, identity=self._identity)
                return

    async def _attempt(self) -> bool:
        try:
            lease = await self._client.get(LEASE, self._name, self._namespace)
        except NotFound:
            metadata = {"name": self._name, "namespace": self._namespace}
            body = {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": metadata, "spec": self._spec({})}
            with suppress(AlreadyExists):
                await self._client.create(LEASE, body)
                return True
            return False
        spec = lease.get("spec") or {}
        if spec != self._seen[0]:
            self._seen = (spec, self._clock.monotonic())
        holder = spec.get("holderIdentity") or ""
        age_s = self._clock.monotonic() - self._seen[1]
        if holder not in ("", self._identity) and age_s < (spec.get("leaseDurationSeconds") or 0):
            return False
        # A conflict goes to the caller: somebody wrote meanwhile, who need not be another candidate.
        await self._client.replace(LEASE, {**lease, "spec": self._spec(spec)})
        return True

    def _spec(self, old: Object) -> Object:
        now = format_micro_time(self._clock.now())
        is_ours = old.get("holderIdentity") == self._identity
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._terms.duration_s,
            "acquireTime": old.get("acquireTime", now) if is_ours else now,
            "renewTime": now,
            "leaseTransitions": int(old.get("leaseTransitions") or 0) + (0 if is_ours or not old else 1),
        }

    async def _give_up(self) -> None:
        lease = await self._client.get(LEASE, self._name, self._namespace)
        spec = lease.get("spec") or {}
        if spec.get("holderIdentity") == self._identity:
            released = {**spec, "holderIdentity": "", "leaseDurationSeconds": 1}
            await self._client.replace(LEASE, {**lease, "spec": released})


async def _run(work: Callable[[], Awaitable[None]]) -> None:
    await work()
