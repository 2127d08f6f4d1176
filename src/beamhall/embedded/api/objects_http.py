"""The verbs over HTTP: reads parameters and bodies, calls ``verbs``, and shapes what comes back.

Source: Kubernetes API concepts; the verbs' meaning is that of ``verbs``.
"""

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from beamhall.client.protocol import Apply, PatchType, Selection
from beamhall.embedded.api.applying import check_manager, force_refused
from beamhall.embedded.api.core import FieldValidation, WriteOptions
from beamhall.embedded.api.deletion import Deleted, DeleteOptions, read_delete_options
from beamhall.embedded.api.list_options import ListOptions
from beamhall.embedded.api.list_parameters import read_list_options
from beamhall.embedded.api.long_lists import ListForm, metadata_form, plain_form, table_form
from beamhall.embedded.api.replies import JSON, PLAIN, Accepted, Reply, Stream, accepted_of, reply
from beamhall.embedded.api.requests import Address, Request
from beamhall.embedded.api.resources import Resource
from beamhall.embedded.api.reviews import REVIEWS
from beamhall.embedded.api.streams import log_stream, watch_stream
from beamhall.embedded.api.subresources import read_scale, write_scale
from beamhall.embedded.api.tables import partial, table
from beamhall.embedded.api.usage import GROUP, VERSION, Usage
from beamhall.embedded.api.verbs import Api, Subresource
from beamhall.kernel.errors import BadRequest, MethodNotAllowed, NotFound, UnsupportedMediaType
from beamhall.kernel.identity import User
from beamhall.kernel.kinds import POD
from beamhall.kernel.objects import Object, name_of, uid_of

_PATCH_TYPES: Mapping[str, PatchType] = {
    "application/merge-patch+json": "merge",
    "application/json-patch+json": "json",
    "application/strategic-merge-patch+json": "strategic",
}
_SHOWN_WITH_OWNERS = 500
"""Longer lists have ``managedFields`` as they are stored, so that they stay quick; kubectl asks for pages of 500."""
_APPLY = "application/apply-patch+yaml"
_MEDIA_TYPE_OF_FORM = {
    "table": "application/json;as=Table;v=v1;g=meta.k8s.io",
    "metadata": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
}


