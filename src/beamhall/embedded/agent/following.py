"""ConfigMaps and Secrets that Pods have mounted, followed while any Pod has.

A kind is watched once for the whole node, from the first Pod that mounts one of it on. Nothing is kept of the objects.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from beamhall.client.protocol import Client
from beamhall.client.reflector import Removed, Replaced, Upserted, reflect
from beamhall.kernel.kinds import CONFIG_MAP, SECRET, Kind
from beamhall.kernel.objects import ReadOnlyObject, metadata_of, name_of, namespace_of

Reference = tuple[Kind, str, str]
"""Kind, namespace and name."""

Listener = Callable[[str], None]
"""Is told the resourceVersion of what it follows; empty: it is gone."""


class Following:
    """Tells who follows an object that it may have changed.

    Args:
        client: The API.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._listeners: dict[Reference, dict[str, Listener]] = {}
        self._wanted = {CONFIG_MAP: asyncio.Event(), SECRET: asyncio.Event()}

    def follow(self, reference: Reference, who: str, listener: Listener) -> None:
        """Have a listener called whenever an object of this name was made, changed or deleted."""
        self._listeners.setdefault(reference, {})[who] = listener
        self._wanted[reference[0]].set()

    def leave(self, reference: Reference, who: str) -> None:
        """Follow it no longer."""
        listeners = self._listeners.get(reference, {})
        listeners.pop(who, None)
        if not listeners:
            self._listeners.pop(reference, None)

    async def run(self) -> None:
        """Follow what is wanted, for ever."""
        async with asyncio.TaskGroup() as tasks:
            for kind in self._wanted:
                tasks.create_task(self._run(kind))

    async def _run(self, kind: Kind) -> None:
        await self._wanted[kind].wait()
        async with aclosing(reflect(self._client, kind)) as changes:
            async for change in changes:
                match change:
                    case Replaced(objects):
                        there = {(kind, namespace_of(obj), name_of(obj)): _revision(obj) for obj in objects}
                        for reference in [r for r in self._listeners if r[0] == kind]:
                            self._tell(reference, there.get(reference, ""))
                    case Upserted(obj):
                        self._tell((kind, namespace_of(obj), name_of(obj)), _revision(obj))
                    case Removed(obj):
                        self._tell((kind, namespace_of(obj), name_of(obj)), "")

    def _tell(self, reference: Reference, revision: str) -> None:
        for listener in list(self._listeners.get(reference, {}).values()):
            listener(revision)


def _revision(obj: ReadOnlyObject) -> str:
    return str(metadata_of(obj).get("resourceVersion") or "")
