"""Following the Pods of all runs by one watch: whoever waits for one is told when it changes.

Keeps nothing of Pods that nobody waits for. Read on in ``attempt``.
"""

import asyncio
import contextlib
from collections.abc import Iterator

from beamhall.client.protocol import Client, Selection
from beamhall.client.reflector import Change, Removed, Replaced, Upserted, reflect
from beamhall.kernel.errors import NotFound
from beamhall.kernel.kinds import POD
from beamhall.kernel.objects import ReadOnlyObject, name_of, namespace_of, uid_of
from beamhall.pipelines.driver.patience import patiently

OF_RUNS = Selection(labels="pipeline/runid")
"""The Pods of all runs; the label is upstream's."""

_Name = tuple[str, str]


class Watched:
    """One Pod that somebody waits for.

    Attributes:
        pod: As it was last seen; None before that.
        is_gone: Whether it was there and is not any more.
    """

    def __init__(self) -> None:
        self.pod: ReadOnlyObject | None = None
        self.is_gone = False
        self.is_doubtful = False
        self._changed = asyncio.Event()

    def see(self, pod: ReadOnlyObject) -> None:
        """Take a newer state of the Pod."""
        self.pod = pod
        self.is_doubtful = False
        self._changed.set()

    def miss(self, pod: ReadOnlyObject | None = None) -> None:
        """Take that the Pod, or one of its name, is gone."""
        if self.pod is not None and (pod is None or uid_of(pod) == uid_of(self.pod)):
            self.is_gone = True
            self._changed.set()

    def doubt(self) -> None:
        """Take that the Pod was not in a list: it may be gone, or younger than the list."""
        self.is_doubtful = True
        self._changed.set()

    async def changed(self) -> None:
        """Wait for a change after the last one that was waited for."""
        await self._changed.wait()
        self._changed.clear()


class Pods:
    """The Pods of all runs.

    Args:
        client: Where they are.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._watched: dict[_Name, Watched] = {}
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def watching(self, namespace: str, name: str) -> Iterator[Watched]:
        """Follow one Pod; begin before it is made."""
        watched = self._watched[namespace, name] = Watched()
        try:
            yield watched
        finally:
            del self._watched[namespace, name]

    def is_watched(self, namespace: str, name: str) -> bool:
        """Tell whether somebody waits for a Pod."""
        return (namespace, name) in self._watched

    async def recheck(self, namespace: str, name: str, watched: Watched) -> None:
        """Find out whether a doubtful Pod is there."""
        try:
            watched.see(await patiently(lambda: self._client.get(POD, name, namespace)))
        except NotFound:
            watched.is_doubtful = False
            watched.miss()

    async def run(self) -> None:
        """Follow until cancelled."""
        async with contextlib.aclosing(reflect(self._client, POD, OF_RUNS)) as changes:
            async for change in changes:
                self._take(change)
                self.ready.set()

    def _take(self, change: Change) -> None:
        if isinstance(change, Upserted):
            if watched := self._watched.get(_name(change.object)):
                watched.see(change.object)
        elif isinstance(change, Removed):
            if watched := self._watched.get(_name(change.object)):
                watched.miss(change.object)
        elif isinstance(change, Replaced):
            there = {_name(pod): pod for pod in change.objects}
            for name, watched in self._watched.items():
                if name in there:
                    watched.see(there[name])
                elif watched.pod is not None:
                    watched.doubt()


def _name(pod: ReadOnlyObject) -> _Name:
    return namespace_of(pod), name_of(pod)
