"""Server-side apply: the checks of a configuration, and the way to ``writing``, which stores what comes of it.

What applying means is in ``kernel.apply``. Source: KEP-555; ``k8s.io/apiserver/pkg/endpoints/handlers/patch.go``.
"""

from dataclasses import replace
from typing import Any

from beamhall.embedded.api.authorization import Attributes, require
from beamhall.embedded.api.core import CONFLICT_RETRIES, Core, WriteOptions, conflict, copied, metadata_in
from beamhall.embedded.api.metadata import check_form
from beamhall.embedded.api.resources import Resource
from beamhall.embedded.api.writing import Writing
from beamhall.kernel.errors import AlreadyExists, BadRequest, Cause, Invalid, NotFound
from beamhall.kernel.identity import User
from beamhall.kernel.objects import Object, name_of
from beamhall.kernel.ownership import Writer

_MANAGER_LIMIT = 128


class Applying:
    """The verb that applies configurations.

    Args:
        core: What the verbs share.
        writing: Stores what comes of it.
    """

    def __init__(self, core: Core, writing: Writing) -> None:
        self._core = core
        self._writing = writing

    async def apply(
        self,
        user: User,
        resource: Resource,
        where: tuple[str, str],
        config: Any,
        subresource: str,
        options: WriteOptions,
    ) -> tuple[Object, bool]:
        """Apply a configuration to an object, or make it; tell which of them.

        Args:
            user: Who asks.
            resource: What it is.
            where: Namespace and name.
            config: The configuration, which belongs to this method from now on.
            subresource: ``status``, or empty.
            options: How; a manager is required.

        Raises:
            Conflict: Others own fields that it would change, and ``force`` is not asked for.
            ApiError: As ``client.protocol.Client.patch``.
        """
        if not options.manager:
            raise _invalid_option("fieldManager: Required value: is required for apply patch", "FieldValueRequired")
        options = replace(options, applies=True)
        self._check(resource, where, config, options)
        config = _part_of(resource, config, subresource)
        writer = self._core.owners.writer(user, resource, options.manager, options.through or subresource, applies=True)

        def change(live: Object) -> Object:
            return self._core.owners.apply(resource, live, copied(config), writer, force=options.force)

        may_create = not subresource and not options.through
        for _ in range(CONFLICT_RETRIES):
            if may_create and self._core.store.get(resource.name, *where) is None:
                try:
                    return await self._create(user, resource, copied(config), options, writer), True
                except AlreadyExists:
                    continue
            try:
                return await self._writing.change(user, resource, where, change, subresource, options), False
            except NotFound:
                if not may_create:
                    raise
        raise conflict(resource, where[1], "too many others write it at this moment; try again")

    async def _create(
        self, user: User, resource: Resource, config: Object, options: WriteOptions, writer: Writer
    ) -> Object:
        metadata = config["metadata"]
        namespace = str(metadata.get("namespace") or "")
        kind = resource.kind
        require(self._core.authorizer, user, Attributes("create", kind.group, kind.plural, namespace, name_of(config)))
        if uid := metadata.get("uid"):
            raise conflict(
                resource, name_of(config),
                f"uid mismatch: the provided object specified uid {uid}, and no existing object was found",
            )  # fmt: skip
        obj = self._core.owners.apply(resource, {}, config, writer, force=False)
        return await self._writing.create(user, resource, obj, options)

    def _check(self, resource: Resource, where: tuple[str, str], config: Any, options: WriteOptions) -> None:
        """Check the form of a configuration, and hold it against its address.

        Raises:
            BadRequest: It is not of its kind's form, names another object, or says who owns what.
        """
        if not isinstance(config, dict):
            raise BadRequest(f"an apply patch must be one object, not {type(config).__name__}")
        missing = [name for name in ("apiVersion", "kind") if not config.get(name)]
        if missing:
            raise BadRequest(f"an apply patch must have {' and '.join(missing)}, as the object that it describes")
        metadata = metadata_in(config)
        if metadata.get("managedFields") is not None:
            raise BadRequest("metadata.managedFields must be nil")
        namespace, name = where
        if metadata.setdefault("name", name) != name:
            raise BadRequest(f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})")
        if resource.kind.namespaced and (metadata.get("namespace") or namespace) != namespace:
            raise BadRequest(
                f"the namespace of the provided object does not match the namespace sent on the request: "
                f"{metadata['namespace']!r} is not {namespace!r}"
            )
        if namespace:
            metadata["namespace"] = namespace
        check_form(resource, config, options)


def _part_of(resource: Resource, config: Object, subresource: str) -> Object:
    """Give of a configuration what the subresource may touch; nobody comes to own the rest."""
    if subresource == "status":
        part = {name: config[name] for name in ("apiVersion", "kind", "status") if name in config}
        return part | {"metadata": {k: v for k, v in config["metadata"].items() if k in _ADDRESS}}
    if resource.has_status and not resource.status_at_create:
        config.pop("status", None)
    return config


_ADDRESS = ("name", "namespace", "uid", "resourceVersion")


def check_manager(manager: str) -> None:
    """Check the name of a field manager.

    Raises:
        Invalid: It is too long, or has what cannot be printed.
    """
    if len(manager.encode()) > _MANAGER_LIMIT:
        raise _invalid_option(f"fieldManager: Too long: at most {_MANAGER_LIMIT} bytes", "FieldValueTooLong")
    if not manager.isprintable():
        raise _invalid_option(
            f"fieldManager: Invalid value: {manager!r}: should only contain printable characters", "FieldValueInvalid"
        )


def force_refused() -> Invalid:
    """Make the error for ``force`` where nothing is applied."""
    return _invalid_option("force: Forbidden: may not be specified for non-apply patch", "FieldValueForbidden")


def _invalid_option(text: str, reason: str) -> Invalid:
    field, _, message = text.partition(": ")
    return Invalid(
        f'PatchOptions.meta.k8s.io "" is invalid: {text}',
        details={"group": "meta.k8s.io", "kind": "PatchOptions"},
        causes=[Cause(reason, message, field)],
    )
