"""The volumes of one Pod: made before its first container starts, and kept as they should be while it is there.

Volumes that are made from objects follow them; tokens are renewed in time; emptyDirs that have outgrown their limit end
the Pod. A Pod whose volumes need none of this costs nothing after its start. What a volume is on the disk is
``volumes``' business, what its files are ``projections``'.

Source: Kubernetes ``pkg/kubelet/volumemanager``, ``pkg/kubelet/token``, ``pkg/kubelet/eviction``.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from beamhall.embedded.agent.claims import claim_and_volume
from beamhall.embedded.agent.directory import PodDirectory
from beamhall.embedded.agent.facts import Trouble, spec_of
from beamhall.embedded.agent.following import Reference
from beamhall.embedded.agent.launching import agent_fields
from beamhall.embedded.agent.node import HOST_IP
from beamhall.embedded.agent.projections import (
    Contents,
    TokenSpec,
    Volume,
    VolumeError,
    contents_needed,
    holds_token,
    is_made_from_objects,
    tokens_needed,
    volumes_of,
)
from beamhall.embedded.agent.security import fs_group
from beamhall.embedded.agent.storage import Limits, overgrown, size_limits
from beamhall.embedded.agent.tools import Tools
from beamhall.embedded.agent.volumes import make_volume
from beamhall.kernel.clock import parse_time
from beamhall.kernel.errors import ApiError, NotFound
from beamhall.kernel.kinds import CONFIG_MAP, PERSISTENT_VOLUME_CLAIM, SECRET, SERVICE_ACCOUNT, Kind
from beamhall.kernel.objects import Object, ReadOnlyObject, annotations_of, labels_of, name_of, namespace_of, uid_of

_BURST_S = 0.05
_RENEW_AT = 0.8
_RENEW_MAX_S = 24 * 3600.0
_RETRY_S = 10.0


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    renew_at: datetime


class PodVolumes:
    """Makes and keeps the volumes of one Pod. For its worker.

    Args:
        pod: Gives the object as last seen.
        own: The Pod's directory.
        tools: What the worker works with.

    Attributes:
        trouble: What stands in the way of making them, if anything.
        address: The Pod's address.
    """

    def __init__(self, pod: Callable[[], ReadOnlyObject], own: PodDirectory, tools: Tools) -> None:
        self.trouble: Trouble | None = None
        self.address = ""
        self._pod = pod
        self._own = own
        self._tools = tools
        self._tokens: dict[TokenSpec, _Token] = {}
        self._seen: dict[Reference, str] = {}
        self._fields: object = None
        self._stale = asyncio.Event()
        self._keeping: list[asyncio.Task[None]] = []

    async def prepare(self) -> bool:
        """Make them stand. False, with ``trouble`` set and told, where that cannot be done now."""
        try:
            await self._make(volumes_of(self._pod()))
        except (VolumeError, ApiError) as error:
            failures = self.trouble.failures + 1 if self.trouble is not None else 1
            retry_at = self._tools.clock.now() + timedelta(seconds=self._tools.settings.retry.delay_s(failures))
            self.trouble = Trouble("FailedMount", str(error), failures, retry_at)
            self._tell(error)
            return False
        self.trouble = None
        return True

    def keep(self, tasks: asyncio.TaskGroup, evict: Callable[[str], None], *, is_stale: bool = False) -> None:
        """Begin to keep them as they should be, until ``close``.

        Args:
            tasks: Where that is done.
            evict: Ends the Pod, with a message that says why.
            is_stale: Whether they may have to change already: nobody kept them for a while.
        """
        if self._keeping:
            return
        pod = self._pod()
        if any(is_made_from_objects(volume) for volume in volumes_of(pod)):
            for reference in self._references():
                self._tools.following.follow(reference, uid_of(pod), self._listener(reference))
            if is_stale:
                self._stale.set()
            self._keeping.append(tasks.create_task(self._refresh()))
        if limits := size_limits(pod):
            self._keeping.append(tasks.create_task(self._watch_sizes(limits, evict)))

    def notice(self, pod: ReadOnlyObject) -> None:
        """Take in a newer state of the object: what is shown of it may have to change."""
        if self._keeping and self._fields is not None and self._fields != _shown_fields(pod):
            self._stale.set()

    @property
    def is_kept(self) -> bool:
        """Whether something is done for them now."""
        return bool(self._keeping)

    def close(self) -> None:
        """Leave them as they are."""
        for reference in self._references() if self._keeping else ():
            self._tools.following.leave(reference, uid_of(self._pod()))
        while self._keeping:
            self._keeping.pop().cancel()

    # -- making

    async def _make(self, volumes: Sequence[Volume]) -> None:
        pod = self._pod()
        self._fields = _shown_fields(pod)
        contents = await self._contents(pod, volumes)
        if all(holds_token(volume) for volume in volumes):  # small files in memory: a thread would take longer
            self._make_all(pod, volumes, contents)
        else:
            await asyncio.to_thread(self._make_all, pod, volumes, contents)

    def _make_all(self, pod: ReadOnlyObject, volumes: Sequence[Volume], contents: Contents) -> None:
        for volume in volumes:
            make_volume(pod, volume, self._own, self._tools.roots, contents)

    async def _contents(self, pod: ReadOnlyObject, volumes: Sequence[Volume]) -> Contents:
        objects: dict[tuple[Kind, str], Object | None] = {}
        for kind, name in sorted(contents_needed(pod, volumes), key=str):
            if kind == PERSISTENT_VOLUME_CLAIM:
                objects |= await claim_and_volume(self._tools.client, pod, name)
                continue
            try:
                found = objects[kind, name] = await self._tools.client.get(kind, name, namespace_of(pod))
                revision = str(found["metadata"].get("resourceVersion") or "")
            except NotFound:
                objects[kind, name], revision = None, ""
            self._seen[kind, namespace_of(pod), name] = revision
        tokens = {spec: await self._token(pod, spec) for spec in tokens_needed(pod)}
        fields = agent_fields(self.address, HOST_IP)
        group = fs_group(pod, self._tools.service.uid)
        return Contents(objects, tokens, fields, group, self._tools.allocatable)

    async def _token(self, pod: ReadOnlyObject, spec: TokenSpec) -> str:
        """Give a token of the Pod's service account, asking for one where there is none or it is to be renewed."""
        now = self._tools.clock.now()
        known = self._tokens.get(spec)
        if known is None or known.renew_at <= now:
            account = str(spec_of(pod).get("serviceAccountName") or "default")
            bound = {"apiVersion": "v1", "kind": "Pod", "name": name_of(pod), "uid": uid_of(pod)}
            request = {
                "audiences": [spec.audience] if spec.audience else [],
                "expirationSeconds": spec.expiration_s,
                "boundObjectRef": bound,
            }
            answer = await self._tools.client.create_subresource(
                SERVICE_ACCOUNT, account, namespace_of(pod), "token", _token_request(request)
            )
            lifetime_s = (parse_time(str(answer["status"]["expirationTimestamp"])) - now).total_seconds()
            renew_at = now + timedelta(seconds=min(_RENEW_MAX_S, _RENEW_AT * lifetime_s))
            known = self._tokens[spec] = _Token(str(answer["status"]["token"]), renew_at)
        return known.text

    # -- keeping

    def _references(self) -> list[Reference]:
        pod = self._pod()
        needed = contents_needed(pod, volumes_of(pod))
        return [(k, namespace_of(pod), name) for k, name in needed if k in (CONFIG_MAP, SECRET)]

    def _listener(self, reference: Reference) -> Callable[[str], None]:
        def listen(revision: str) -> None:
            if self._seen.get(reference) != revision:
                self._stale.set()

        return listen

    async def _refresh(self) -> None:
        """Bring the files up to date whenever something they show may have changed, and tokens before they expire."""
        delay_s = 0.0
        while True:
            await self._wait_until_stale(delay_s)
            await asyncio.sleep(_BURST_S)
            self._stale.clear()
            delay_s = 0.0
            try:
                await self._make([volume for volume in volumes_of(self._pod()) if is_made_from_objects(volume)])
            except VolumeError as error:  # what was there stays; a change of the object mends it
                self._tell(error)
            except (ApiError, OSError):
                self._stale.set()
                delay_s = _RETRY_S

    async def _wait_until_stale(self, at_least_s: float) -> None:
        await asyncio.sleep(at_least_s)
        renewals = [token.renew_at for token in self._tokens.values()]
        limit_s = (min(renewals) - self._tools.clock.now()).total_seconds() if renewals else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if limit_s is None else max(0.0, limit_s)):
                await self._stale.wait()

    async def _watch_sizes(self, limits: Limits, evict: Callable[[str], None]) -> None:
        while True:
            await asyncio.sleep(self._tools.settings.storage_check_s)
            if message := await asyncio.to_thread(overgrown, self._pod(), self._own, self._tools.roots, limits):
                evict(message)
                return

    def _tell(self, error: Exception) -> None:
        self._tools.recorder.warning(self._pod(), "FailedMount", f"MountVolume.SetUp failed for {error}")


def _token_request(spec: Mapping[str, object]) -> Object:
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": dict(spec)}


def _shown_fields(pod: ReadOnlyObject) -> object:
    """Give what of a Pod a volume may show and may change while it runs."""
    return dict(labels_of(pod)), dict(annotations_of(pod))
