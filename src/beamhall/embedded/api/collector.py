"""What follows from a deletion: dependants of owners that are gone, the contents of namespaces and of definitions.

Work is noticed from the writes themselves (``Observer``), never by polling; at the start, everything stored is looked
at once, since a write before a crash may have left work. Each piece of work is done by the ordinary verbs, may be done
twice, and is put off for a moment when it fails. Also keeps the registry in line with the definitions.

Source: "Garbage Collection" and "Cascading deletion" in the Kubernetes documentation.
"""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

import structlog

from beamhall.embedded.api.core import Core, WriteOptions
from beamhall.embedded.api.crds import CLEANUP, resources_of
from beamhall.embedded.api.definition_names import is_waiting
from beamhall.embedded.api.deletion import FOREGROUND, ORPHAN, DeleteOptions, Deletion
from beamhall.embedded.api.resources import Resource
from beamhall.embedded.api.writing import Writing
from beamhall.kernel.errors import ApiError, Conflict, NotFound
from beamhall.kernel.identity import ADMIN_GROUP, User
from beamhall.kernel.kinds import CUSTOM_RESOURCE_DEFINITION, NAMESPACE
from beamhall.kernel.objects import Object, ReadOnlyObject, is_being_deleted, name_of, namespace_of, uid_of

COLLECTOR = User("system:serviceaccount:kube-system:generic-garbage-collector", (ADMIN_GROUP,))
_RETRY_S = 1.0
_AT_ONCE = 32
"""Pieces of work that are under way together, so that they share commits."""

_log = structlog.get_logger(__name__)


class Task(NamedTuple):
    """One piece of work: look at an object, or at what depends on a uid that is gone (``resource`` empty)."""

    resource: str
    namespace: str
    name: str
    uid: str = ""


