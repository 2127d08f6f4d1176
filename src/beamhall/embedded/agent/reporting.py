"""Writing a Pod's status: the newest one counts, what is the same is not written, a final one is written once.

What is not final waits a moment: many a Pod has ended by then, and two writes are one. A kubelet, too, reports
only what it sees when it looks.

``difference`` is pure. Must not know how statuses come about (``status``).
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from beamhall.client.protocol import Client
from beamhall.embedded.agent.facts import has_ended
from beamhall.kernel.errors import ApiError, Conflict, NotFound
from beamhall.kernel.kinds import POD
from beamhall.kernel.objects import Object, ReadOnlyObject, name_of, namespace_of, uid_of

PATIENCE_S = 0.025
PATIENCE_WITH_BRIEF_ONES_S = 1.0
"""For Pods that say that they are brief (``kernel.names.BRIEF_ANNOTATION``)."""
_RETRY_FIRST_S = 0.2
_RETRY_MAX_S = 10.0


def difference(wanted: Mapping[str, Any], current: Mapping[str, Any]) -> Object:
    """Give the fields to be patched; None removes one. Fields that ``wanted`` does not name are left alone."""
    return {key: value for key, value in wanted.items() if current.get(key) != value}


class StatusReporter:
    """Keeps one Pod's status in the API as it should be.

    Args:
        client: Where it is written.
        pod: Gives the object as last seen.
        wanted: Gives the status as it should be now.
        take: Is given the object that a write returned.
        patience_s: How long what is not final waits, in seconds.
    """

    def __init__(
        self,
        client: Client,
        pod: Callable[[], ReadOnlyObject],
        wanted: Callable[[], Object],
        take: Callable[[Object], None],
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._client = client
        self._pod = pod
        self._wanted = wanted
        self._take = take
        self._patience_s = patience_s
        self._dirty = asyncio.Event()
        self._pressing = asyncio.Event()
        self._writing = asyncio.Lock()
        self._is_gone = False

    def notify(self, *, is_pressing: bool = False) -> None:
        """Say that the status may have changed; it does not wait if nothing follows, or people have to act."""
        self._dirty.set()
        if is_pressing:
            self._pressing.set()

    async def run(self) -> None:
        """Write whenever it changed, for ever."""
        while True:
            await self._dirty.wait()
            if not self._pressing.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._patience_s):
                        await self._pressing.wait()
            self._dirty.clear()
            self._pressing.clear()
            await self.flush()

    async def flush(self) -> None:
        """Bring the API up to date; returns when it is, or when the Pod is gone or has ended."""
        delay_s = _RETRY_FIRST_S
        while True:
            try:
                async with self._writing:
                    await self._write()
            except ApiError as error:
                if await self._has_nobody_to_report_to(error):
                    self._is_gone = True
                    return
                await asyncio.sleep(delay_s)
                delay_s = min(_RETRY_MAX_S, 2 * delay_s)
            else:
                return

    async def _has_nobody_to_report_to(self, error: ApiError) -> bool:
        """Tell whether an error means that the Pod is gone, or that another one has its name."""
        if isinstance(error, NotFound):
            return True
        if not isinstance(error, Conflict):
            return False
        pod = self._pod()
        try:
            there = await self._client.get(POD, name_of(pod), namespace_of(pod))
        except NotFound:
            return True
        except ApiError:
            return False
        return uid_of(there) != uid_of(pod)

    async def _write(self) -> None:
        pod = self._pod()
        if self._is_gone or has_ended(pod):
            return
        patch = difference(self._wanted(), pod.get("status") or {})
        if patch:
            body = {"metadata": {"uid": uid_of(pod)}, "status": patch}
            written = await self._client.patch(POD, name_of(pod), namespace_of(pod), body, subresource="status")
            self._take(written)
