"""Delete: preconditions, grace, propagation, finalizers.

An object goes at once unless something keeps it: a grace period (Pods that may be running), a finalizer, or, for a
namespace, its contents. Then it carries ``deletionTimestamp`` and goes with the write that takes the last of these away
(``writing``). What propagation means for dependants is carried out by ``collector``, from the finalizers set here.

Source: ``k8s.io/apiserver/pkg/registry/generic/registry/store.go`` (deletion); "Garbage Collection" in the
documentation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

from beamhall.client.protocol import Propagation
from beamhall.embedded.api.core import CONFLICT_RETRIES, Core, Operation, as_version, conflict, copied, not_found
from beamhall.embedded.api.resources import Resource
from beamhall.embedded.api.writing import may_go
from beamhall.kernel.clock import format_time
from beamhall.kernel.errors import BadRequest, Conflict, NotFound
from beamhall.kernel.identity import User
from beamhall.kernel.kinds import NAMESPACE, POD
from beamhall.kernel.objects import Object, ReadOnlyObject, is_being_deleted, revision_of

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_FINALIZER_OF: Mapping[str, str] = {"Foreground": FOREGROUND, "Orphan": ORPHAN}
_DEFAULT_POD_GRACE_S = 30


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """How a deletion is to be done.

    Attributes:
        uid: Delete only an object with this uid.
        revision: Delete only an object with this resourceVersion.
        grace_period_s: How long a Pod may take to end; None: what the Pod says.
        propagation: What becomes of dependants; empty: the kind's way, which is in the background.
        dry_run: Do everything but delete it.
        warnings: What the client is to be told.
    """

    uid: str = ""
    revision: str = ""
    grace_period_s: int | None = None
    propagation: Propagation = ""
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Deleted:
    """What became of an object.

    Attributes:
        object: Its last state, or the state in which it waits.
        is_gone: Whether it is gone already.
    """

    object: Object
    is_gone: bool


def read_delete_options(body: Mapping[str, Any]) -> DeleteOptions:
    """Read a ``DeleteOptions`` object.

    Raises:
        BadRequest: A field has a value that is not served.
    """
    preconditions = body.get("preconditions") or {}
    if not isinstance(preconditions, Mapping):
        raise BadRequest("preconditions must be an object with uid or resourceVersion")
    grace = body.get("gracePeriodSeconds")
    propagation = body.get("propagationPolicy") or ""
    if grace is not None and (not isinstance(grace, int) or isinstance(grace, bool)):
        raise BadRequest("gracePeriodSeconds must be a whole number of seconds")
    if propagation not in ("", "Background", "Foreground", "Orphan"):
        raise BadRequest(f"propagationPolicy {propagation!r} is not one of Background, Foreground, Orphan")
    if body.get("orphanDependents") and not propagation:
        propagation = "Orphan"
    dry_run = body.get("dryRun") or []
    if dry_run not in ([], ["All"]):
        raise BadRequest('dryRun must be ["All"] where it is given')
    return DeleteOptions(
        uid=str(preconditions.get("uid") or ""),
        revision=str(preconditions.get("resourceVersion") or ""),
        grace_period_s=None if grace is None else max(grace, 0) if grace != -1 else 1,
        propagation=cast("Propagation", propagation),
        dry_run=bool(dry_run),
    )


class Deletion:
    """The verb that removes objects.

    Args:
        core: What the verbs share.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    async def delete(self, user: User, resource: Resource, where: tuple[str, str], options: DeleteOptions) -> Deleted:
        """Ask for an object's deletion.

        Args:
            user: Who asks.
            resource: What it is.
            where: Namespace and name.
            options: How.

        Raises:
            NotFound: It is not there.
            Conflict: It is not the one that the preconditions name.
        """
        for _ in range(CONFLICT_RETRIES):
            old = self._core.stored(resource, *where)
            _check_preconditions(resource, old, options)
            for admission in self._core.admissions:
                await admission.admit(Operation("delete", user, resource, "", old, dry_run=options.dry_run))
            try:
                return await self._delete_once(resource, where, old, options)
            except Conflict:
                continue
            except NotFound:
                raise not_found(resource, where[1]) from None
        raise conflict(resource, where[1], "too many others write it at this moment; try again")

    async def _delete_once(
        self, resource: Resource, where: tuple[str, str], old: Object, options: DeleteOptions
    ) -> Deleted:
        new = self._marked(resource, old, options)
        store = self._core.store
        if may_go(resource, new):
            if not options.dry_run:
                gone = await store.delete(resource.name, *where, expected=revision_of(old))
                self._core.tell(resource, gone, is_gone=True)
                return Deleted(as_version(resource, gone), is_gone=True)
            return Deleted(as_version(resource, old), is_gone=True)
        if new == old or options.dry_run:
            return Deleted(as_version(resource, new), is_gone=False)
        waiting = await store.update(resource.name, new, expected=revision_of(old))
        self._core.tell(resource, waiting)
        return Deleted(as_version(resource, waiting), is_gone=False)

    def _marked(self, resource: Resource, old: ReadOnlyObject, options: DeleteOptions) -> Object:
        """Give the object with the marks of its deletion."""
        new = copied(old)
        metadata = new["metadata"]
        _set_propagation(metadata, options.propagation)
        grace_s = _grace_of(new, options) if resource.kind == POD else 0
        if is_being_deleted(old):
            # A later request may only shorten the time that is left.
            if resource.kind == POD and grace_s < int(metadata.get("deletionGracePeriodSeconds") or 0):
                self._stamp(metadata, grace_s)
            return new
        self._stamp(metadata, grace_s)
        if resource.bumps_generation:
            metadata["generation"] = int(metadata.get("generation") or 0) + 1
        if resource.kind == NAMESPACE:
            new["status"] = {**(new.get("status") or {}), "phase": "Terminating"}
        return new

    def _stamp(self, metadata: Object, grace_s: int) -> None:
        metadata["deletionTimestamp"] = format_time(self._core.clock.now() + timedelta(seconds=grace_s))
        metadata["deletionGracePeriodSeconds"] = grace_s


def _check_preconditions(resource: Resource, old: ReadOnlyObject, options: DeleteOptions) -> None:
    metadata = old["metadata"]
    if options.uid and options.uid != metadata.get("uid"):
        raise _failed(resource, old, "UID", options.uid, metadata.get("uid"))
    if options.revision and options.revision != metadata["resourceVersion"]:
        raise _failed(resource, old, "ResourceVersion", options.revision, metadata["resourceVersion"])


def _failed(resource: Resource, old: ReadOnlyObject, what: str, wanted: str, found: object) -> Conflict:
    return conflict(
        resource,
        old["metadata"]["name"],
        f"Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}",
    )


def _set_propagation(metadata: Object, propagation: Propagation) -> None:
    if not propagation:
        return
    finalizers = [item for item in metadata.get("finalizers") or () if item not in (FOREGROUND, ORPHAN)]
    if propagation in _FINALIZER_OF:
        finalizers.append(_FINALIZER_OF[propagation])
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)


def _grace_of(pod: ReadOnlyObject, options: DeleteOptions) -> int:
    """Give how long a Pod may take to end, in seconds: nothing if no process of it can be running."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    if options.grace_period_s is not None:
        return options.grace_period_s
    wanted = spec.get("terminationGracePeriodSeconds")
    return _DEFAULT_POD_GRACE_S if wanted is None else int(wanted)