class Objects:
    """Answers requests on resources.

    Args:
        api: The verbs.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._usage = Usage(api)

    async def answer(self, request: Request, user: User, address: Address) -> Reply | Stream:
        """Answer a request on a resource, whatever the verb."""
        question = REVIEWS.get((address.group, address.version), {}).get(address.plural)
        if question is not None:
            if request.method != "POST":
                raise _not_allowed(request)
            body = await request.document()
            return reply(self._api.reviews.answer(question, address.namespace, body, user), 201)
        if (address.group, address.version) == (GROUP, VERSION):
            return await self._usage.answer(request, user, address)
        resource = self._api.registry.at(address.group, address.version, address.plural)
        if address.namespace and not resource.kind.namespaced:
            raise NotFound(f"the server could not find the requested resource: {resource.name} have no namespace")
        if resource.warning:
            request.warnings.append(resource.warning)
        accepted = accepted_of(request.headers.get(b"accept", b""))
        if address.subresource and address.subresource != "status":
            return await self._subresource(request, user, address, resource)
        handler = _HANDLERS.get((request.method, bool(address.name)))
        if handler is None:
            raise _not_allowed(request)
        call: Any = getattr(self, handler)
        answer: Reply | Stream = await call(request, user, address, resource, accepted)
        return answer

    # Reading

    async def _get(
        self, request: Request, user: User, address: Address, resource: Resource, accepted: Accepted
    ) -> Reply | Stream:
        if request.flag("watch"):
            raise BadRequest("watch a collection with fieldSelector=metadata.name=NAME instead of one object")
        obj = await self._api.get(user, resource.kind, address.name, address.namespace, subresource=address.subresource)
        if accepted.form == "object":
            self._api.owners.show_stored(resource, obj)
        return self._shaped(request, resource, obj, accepted)

    async def _list(
        self, request: Request, user: User, address: Address, resource: Resource, accepted: Accepted
    ) -> Reply | Stream:
        selection = _selection(request, address)
        if request.flag("watch"):
            return watch_stream(self._api, request, user, selection, (resource, accepted))
        options = read_list_options(request)
        form = self._long_form(request, resource, accepted, selection, options)
        if form is not None:
            written = await self._api.list_as(user, resource.kind, selection, options, form.write)
            return Reply(form.body(written), media_type=_MEDIA_TYPE_OF_FORM.get(accepted.form, JSON))
        page = await self._api.list_page(user, resource.kind, selection, options)
        metadata: Object = {"resourceVersion": page.revision}
        if page.continue_:
            metadata["continue"] = page.continue_
        if page.remaining is not None:
            metadata["remainingItemCount"] = page.remaining
        if len(page.items) <= _SHOWN_WITH_OWNERS:
            for item in page.items:
                self._api.owners.show(resource, item)
        return reply(
            {
                "kind": resource.list_kind,
                "apiVersion": resource.kind.api_version,
                "metadata": metadata,
                "items": page.items,
            },
            accepted=accepted,
        )

    def _long_form(
        self, request: Request, resource: Resource, accepted: Accepted, selection: Selection, options: ListOptions
    ) -> ListForm | None:
        """Give the form of a list that is written object by object; None: it is made as one value."""
        if accepted.form == "table":
            return table_form(resource, self._api.clock.now(), request.query.get("includeObject", ""))
        if accepted.form == "metadata":
            return metadata_form()
        may_be_long = not 0 < options.limit <= _SHOWN_WITH_OWNERS and not (selection.labels or selection.fields)
        count = self._api.core.store.count(resource.name, selection.namespace)
        return plain_form(resource) if may_be_long and count > _SHOWN_WITH_OWNERS and not accepted.is_yaml else None

    # Writing

    async def _create(
        self, request: Request, user: User, address: Address, resource: Resource, accepted: Accepted
    ) -> Reply:
        obj = await _object_in(request, address, resource)
        made = await self._api.create(user, resource.kind, obj, options=_write_options(request))
        return self._shaped(request, resource, made, accepted, 201)

    async def _replace(
        self, request: Request, user: User, address: Address, resource: Resource, accepted: Accepted
    ) -> Reply:
        obj = await _object_in(request, address, resource)
        changed = await self._api.replace(
            user, resource.kind, obj,
            subresource=cast("Subresource", address.subresource), options=_write_options(request),
        )  # fmt: skip
        return self._shaped(request, resource, changed, accepted)

    async def _patch(
        self, request: Request, user: User, address: Address, resource: Resource, accepted: Accepted
    ) -> Reply:
        patch, kind = await _patch_in(request)
        options = _write_options(request)
        if isinstance(kind, Apply):
            where = (address.namespace, address.name)
            obj, is_made = await self._api.apply(user, resource.kind, where, patch, address.subresource, options)
            return self._shaped(request, resource, obj, accepted, 201 if is_made else 200)
        changed = await self._api.patch(
            user, resource.kind, address.name, address.namespace, patch,
            type=kind, subresource=cast("Subresource", address.subresource), options=options,
        )  # fmt: skip
        return self._shaped(request, resource, changed, accepted)

    async def _delete(
        self, request: Request, user: User, address: Address, resource: Resource, accepted: Accepted
    ) -> Reply:
        if address.subresource:
            raise _not_allowed(request)
        options = await _delete_options(request)
        deleted = await self._api.delete_object(user, resource.kind, (address.namespace, address.name), options)
        if deleted.is_gone and not resource.returns_deleted:
            return reply(_deleted_status(resource, deleted))
        return self._shaped(request, resource, deleted.object, accepted)

    async def _delete_collection(
        self,
        request: Request,
        user: User,
        address: Address,
        resource: Resource,
        accepted: Accepted,
    ) -> Reply:
        options = await _delete_options(request)
        items = await self._api.delete_collection(user, resource.kind, _selection(request, address), options)
        return reply({
            "kind": resource.list_kind, "apiVersion": resource.kind.api_version, "metadata": {}, "items": items,
        })  # fmt: skip

    # Subresources with a form of their own

    async def _subresource(self, request: Request, user: User, address: Address, resource: Resource) -> Reply | Stream:
        name = address.subresource
        if name not in resource.subresources:
            raise NotFound(
                f'the server could not find the requested resource: {resource.name} has no subresource "{name}"'
            )
        where = (address.namespace, address.name)
        match (name, request.method):
            case ("log", "GET") if resource.kind == POD:
                return log_stream(self._api, request, user, *where)
            case ("exec" | "attach" | "portforward", "GET" | "POST"):
                from beamhall.embedded.api.remote import upgrades  # noqa: PLC0415  as in ``http``: most never see one

                upgrades.refuse_without_upgrade(self._api, request, user, address)
            case (_, "POST"):
                return await self._create_in(request, user, address, resource)
            case ("finalize", "PUT"):
                obj = await _object_in(request, address, resource)
                change = lambda _: obj  # noqa: E731
                return reply(await self._api.change(user, resource.kind, where, change, name, _write_options(request)))
            case ("scale", "GET"):
                return reply(await read_scale(self._api, user, resource, where))
            case ("scale", "PUT"):
                body = await request.document()
                return reply(await write_scale(self._api, user, resource, where, (body, None), _write_options(request)))
            case ("scale", "PATCH"):
                patch = await _patch_in(request)
                return reply(await write_scale(self._api, user, resource, where, patch, _write_options(request)))
        raise _not_allowed(request)

    async def _create_in(self, request: Request, user: User, address: Address, resource: Resource) -> Reply:
        body = await request.document()
        made = await self._api.create_subresource(
            user, resource.kind, (address.namespace, address.name), address.subresource, body,
            options=_write_options(request),
        )  # fmt: skip
        return reply(made, 201)

    def _shaped(self, request: Request, resource: Resource, obj: Object, accepted: Accepted, code: int = 200) -> Reply:
        """Write an object in the form that the client wants."""
        if accepted is PLAIN or accepted.form == "object":
            self._api.owners.show(resource, obj)
            return reply(obj, code, accepted=accepted)
        if accepted.form == "metadata":
            return Reply(msgspec.json.encode(partial(obj)), code, _MEDIA_TYPE_OF_FORM["metadata"])
        include = request.query.get("includeObject", "")
        value = table(resource, [obj], self._api.clock.now(), include=include)
        value["metadata"] = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        return Reply(msgspec.json.encode(value), code, _MEDIA_TYPE_OF_FORM["table"])


_HANDLERS: Mapping[tuple[str, bool], str] = {
    ("GET", True): "_get",
    ("GET", False): "_list",
    ("POST", False): "_create",
    ("PUT", True): "_replace",
    ("PATCH", True): "_patch",
    ("DELETE", True): "_delete",
    ("DELETE", False): "_delete_collection",
}


def _not_allowed(request: Request) -> MethodNotAllowed:
    return MethodNotAllowed(
        f"the server does not allow this method on the requested resource: {request.method} {request.path}"
    )


def _selection(request: Request, address: Address) -> Selection:
    query = request.query
    return Selection(address.namespace, query.get("labelSelector", ""), query.get("fieldSelector", ""))


def _write_options(request: Request) -> WriteOptions:
    validation = request.query.get("fieldValidation") or "Warn"
    if validation not in ("Ignore", "Warn", "Strict"):
        raise BadRequest(f"fieldValidation must be Ignore, Warn or Strict, not {validation!r}")
    manager = request.query.get("fieldManager", "")
    check_manager(manager)
    return WriteOptions(
        _is_dry_run(request),
        cast("FieldValidation", validation),
        manager or ("" if request.media_type == _APPLY else _program(request)),
        force=request.flag("force"),
        duplicates=request.duplicates,
        warnings=request.warnings,
    )


def _program(request: Request) -> str:
    """Name the program that asks, as the manager of the fields that it sets. Upstream: ``managerOrUserAgent``."""
    agent = request.headers.get(b"user-agent", b"").decode("latin-1").partition("/")[0]
    return "".join(letter for letter in agent if letter.isprintable())[:128]


def _is_dry_run(request: Request) -> bool:
    value = request.query.get("dryRun", "")
    if value not in ("", "All"):
        raise BadRequest(f"dryRun must be All where it is given, not {value!r}")
    return bool(value)


async def _object_in(request: Request, address: Address, resource: Resource) -> Object:
    """Read the object of the body, and hold it against the address.

    Raises:
        BadRequest: There is none, or it names another object or namespace than the address.
    """
    value = await request.document()
    if not isinstance(value, dict):
        raise BadRequest(f"the body must be one {resource.kind.kind} object, not {type(value).__name__}")
    metadata = value.setdefault("metadata", {})
    if metadata is None:
        metadata = value["metadata"] = {}
    if not isinstance(metadata, dict):
        raise BadRequest("metadata must be an object")
    namespace = metadata.get("namespace") or ""
    if resource.kind.namespaced and address.namespace:
        if namespace and namespace != address.namespace:
            raise BadRequest(
                f"the namespace of the provided object does not match the namespace sent on the request: "
                f"{namespace!r} is not {address.namespace!r}"
            )
        metadata["namespace"] = address.namespace
    if address.name:
        name = metadata.get("name") or ""
        if name and name != address.name:
            raise BadRequest(f"the name of the object ({name}) does not match the name on the URL ({address.name})")
        metadata["name"] = address.name
    return value


async def _patch_in(request: Request) -> tuple[Any, PatchType | Apply]:
    media_type = request.media_type
    force = request.flag("force")
    kind: PatchType | Apply | None = _PATCH_TYPES.get(media_type)
    if media_type == _APPLY:
        kind = Apply(request.query.get("fieldManager", ""), force)
    elif force:
        raise force_refused()
    body = await request.body()
    if kind is not None:
        return (request.json_in(body) if body.lstrip()[:1] in (b"{", b"[") else await request.yaml_in(body)), kind
    served = ", ".join((*_PATCH_TYPES, _APPLY))
    raise UnsupportedMediaType(
        f"the body of the request was in an unknown format: {media_type or 'none'}; use {served}"
    )


async def _delete_options(request: Request) -> DeleteOptions:
    body = await request.document()
    if body is None:
        body = {}
    if not isinstance(body, dict):
        raise BadRequest("the body of a DELETE must be DeleteOptions")
    given = dict(body)
    if (grace := request.number("gracePeriodSeconds")) is not None:
        given["gracePeriodSeconds"] = grace
    if policy := request.query.get("propagationPolicy"):
        given["propagationPolicy"] = policy
    if request.flag("orphanDependents"):
        given["orphanDependents"] = True
    if _is_dry_run(request):
        given["dryRun"] = ["All"]
    return read_delete_options(given)


def _deleted_status(resource: Resource, deleted: Deleted) -> Object:
    details = resource.details(name_of(deleted.object)) | {"uid": uid_of(deleted.object)}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