class Collector:
    """Does what follows from deletions. ``run`` it once.

    Args:
        core: What the verbs share.
        writing: To change objects.
        deletion: To delete them.
    """

    def __init__(self, core: Core, writing: Writing, deletion: Deletion) -> None:
        self._core = core
        self._writing = writing
        self._deletion = deletion
        self._todo: dict[
            Task, None
        ] = {}  # an ordered set: work for one object is done once, however often it is noticed
        self._wake = asyncio.Event()
        self._alive: set[str] = set()  # uids of owners that were found; spares a look at each write of a dependant
        self._closing_namespaces: set[str] = set()
        self._closing_definitions: set[str] = set()
        for definition in core.store.list(CUSTOM_RESOURCE_DEFINITION.resource).items:
            core.registry.serve(name_of(definition), resources_of(definition))

    # Noticing

    def written(self, resource: Resource, obj: ReadOnlyObject, *, is_gone: bool) -> None:
        """Notice what follows from a durable write."""
        metadata = obj["metadata"]
        if is_gone or metadata.get("deletionTimestamp"):
            self._alive.discard(uid_of(obj))
        if resource.kind == CUSTOM_RESOURCE_DEFINITION:
            self._follow_definition(obj, is_gone=is_gone)
        task = Task(resource.name, namespace_of(obj), name_of(obj))
        if is_gone:
            self._todo.pop(task, None)
            self._add(Task("", "", "", uid_of(obj)))
            if namespace_of(obj) in self._closing_namespaces:
                self._add(Task(NAMESPACE.resource, "", namespace_of(obj)))
            if resource.name in self._closing_definitions:
                self._add(Task(CUSTOM_RESOURCE_DEFINITION.resource, "", resource.name))
            if metadata.get("ownerReferences"):
                self._look_at_waiting_owners(obj)
        elif metadata.get("deletionTimestamp") or not self._has_all_owners(obj):
            self._add(task)
        elif namespace_of(obj) in self._closing_namespaces:  # made while its namespace was being closed
            self._add(Task(NAMESPACE.resource, "", namespace_of(obj)))

    def _has_all_owners(self, obj: ReadOnlyObject) -> bool:
        references = obj["metadata"].get("ownerReferences") or ()
        return all(reference.get("uid") in self._alive for reference in references)

    def _add(self, task: Task) -> None:
        self._todo[task] = None
        self._wake.set()

    def _follow_definition(self, definition: ReadOnlyObject, *, is_gone: bool) -> None:
        if is_gone:
            self._core.registry.withdraw(name_of(definition))
            self._closing_definitions.discard(name_of(definition))
            for other in self._core.store.list(CUSTOM_RESOURCE_DEFINITION.resource).items:
                if is_waiting(other):
                    self._add(Task(CUSTOM_RESOURCE_DEFINITION.resource, "", name_of(other)))
        else:
            self._core.registry.serve(name_of(definition), resources_of(definition))

    def _look_at_waiting_owners(self, obj: ReadOnlyObject) -> None:
        for reference in obj["metadata"]["ownerReferences"]:
            found = self._owner(obj, reference)
            if found is not None and FOREGROUND in (found[1]["metadata"].get("finalizers") or ()):
                self._add(Task(found[0].name, namespace_of(found[1]), name_of(found[1])))

    # Doing

    async def run(self) -> None:
        """Look at everything once, then do what is noticed, until cancelled."""
        for name in self._core.store.resources():
            if (resource := self._core.registry.stored_as(name)) is not None:
                for obj in (await asyncio.to_thread(self._core.store.list, name)).items:
                    self.written(resource, obj, is_gone=False)
        async with asyncio.TaskGroup() as retries:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._todo:
                    await self._do_some(retries)

    async def _do_some(self, retries: asyncio.TaskGroup) -> None:
        """Do the first pieces of work together: on their own, each would wait for a commit of its own."""
        tasks = list(islice(self._todo, _AT_ONCE))
        for task in tasks:
            del self._todo[task]

        async def do(task: Task) -> None:
            if not await self._done(task):
                retries.create_task(self._add_later(task))

        async with asyncio.TaskGroup() as together:
            for task in tasks:
                together.create_task(do(task))

    async def _add_later(self, task: Task) -> None:
        await asyncio.sleep(_RETRY_S)
        self._add(task)

    async def _done(self, task: Task) -> bool:
        try:
            await self._do(task)
        except (NotFound, Conflict):
            return True  # somebody else was quicker; what they wrote is noticed
        except ApiError as error:
            _log.warning("garbage_collection_failed", task=str(task), error=error.message)
            return False
        return True

    async def _do(self, task: Task) -> None:
        if not task.resource:
            for name, namespace, dependant in self._core.store.owned_by(task.uid):
                self._add(Task(name, namespace, dependant))
            return
        resource = self._core.registry.stored_as(task.resource)
        obj = self._core.store.get(task.resource, task.namespace, task.name)
        if resource is None or obj is None:
            return
        if is_being_deleted(obj):
            finalizers = obj["metadata"].get("finalizers") or ()
            await self._empty(resource, obj)
            if ORPHAN in finalizers:
                await self._orphan_dependants(resource, obj)
            elif FOREGROUND in finalizers:
                await self._delete_dependants_first(resource, obj)
        elif resource.kind == CUSTOM_RESOURCE_DEFINITION and is_waiting(obj):
            where = ("", name_of(obj))  # a write looks again which names are free
            await self._writing.change(COLLECTOR, resource, where, lambda current: current, "", WriteOptions())
        elif obj["metadata"].get("ownerReferences"):
            await self._judge(resource, obj)

    async def _judge(self, resource: Resource, obj: Object) -> None:
        """Delete an object whose owners are all gone; of one that has others left, drop the references to them."""
        references = obj["metadata"]["ownerReferences"]
        owners = [self._owner(obj, reference) for reference in references]
        self._alive.update(uid_of(owner[1]) for owner in owners if owner is not None and not is_being_deleted(owner[1]))
        if None not in owners and not all(owner is not None and _waits(owner[1]) for owner in owners):
            return
        kept = [
            reference
            for reference, owner in zip(references, owners, strict=True)
            if owner is not None and not _waits(owner[1])
        ]
        if kept:
            await self._set_owners(resource, obj, kept)
            return
        propagation = "Foreground" if any(owner is not None for owner in owners) and self._has_blocking(obj) else ""
        # The revision guards against a user who adopts the object at this moment.
        await self._delete(resource, obj, DeleteOptions(
            uid_of(obj), obj["metadata"]["resourceVersion"], propagation="Foreground" if propagation else ""
        ))  # fmt: skip

    def _owner(self, obj: ReadOnlyObject, reference: ReadOnlyObject) -> tuple[Resource, Object] | None:
        """Find the owner that a reference means, None if it is gone. Owners live in the same namespace or in none."""
        resource = self._core.registry.of_kind(str(reference.get("apiVersion") or ""), str(reference.get("kind") or ""))
        if resource is None:
            return None
        namespace = namespace_of(obj) if resource.kind.namespaced else ""
        owner = self._core.store.get(resource.name, namespace, str(reference.get("name") or ""))
        return (resource, owner) if owner is not None and uid_of(owner) == reference.get("uid") else None

    def _dependants(self, owner: ReadOnlyObject) -> Iterable[tuple[Resource, Object]]:
        for name, namespace, dependant in self._core.store.owned_by(uid_of(owner)):
            resource = self._core.registry.stored_as(name)
            obj = self._core.store.get(name, namespace, dependant)
            if resource is not None and obj is not None:
                yield resource, obj

    def _has_blocking(self, obj: ReadOnlyObject) -> bool:
        return any(_blocks(dependant, obj) for _, dependant in self._dependants(obj))

    async def _orphan_dependants(self, resource: Resource, owner: Object) -> None:
        for kind, dependant in list(self._dependants(owner)):
            references = dependant["metadata"].get("ownerReferences") or ()
            await self._set_owners(kind, dependant, [r for r in references if r.get("uid") != uid_of(owner)])
        await self._drop_finalizer(resource, owner, ORPHAN)

    async def _delete_dependants_first(self, resource: Resource, owner: Object) -> None:
        blocking = False
        for kind, dependant in list(self._dependants(owner)):
            blocking = blocking or _blocks(dependant, owner)
            if not is_being_deleted(dependant):
                await self._judge(kind, dependant)
        if not blocking or not self._has_blocking(owner):
            await self._drop_finalizer(resource, owner, FOREGROUND)

    async def _empty_namespace(self, resource: Resource, namespace: Object) -> None:
        name = name_of(namespace)
        self._closing_namespaces.add(name)
        for contents in self._core.registry.stored():
            if contents.kind.namespaced:
                await self._delete_all(contents, self._core.store.list(contents.name, name).items)
        left = [c.name for c in self._core.registry.stored() if c.kind.namespaced and self._is_left(c.name, name)]
        if left or not (namespace.get("spec") or {}).get("finalizers"):
            return

        def without_finalizer(obj: Object) -> Object:
            rest = [f for f in (obj.get("spec") or {}).get("finalizers") or () if f != "kubernetes"]
            obj["spec"] = {**(obj.get("spec") or {}), "finalizers": rest}
            return obj

        await self._writing.change(COLLECTOR, resource, ("", name), without_finalizer, "finalize", WriteOptions())
        self._closing_namespaces.discard(name)

    async def _empty(self, resource: Resource, obj: Object) -> None:
        """Delete what is in something that is being deleted, if it is of a kind that has contents."""
        if resource.kind == NAMESPACE:
            await self._empty_namespace(resource, obj)
        elif resource.kind == CUSTOM_RESOURCE_DEFINITION:
            await self._empty_definition(resource, obj)

    async def _empty_definition(self, resource: Resource, definition: Object) -> None:
        name = name_of(definition)
        self._closing_definitions.add(name)
        contents = self._core.registry.stored_as(name)
        objects = self._core.store.list(name).items
        if contents is not None:
            await self._delete_all(contents, objects)
        else:  # no version is served, so nobody could take finalizers off
            for obj in objects:
                await self._core.store.delete(name, namespace_of(obj), name_of(obj))
        if not self._is_left(name):
            await self._drop_finalizer(resource, definition, CLEANUP)

    def _is_left(self, resource: str, namespace: str = "") -> bool:
        return bool(self._core.store.list(resource, namespace, limit=1).items)

    async def _delete_all(self, resource: Resource, objects: Sequence[Object]) -> None:
        """Ask for the deletion of objects, as far as that has not been done, some together."""
        waiting = iter([obj for obj in objects if not is_being_deleted(obj)])

        async def work() -> None:
            for obj in waiting:
                await self._delete(resource, obj, DeleteOptions(uid_of(obj)))

        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(work())

    async def _delete(self, resource: Resource, obj: ReadOnlyObject, options: DeleteOptions) -> None:
        try:
            await self._deletion.delete(COLLECTOR, resource, (namespace_of(obj), name_of(obj)), options)
        except (NotFound, Conflict):
            return

    async def _set_owners(self, resource: Resource, obj: ReadOnlyObject, references: list[Object]) -> None:
        def change(current: Object) -> Object:
            current["metadata"]["ownerReferences"] = references
            current["metadata"]["resourceVersion"] = obj["metadata"]["resourceVersion"]
            if not references:
                del current["metadata"]["ownerReferences"]
            return current

        await self._writing.change(
            COLLECTOR, resource, (namespace_of(obj), name_of(obj)), change, "", WriteOptions()
        )  # fmt: skip

    async def _drop_finalizer(self, resource: Resource, obj: ReadOnlyObject, finalizer: str) -> None:
        def change(current: Object) -> Object:
            rest = [item for item in current["metadata"].get("finalizers") or () if item != finalizer]
            current["metadata"]["finalizers"] = rest
            if not rest:
                del current["metadata"]["finalizers"]
            return current

        await self._writing.change(
            COLLECTOR, resource, (namespace_of(obj), name_of(obj)), change, "", WriteOptions()
        )  # fmt: skip


def _waits(owner: ReadOnlyObject) -> bool:
    """Tell whether an owner is being deleted in the foreground, and so wants its dependants gone first."""
    return is_being_deleted(owner) and FOREGROUND in (owner["metadata"].get("finalizers") or ())


def _blocks(dependant: ReadOnlyObject, owner: ReadOnlyObject) -> bool:
    references = dependant["metadata"].get("ownerReferences") or ()
    return any(r.get("uid") == uid_of(owner) and r.get("blockOwnerDeletion") for r in references)
