"""Create, replace and patch: the one path that every write of every kind takes.

    create: form -> names and namespace -> server's metadata -> defaults -> admission -> validation -> size -> store
    update: read -> change a copy -> form -> keep what may not change -> defaults -> admission -> validation -> store,
            again from the read if somebody else wrote meanwhile and the client named no resourceVersion

An update that changes nothing makes no revision. One that takes the last finalizer off a deleted object removes it.
What differs by kind is behind ``Rules``. Next: ``metadata`` (the server's fields), ``deletion``.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from beamhall.embedded.api.core import (
    CONFLICT_RETRIES,
    OBJECT_LIMIT_BYTES,
    STATUS_LIMIT_BYTES,
    Change,
    Core,
    Operation,
    WriteOptions,
    as_version,
    conflict,
    copied,
    metadata_in,
    size_bytes,
)
from beamhall.embedded.api.metadata import begin_life, check_form, keep_server_fields, names_right
from beamhall.embedded.api.resources import Resource
from beamhall.kernel.errors import (
    AlreadyExists,
    BadRequest,
    Cause,
    Conflict,
    Forbidden,
    Invalid,
    MethodNotAllowed,
    NotFound,
    TooLarge,
)
from beamhall.kernel.identity import User
from beamhall.kernel.kinds import NAMESPACE, POD
from beamhall.kernel.names import generate_name
from beamhall.kernel.objects import Object, ReadOnlyObject, is_being_deleted, name_of, namespace_of, revision_of
from beamhall.kernel.ownership import Writer

_NAME_ATTEMPTS = 8


class Writing:
    """The verbs that make and change objects.

    Args:
        core: What the verbs share.
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    async def create(self, user: User, resource: Resource, obj: Object, options: WriteOptions) -> Object:
        """Make an object, which belongs to this method from now on.

        Raises:
            ApiError: As ``client.protocol.Client.create``.
        """
        if resource.is_terminating:
            raise MethodNotAllowed("create not allowed while custom resource definition is terminating")
        check_form(resource, obj, options)
        metadata = metadata_in(obj)
        if metadata.get("resourceVersion"):
            raise BadRequest("resourceVersion should not be set on objects to be created")
        self._require_namespace(resource, namespace_of(obj))
        prefix = "" if metadata.get("name") else str(metadata.get("generateName") or "")
        entries = metadata.get("managedFields")
        begin_life(resource, metadata, self._core.clock.now(), self._core.random)
        if resource.has_status and not resource.status_at_create:
            obj.pop("status", None)
        if prefix:
            metadata["name"] = generate_name(prefix, self._core.random.choice)
        names_right(resource, obj)
        operation = Operation("create", user, resource, "", obj, dry_run=options.dry_run)
        try:
            await self._complete_new(operation)
            if options.applies:
                metadata["managedFields"] = entries
            else:
                self._core.owners.begin(obj, self._writer(user, resource, "", options))
            return await self._store_under_a_name(resource, obj, prefix, options)
        finally:
            operation.settle()

    async def _store_under_a_name(self, resource: Resource, obj: Object, prefix: str, options: WriteOptions) -> Object:
        """Store a new object; where its name was generated from a prefix and is taken, under another one."""
        for attempt in range(_NAME_ATTEMPTS):
            try:
                return await self._store_new(resource, obj, options)
            except AlreadyExists:
                if not prefix or attempt == _NAME_ATTEMPTS - 1:
                    raise AlreadyExists(
                        f"{resource.describe(name_of(obj))} already exists", details=resource.details(name_of(obj))
                    ) from None
                obj["metadata"]["name"] = generate_name(prefix, self._core.random.choice)
        raise AssertionError("the loop above returns or raises")

    async def _complete_new(self, operation: Operation) -> None:
        resource, obj = operation.resource, operation.object
        rules = resource.rules
        obj["apiVersion"] = resource.kind.api_version
        rules.default(obj)
        rules.prepare_create(obj)
        for admission in self._core.admissions:
            await admission.admit(operation)
        _refuse_if(resource, obj, rules.validate_create(obj))
        self._ask_validator(resource, obj, None)
        _check_size(resource, obj)

    def _ask_validator(self, resource: Resource, obj: Object, old: ReadOnlyObject | None) -> None:
        validator = self._core.validators.get(resource.kind)
        if validator is not None:
            _refuse_if(resource, obj, validator(obj, old))

    async def _store_new(self, resource: Resource, obj: Object, options: WriteOptions) -> Object:
        obj["apiVersion"] = resource.stored_api_version
        if options.dry_run:
            if self._core.store.get(resource.name, namespace_of(obj), name_of(obj)) is not None:
                raise AlreadyExists("taken")
            return as_version(resource, obj)
        made = await self._core.store.create(resource.name, obj)
        self._core.tell(resource, made)
        return as_version(resource, made)

    def _writer(self, user: User, resource: Resource, subresource: str, options: WriteOptions) -> Writer:
        part = options.through or subresource
        return self._core.owners.writer(user, resource, options.manager, part, applies=options.applies)

    def _require_namespace(self, resource: Resource, namespace: str) -> None:
        """Let pass what may be made in a namespace.

        Raises:
            NotFound: The namespace does not exist.
            Forbidden: It is being deleted.
            BadRequest: There is none although there must be.
        """
        if not resource.kind.namespaced:
            return
        if not namespace:
            raise BadRequest(f"an empty namespace may not be set during creation of {resource.name}")
        found = self._core.store.get(NAMESPACE.resource, "", namespace)
        if found is None:
            raise NotFound(f'namespaces "{namespace}" not found', details={"name": namespace, "kind": "namespaces"})
        if is_being_deleted(found):
            raise Forbidden(
                f"unable to create new content in namespace {namespace} because it is being terminated",
                causes=[
                    Cause("NamespaceTerminating", f"namespace {namespace} is being terminated", "metadata.namespace")
                ],
                details=resource.details(),
            )

    async def replace(
        self, user: User, resource: Resource, obj: Object, subresource: str, options: WriteOptions
    ) -> Object:
        """Replace an object, or its status. Raises ``Conflict`` if it carries a resourceVersion that is not current."""
        check_form(resource, obj, options)
        names_right(resource, obj)
        is_conditional = bool(metadata_in(obj).get("resourceVersion"))
        return await self.change(
            user, resource, (namespace_of(obj), name_of(obj)), lambda _: copied(obj) if not is_conditional else obj,
            subresource, options,
        )  # fmt: skip

    async def change(
        self,
        user: User,
        resource: Resource,
        where: tuple[str, str],
        change: Change,
        subresource: str,
        options: WriteOptions,
    ) -> Object:
        """Change an object: read, change a copy, store; anew if somebody else wrote meanwhile.

        Args:
            user: Who asks.
            resource: What it is.
            where: Namespace and name.
            change: Makes the new object from its own copy. Where the result's resourceVersion or uid is not that of the
                stored object, the client asked for another one: ``Conflict``.
            subresource: ``status``, or empty.
            options: How.

        Raises:
            ApiError: As ``client.protocol.Client.patch``.
        """

        async def once(new: Object, old: Object) -> Object:
            return await self._change_once(user, resource, (new, old), subresource, options)

        return await self._until_no_conflict(resource, where, change, once)

    async def amend(
        self,
        user: User,
        resource: Resource,
        where: tuple[str, str],
        change: Change,
        subresource: str,
        options: WriteOptions,
    ) -> Object:
        """Change an object by a function of the server's own, as ``change`` does, but trusting its result.

        What is stored is right, and such a change leaves it right, so it is neither defaulted nor validated again.
        """

        async def once(new: Object, old: Object) -> Object:
            operation = Operation("update", user, resource, subresource, new, old, options.dry_run)
            for admission in self._core.admissions:
                await admission.admit(operation)
            return new if options.dry_run else await self._store_changed(resource, new, old)

        return await self._until_no_conflict(resource, where, change, once)

    async def _until_no_conflict(
        self,
        resource: Resource,
        where: tuple[str, str],
        change: Change,
        once: Callable[[Object, Object], Awaitable[Object]],
    ) -> Object:
        for attempt in range(CONFLICT_RETRIES):
            old = as_version(resource, self._core.stored(resource, *where))
            new = change(copied(old))
            _check_preconditions(resource, new, old)
            try:
                return await once(new, old)
            except Conflict:
                # A resourceVersion of the client's own would have failed the check above after the next read.
                if attempt == CONFLICT_RETRIES - 1:
                    break
        raise conflict(resource, where[1], "too many others write it at this moment; try again")

    async def _change_once(
        self, user: User, resource: Resource, pair: tuple[Object, Object], subresource: str, options: WriteOptions
    ) -> Object:
        new, old = pair
        rules = resource.rules
        # What is written most: the rest of a Pod is as it is stored, so it is neither looked at nor defaulted again.
        is_status_of_pod = subresource == "status" and resource.kind == POD
        if is_status_of_pod and options.field_validation == "Ignore":
            new = {part: new[part] for part in ("apiVersion", "kind", "metadata", "status") if part in new}
        check_form(resource, new, options)
        given = metadata_in(new).get("managedFields")
        keep_server_fields(metadata_in(new), old["metadata"])
        new = _only_part(resource, new, old, subresource)
        if not is_status_of_pod:
            rules.default(new)
        if subresource != "finalize":
            rules.prepare_update(new, old)
        operation = Operation("update", user, resource, subresource, new, old, options.dry_run)
        try:
            for admission in self._core.admissions:
                await admission.admit(operation)
            return await self._store_admitted(operation, given, options)
        finally:
            operation.settle()

    async def _store_admitted(self, operation: Operation, given: Any, options: WriteOptions) -> Object:
        """Validate, note who owns what (``given``: what the client says of that), and store."""
        resource, subresource, new, old = operation.resource, operation.subresource, operation.object, operation.old
        rules = resource.rules
        assert old is not None, "an update has something that it replaces"
        validate = rules.validate_status if subresource == "status" else rules.validate_update
        _refuse_if(resource, new, [*_late_finalizers(new, old), *validate(new, old)])
        if not subresource:
            self._ask_validator(resource, new, old)
        if resource.bumps_generation and _differs_in_substance(resource, new, old):
            new["metadata"]["generation"] = int(old["metadata"].get("generation") or 0) + 1
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        if options.applies:
            new["metadata"]["managedFields"] = given
        else:
            writer = self._writer(operation.user, resource, subresource, options)
            self._core.owners.carry(resource, (new, old), given, writer)
        if new == old:
            return new
        _check_size(resource, new)
        if operation.dry_run:
            return new
        return await self._store_changed(resource, new, old)

    async def _store_changed(self, resource: Resource, new: Object, old: ReadOnlyObject) -> Object:
        store = self._core.store
        expected = revision_of(old)
        new["apiVersion"] = resource.stored_api_version
        try:
            if may_go(resource, new):
                await store.delete(resource.name, namespace_of(new), name_of(new), expected=expected)
                self._core.tell(resource, new, is_gone=True)
                return as_version(resource, new)
            changed = await store.update(resource.name, new, expected=expected)
        except NotFound:
            raise NotFound(
                f"{resource.describe(name_of(new))} not found", details=resource.details(name_of(new))
            ) from None
        self._core.tell(resource, changed)
        return as_version(resource, changed)


