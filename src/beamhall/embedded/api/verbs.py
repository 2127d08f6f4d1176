"""The resource API: every verb on every kind, for one user at a time.

``Api`` is what ``client.local.ResourceApi`` describes, with the options that only HTTP has. Each method asks who may,
finds what is served, and hands over to ``reading``, ``watching``, ``writing`` or ``deletion``. Must not know HTTP.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any, Literal, Protocol

from beamhall.client.protocol import (
    ALL,
    Apply,
    ExecOptions,
    LogOptions,
    Page,
    PatchType,
    Propagation,
    RemoteProcess,
    Selection,
    WatchEvent,
)
from beamhall.embedded.api.applying import Applying, check_manager
from beamhall.embedded.api.authorization import Attributes, require
from beamhall.embedded.api.beginnings import begin
from beamhall.embedded.api.binding import binding_of
from beamhall.embedded.api.collector import Collector
from beamhall.embedded.api.core import Change, Core, WriteOptions
from beamhall.embedded.api.deletion import Deleted, DeleteOptions, Deletion
from beamhall.embedded.api.expiry import EventExpiry
from beamhall.embedded.api.list_options import ListOptions, WatchOptions
from beamhall.embedded.api.owners import Owners
from beamhall.embedded.api.patching import change_of
from beamhall.embedded.api.pod_streams import PodStreams
from beamhall.embedded.api.quota.ledger import Ledger
from beamhall.embedded.api.quota.reporting import QuotaReporter
from beamhall.embedded.api.reading import Reading, Write, Written
from beamhall.embedded.api.registry import Registry
from beamhall.embedded.api.resources import Resource
from beamhall.embedded.api.reviews import Reviews
from beamhall.embedded.api.tokens import ServiceAccountTokens
from beamhall.embedded.api.usage_source import UsageSource
from beamhall.embedded.api.watching import Watch, Watching, events_of
from beamhall.embedded.api.writing import Writing
from beamhall.kernel.clock import Clock
from beamhall.kernel.errors import MethodNotAllowed, NotFound, ServiceUnavailable
from beamhall.kernel.identity import ADMIN_GROUP, User
from beamhall.kernel.kinds import POD, Kind
from beamhall.kernel.objects import Object, ReadOnlyObject, name_of, namespace_of

Subresource = Literal["", "status"]

Creator = Callable[[User, tuple[str, str], Any, WriteOptions], Awaitable[Object]]
"""Answers a POST on a subresource: who asks, namespace and name of the object, the body, and how."""


class PodLogs(Protocol):
    """Reads the logs of Pods; the node agent implements it."""

    def open(self, pod: ReadOnlyObject, options: LogOptions) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open a container's log. Raises ``BadRequest`` or ``NotFound`` on entering."""
        ...


