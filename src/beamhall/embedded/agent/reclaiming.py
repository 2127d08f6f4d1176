"""Removes the directories of volumes that are being deleted, and only then lets the volumes go.

A volume's directory is moved aside first, so that its name is free at once and a crash in the middle leaves nothing
that could be taken for somebody's data; what lies aside is removed in a thread, and at the next start. What is to be
retained is moved to ``volumes/.retained/VOLUME`` instead, so that no later claim of that name sees it. Before anything
is moved, the API is asked once more whether the claim is gone: nothing brings data back. Next: ``volumes``.

Source: Kubernetes "Persistent Volumes", section "Reclaiming".
"""

import asyncio
import shutil
from contextlib import aclosing

import structlog

from beamhall.client.protocol import Client
from beamhall.client.reflector import Replaced, Upserted, reflect
from beamhall.embedded.agent.directory import safe_name
from beamhall.embedded.agent.projections import VolumeError
from beamhall.embedded.agent.volumes import Roots, directory_of
from beamhall.kernel.errors import ApiError, NotFound
from beamhall.kernel.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM
from beamhall.kernel.objects import ReadOnlyObject, is_being_deleted, metadata_of, name_of, uid_of

FINALIZER = "beamhall.io/directory"
_PROTECTION = "kubernetes.io/pv-protection"
_ASIDE = ".deleted"
_KEPT = ".retained"
_RETRY_S = 2.0
_log = structlog.get_logger(__name__)


class Reclaiming:
    """Follows PersistentVolumes for one node.

    Args:
        client: The API, as the node's user.
        roots: Where volumes are.
    """

    def __init__(self, client: Client, roots: Roots) -> None:
        self._client = client
        self._roots = roots
        self._due: dict[str, ReadOnlyObject] = {}
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._work())

    async def _follow(self) -> None:
        async with aclosing(reflect(self._client, PERSISTENT_VOLUME)) as changes:
            async for change in changes:
                volumes = (
                    change.objects
                    if isinstance(change, Replaced)
                    else [change.object]
                    if isinstance(change, Upserted)
                    else ()
                )
                for volume in volumes:
                    if _is_due(volume):
                        self._due[name_of(volume)] = volume
                        self._wake.set()

    async def _work(self) -> None:
        await asyncio.to_thread(self._empty_aside)
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._due:
                name, volume = next(iter(self._due.items()))
                del self._due[name]
                try:
                    await self._reclaim(volume)
                except (ApiError, OSError) as error:
                    _log.warning("volume_not_reclaimed", volume=name, why=str(error))
                    self._due[name] = volume
                    await asyncio.sleep(_RETRY_S)
            await asyncio.to_thread(self._empty_aside)

    async def _reclaim(self, volume: ReadOnlyObject) -> None:
        try:
            volume = await self._client.get(PERSISTENT_VOLUME, name_of(volume))
        except NotFound:
            return
        if not _is_due(volume) or await self._is_claimed(volume):
            return
        await asyncio.to_thread(self._put_aside, volume)
        rest = [name for name in metadata_of(volume).get("finalizers") or () if name != FINALIZER]
        patch = {"metadata": {"finalizers": rest, "resourceVersion": metadata_of(volume)["resourceVersion"]}}
        await self._client.patch(PERSISTENT_VOLUME, name_of(volume), "", patch)

    async def _is_claimed(self, volume: ReadOnlyObject) -> bool:
        reference = volume["spec"].get("claimRef") or {}
        if not reference.get("uid"):
            return False
        try:
            claim = await self._client.get(PERSISTENT_VOLUME_CLAIM, reference["name"], reference["namespace"])
        except NotFound:
            return False
        return uid_of(claim) == str(reference["uid"])

    def _put_aside(self, volume: ReadOnlyObject) -> None:
        try:
            directory = directory_of(volume, self._roots)
        except VolumeError:
            return
        # A directory of the host (a hostPath) is nobody's to remove.
        if directory == self._roots.claims or not directory.is_relative_to(self._roots.claims):
            return
        is_kept = volume["spec"].get("persistentVolumeReclaimPolicy") == "Retain"
        aside = self._roots.claims / (_KEPT if is_kept else _ASIDE)
        aside.mkdir(parents=True, exist_ok=True)
        if directory.is_dir() and not directory.is_symlink():
            directory.rename(aside / safe_name(name_of(volume)))

    def _empty_aside(self) -> None:
        shutil.rmtree(self._roots.claims / _ASIDE, ignore_errors=True)


def _is_due(volume: ReadOnlyObject) -> bool:
    """Tell whether a volume waits for its directory to be removed, and for nothing before that."""
    finalizers = metadata_of(volume).get("finalizers") or ()
    return is_being_deleted(volume) and FINALIZER in finalizers and _PROTECTION not in finalizers