def may_go(resource: Resource, obj: ReadOnlyObject) -> bool:
    """Tell whether nothing keeps a deleted object any longer: no finalizer, no grace period."""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if metadata.get("deletionGracePeriodSeconds"):
        return False
    return resource.kind != NAMESPACE or not (obj.get("spec") or {}).get("finalizers")


def _check_preconditions(resource: Resource, new: ReadOnlyObject, old: ReadOnlyObject) -> None:
    wanted, current = metadata_in(new) if isinstance(new, dict) else {}, old["metadata"]
    uid = wanted.get("uid")
    if uid and uid != current.get("uid"):
        raise conflict(
            resource,
            current["name"],
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: {current.get('uid')}",
        )
    for field in ("name", "namespace"):
        if wanted.get(field) and wanted[field] != current.get(field, ""):
            message = f"Invalid value: {wanted[field]!r}: field is immutable"
            _refuse_if(resource, old, [Cause("FieldValueInvalid", message, f"metadata.{field}")])
    revision = wanted.get("resourceVersion")
    if revision and str(revision) != current["resourceVersion"]:
        raise conflict(resource, current["name"])


def _late_finalizers(new: ReadOnlyObject, old: ReadOnlyObject) -> Sequence[Cause]:
    """Find finalizers that came after the deletion was asked for: nobody would wait for them with certainty."""
    if not is_being_deleted(old):
        return ()
    late = set(new["metadata"].get("finalizers") or ()) - set(old["metadata"].get("finalizers") or ())
    if not late:
        return ()
    message = f"Forbidden: no new finalizers can be added if the object is being deleted, found {sorted(late)}"
    return (Cause("FieldValueForbidden", message, "metadata.finalizers"),)