class Api:
    """The verbs.

    Attributes:
        tokens: Of service accounts.
        reviews: Questions about users.
        errands: What ``run`` does beside its own; ``factory`` fills it in.
        creators: What a POST on a subresource does, by (``Kind.resource``, subresource); ``factory`` fills it in.
        logs_of: Where Pod logs come from; ``factory.create_app`` sets it. None: there is no agent.
        usage_of: Who knows what Pods and nodes use; likewise.
        streams_of: Who reaches into running Pods; likewise.
        begun: Set when what every cluster has from its start is there.
        closing: Set when ``run`` ends, so that streams over HTTP end at once instead of holding up the server's stop.

    Args:
        core: What the verbs share.
        ledger: What quotas count.
        tokens: Of service accounts.
        reviews: Questions about users.
    """

    def __init__(self, core: Core, ledger: Ledger, tokens: ServiceAccountTokens, reviews: Reviews) -> None:
        self._core = core
        self.tokens = tokens
        self._reading = Reading(core)
        self._watching = Watching(core, self._reading)
        self._writing = Writing(core)
        self._applying = Applying(core, self._writing)
        self._deletion = Deletion(core)
        self.reviews = reviews
        self.errands: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self.creators: dict[tuple[str, str], Creator] = {}
        self._collector = Collector(core, self._writing, self._deletion)
        self._expiry = EventExpiry(core)
        self._quotas = QuotaReporter(core, self._writing, ledger)
        core.observers += [self._collector, self._expiry]
        self.logs_of: PodLogs | None = None
        self.usage_of: UsageSource | None = None
        self.streams_of: PodStreams | None = None
        self.begun = asyncio.Event()
        self.closing = asyncio.Event()

    @property
    def registry(self) -> Registry:
        """Which kinds are served."""
        return self._core.registry

    @property
    def clock(self) -> Clock:
        """The time."""
        return self._core.clock

    @property
    def owners(self) -> Owners:
        """Who owns which fields."""
        return self._core.owners

    @property
    def core(self) -> Core:
        """What the verbs share."""
        return self._core

    @property
    def writing(self) -> Writing:
        """The verbs that make and change objects, for those who have asked already whether the user may."""
        return self._writing

    @property
    def deletion(self) -> Deletion:
        """The verb that deletes, likewise."""
        return self._deletion

    async def run(self) -> None:
        """Make what every cluster has, then do what follows from writes until cancelled; then end the streams."""
        try:
            await begin(self._core, self._writing)
            self.begun.set()
            async with asyncio.TaskGroup() as parts:
                parts.create_task(self._collector.run())
                parts.create_task(self._expiry.run())
                parts.create_task(self._quotas.run())
                for errand in self.errands:
                    parts.create_task(errand())
        finally:
            self.closing.set()

    async def get(self, user: User, kind: Kind, name: str, namespace: str = "", *, subresource: str = "") -> Object:
        """Give an object, for a user who may get it, or this part of it. Raises ``NotFound``."""
        resource = self._allowed(user, "get", kind, namespace, name, subresource)
        return self._reading.get(resource, namespace, name)

    async def list(
        self, user: User, kind: Kind, selection: Selection = ALL, *, limit: int = 0, continue_: str = ""
    ) -> Page:
        """List objects, as ``client.protocol.Client.list``."""
        return await self.list_page(user, kind, selection, ListOptions(limit, continue_))

    async def list_page(self, user: User, kind: Kind, selection: Selection, options: ListOptions) -> Page:
        """List objects with the options of HTTP."""
        resource = self._allowed(user, "list", kind, selection.namespace, selection.only_name)
        return await self._reading.list(resource, selection, options)

    async def list_as(
        self, user: User, kind: Kind, selection: Selection, options: ListOptions, write: Write | None
    ) -> Written:
        """List objects as bytes, as long lists over HTTP are."""
        resource = self._allowed(user, "list", kind, selection.namespace, selection.only_name)
        return await self._reading.list_as(resource, selection, options, write)

    @asynccontextmanager
    async def watch(
        self, user: User, kind: Kind, selection: Selection = ALL, *, revision: str
    ) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        """Follow changes, as ``client.protocol.Client.watch``; revision empty or ``0``: what is there comes first."""
        async with self.open_watch(user, kind, selection, WatchOptions(revision)) as watch:
            yield events_of(watch)

    def open_watch(
        self, user: User, kind: Kind, selection: Selection, options: WatchOptions
    ) -> AbstractAsyncContextManager[Watch]:
        """Follow changes by batches, as the HTTP surface does."""
        resource = self._allowed(user, "watch", kind, selection.namespace, selection.only_name)
        return self._watching.open(resource, selection, options)

    async def create(self, user: User, kind: Kind, obj: Object, *, options: WriteOptions | None = None) -> Object:
        """Make an object, as ``client.protocol.Client.create``."""
        resource = self._allowed(user, "create", kind, namespace_of(obj))
        return await self._writing.create(user, resource, obj, options or WriteOptions())

    async def create_subresource(
        self,
        user: User,
        kind: Kind,
        where: tuple[str, str],
        subresource: str,
        obj: Any,
        *,
        options: WriteOptions | None = None,
    ) -> Object:
        """Create what a subresource stands for, as ``client.protocol.Client.create_subresource``."""
        resource = self._allowed(user, "create", kind, *where, subresource)
        creator = self.creators.get((resource.name, subresource))
        if creator is None:
            raise MethodNotAllowed(f"{resource.name}/{subresource} does not serve create")
        return await creator(user, where, obj, options or WriteOptions())

    async def replace(
        self,
        user: User,
        kind: Kind,
        obj: Object,
        *,
        subresource: Subresource = "",
        options: WriteOptions | None = None,
    ) -> Object:
        """Replace an object, as ``client.protocol.Client.replace``."""
        resource = self._allowed(user, "update", kind, namespace_of(obj), name_of(obj), subresource)
        return await self._writing.replace(user, resource, obj, subresource, options or WriteOptions())

    async def patch(  # noqa: PLR0913  the shape of Client.patch, and who asks
        self,
        user: User,
        kind: Kind,
        name: str,
        namespace: str,
        patch: Any,
        *,
        type: PatchType | Apply = "merge",  # noqa: A002
        subresource: Subresource = "",
        options: WriteOptions | None = None,
    ) -> Object:
        """Patch an object, as ``client.protocol.Client.patch``."""
        options = options or WriteOptions()
        where = (namespace, name)
        if isinstance(type, Apply):
            options = replace(options, manager=type.manager, force=type.force)
            return (await self.apply(user, kind, where, patch, subresource, options))[0]
        resource = self._allowed(user, "patch", kind, namespace, name, subresource)
        change = change_of(resource, patch, type)
        return await self._writing.change(user, resource, where, change, subresource, options)

    async def apply(
        self, user: User, kind: Kind, where: tuple[str, str], config: Any, subresource: str, options: WriteOptions
    ) -> tuple[Object, bool]:
        """Apply a configuration, as ``client.protocol.Client.patch``; tell whether the object was made by it."""
        resource = self._allowed(user, "patch", kind, *where, options.through or subresource)
        check_manager(options.manager)
        return await self._applying.apply(user, resource, where, config, subresource, options)

    async def change(
        self, user: User, kind: Kind, where: tuple[str, str], change: Change, subresource: str, options: WriteOptions
    ) -> Object:
        """Change an object by a function, for subresources that write through another form (finalize)."""
        resource = self._allowed(user, "update", kind, *where, subresource)
        part = subresource if subresource == "finalize" else ""
        options = replace(options, through=subresource)
        return await self._writing.change(user, resource, where, change, part, options)

    async def bind(
        self, user: User, name: str, namespace: str, node: str, *, uid: str = "", options: WriteOptions | None = None
    ) -> Object:
        """Give a Pod its node, as ``client.protocol.Client.bind``."""
        resource = self._allowed(user, "create", POD, namespace, name, "binding")
        where, change = (namespace, name), binding_of(resource, node, uid, self.clock)
        return await self._writing.amend(user, resource, where, change, "binding", options or WriteOptions())

    async def delete(  # noqa: PLR0913  the shape of Client.delete, and who asks
        self,
        user: User,
        kind: Kind,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        grace_period_s: int | None = None,
        propagation: Propagation = "",
    ) -> None:
        """Ask for deletion, as ``client.protocol.Client.delete``."""
        options = DeleteOptions(uid=uid, grace_period_s=grace_period_s, propagation=propagation)
        await self.delete_object(user, kind, (namespace, name), options)

    async def delete_object(self, user: User, kind: Kind, where: tuple[str, str], options: DeleteOptions) -> Deleted:
        """Ask for deletion, and tell what became of the object."""
        resource = self._allowed(user, "delete", kind, *where)
        return await self._deletion.delete(user, resource, where, options)

    async def delete_collection(
        self, user: User, kind: Kind, selection: Selection, options: DeleteOptions
    ) -> Sequence[Object]:
        """Ask for the deletion of every selected object; give them. One that is gone meanwhile is no error."""
        resource = self._allowed(user, "deletecollection", kind, selection.namespace, selection.only_name)
        page = await self._reading.list(resource, selection)
        for obj in page.items:
            try:
                await self._deletion.delete(user, resource, (namespace_of(obj), name_of(obj)), options)
            except NotFound:
                continue
        return page.items

    @asynccontextmanager
    async def logs(
        self, user: User, name: str, namespace: str, options: LogOptions
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Read a Pod's log, as ``client.protocol.Client.logs``."""
        resource = self._allowed(user, "get", POD, namespace, name, "log")
        pod = self._reading.get(resource, namespace, name)
        if self.logs_of is None:
            raise ServiceUnavailable("this API server has no node agent to ask for logs")
        async with self.logs_of.open(pod, options) as chunks:
            yield chunks

    @asynccontextmanager
    async def exec(self, user: User, name: str, namespace: str, options: ExecOptions) -> AsyncIterator[RemoteProcess]:
        """Run a command in a container, as ``client.protocol.Client.exec``."""
        streams, pod = self.enter_pod(user, name, namespace, "exec")
        async with streams.exec(pod, options) as process:
            yield process

    def enter_pod(self, user: User, name: str, namespace: str, subresource: str) -> tuple[PodStreams, Object]:
        """Give a Pod, and who reaches into it, to a user who may do so by this subresource.

        The verb is ``create`` however it is asked for: a GET that opens a WebSocket changes as much as a POST.
        Source: Kubernetes 1.35, feature ``AuthorizePodWebsocketUpgradeCreatePermission``.
        """
        resource = self._allowed(user, "create", POD, namespace, name, subresource)
        pod = self._reading.get(resource, namespace, name)
        if self.streams_of is None:
            raise ServiceUnavailable("this API server has no node agent that could reach into Pods")
        return self.streams_of, pod

    def permit(self, user: User, verb: str, kind: Kind, where: tuple[str, str], subresource: str) -> None:
        """Let pass what the user may do, for those who then write by ``writing``. Raises ``Forbidden``."""
        self._allowed(user, verb, kind, *where, subresource)

    def _allowed(
        self, user: User, verb: str, kind: Kind, namespace: str, name: str = "", subresource: str = ""
    ) -> Resource:
        """Find what is served of a kind, for a user who may do this with it."""
        if ADMIN_GROUP not in user.groups:  # they may do everything: the parts of the service, and its owner
            attributes = Attributes(verb, kind.group, kind.plural, namespace, name, subresource)
            require(self._core.authorizer, user, attributes)
        resource = self._core.registry.find(kind)
        if subresource and subresource not in resource.subresources:
            raise NotFound(
                f'the server could not find the requested resource: {resource.name} has no subresource "{subresource}"'
            )
        return resource