def _only_part(resource: Resource, new: Object, old: Object, subresource: str) -> Object:
    """Take of a change what the subresource may touch: ``status`` alone, or everything else."""
    if subresource == "finalize":
        spec = {**(old.get("spec") or {}), "finalizers": (new.get("spec") or {}).get("finalizers") or []}
        return {**copied(old), "spec": spec}
    if not resource.has_status:
        return new
    if subresource == "status":
        changed = copied(old)
        changed.pop("status", None)
        if new.get("status") is not None:
            changed["status"] = new["status"]
        if not resource.is_custom:  # as in Kubernetes: kubelets and controllers may annotate with the status
            for field in ("labels", "annotations"):
                if field in new["metadata"]:
                    changed["metadata"][field] = new["metadata"][field]
                else:
                    changed["metadata"].pop(field, None)
        return changed
    new.pop("status", None)
    if "status" in old:
        new["status"] = copied({"status": old["status"]})["status"]
    return new


def _differs_in_substance(resource: Resource, new: ReadOnlyObject, old: ReadOnlyObject) -> bool:
    aside = {"metadata", "status", "apiVersion", "kind"} if resource.has_status else {"metadata", "apiVersion", "kind"}
    return any(new.get(field) != old.get(field) for field in (new.keys() | old.keys()) - aside)


def _check_size(resource: Resource, obj: ReadOnlyObject) -> None:
    status = obj.get("status")
    name = name_of(obj)
    if status is not None and len(status) > 0 and (size := size_bytes(status)) > STATUS_LIMIT_BYTES:
        raise TooLarge(
            f"the status of {resource.describe(name)} has {size} bytes, over the limit of {STATUS_LIMIT_BYTES}: "
            "keep counts and conditions in it, and lists elsewhere",
            details=resource.details(name),
        )
    if (size := size_bytes(obj)) > OBJECT_LIMIT_BYTES:
        raise TooLarge(
            f"{resource.describe(name)} has {size} bytes, over the limit of {OBJECT_LIMIT_BYTES}: "
            "keep data of this size in a volume",
            details=resource.details(name),
        )


def _refuse_if(resource: Resource, obj: ReadOnlyObject, found: Sequence[Cause]) -> None:
    if not found:
        return
    name = name_of(obj)
    causes = [Cause(c.reason, c.message.removeprefix(f"{c.field}: "), c.field) for c in found]
    parts = [f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in causes]
    text = parts[0] if len(parts) == 1 else f"[{', '.join(parts)}]"
    kind = f"{resource.kind.kind}.{resource.kind.group}" if resource.kind.group else resource.kind.kind
    details = resource.details(name) | {"kind": resource.kind.kind}
    raise Invalid(f'{kind} "{name}" is invalid: {text}', details=details, causes=causes)
