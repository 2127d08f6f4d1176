"""Subresources with a form of their own: ``binding`` and ``eviction`` of Pods, ``scale``.

Source: ``core/v1`` Binding, ``policy/v1`` Eviction, ``autoscaling/v1`` Scale.
"""

from dataclasses import replace
from typing import Any

from beamhall.client.protocol import Apply, PatchType
from beamhall.embedded.api.binding import read_binding
from beamhall.embedded.api.builtin.cells import selector_text
from beamhall.embedded.api.core import WriteOptions
from beamhall.embedded.api.deletion import read_delete_options
from beamhall.embedded.api.jsonpath import JsonPath
from beamhall.embedded.api.resources import Resource, ScalePaths
from beamhall.embedded.api.verbs import Api
from beamhall.kernel.errors import BadRequest, Cause, Invalid, NotFound
from beamhall.kernel.identity import User
from beamhall.kernel.kinds import POD
from beamhall.kernel.objects import Object, ReadOnlyObject
from beamhall.kernel.patches import apply_json_patch, apply_merge_patch

_CREATED: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


async def bind(api: Api, user: User, where: tuple[str, str], body: Any, options: WriteOptions) -> Object:
    """Bind a Pod to a node, as schedulers do.

    Raises:
        BadRequest: The body is no Binding.
        Conflict: The Pod is bound, or is being deleted.
    """
    node, uid = read_binding(body)
    await api.bind(user, where[1], where[0], node, uid=uid, options=options)
    return dict(_CREATED)


async def evict(api: Api, user: User, where: tuple[str, str], body: Any, options: WriteOptions) -> Object:
    """Delete a Pod, as ``kubectl drain`` asks for it.

    Raises:
        BadRequest: The body has delete options that cannot be read.
    """
    how = read_delete_options(body.get("deleteOptions") or {} if isinstance(body, dict) else {})
    how = replace(how, dry_run=how.dry_run or options.dry_run)
    await api.deletion.delete(user, api.registry.find(POD), where, how)
    return dict(_CREATED)


async def read_scale(api: Api, user: User, resource: Resource, where: tuple[str, str]) -> Object:
    """Give the ``Scale`` of an object."""
    namespace, name = where
    return _scale_of(_paths(resource), await api.get(user, resource.kind, name, namespace, subresource="scale"))


async def write_scale(
    api: Api,
    user: User,
    resource: Resource,
    where: tuple[str, str],
    scale: tuple[Any, PatchType | Apply | None],
    options: WriteOptions,
) -> Object:
    """Set the number of replicas.

    Args:
        api: The verbs.
        user: Who asks.
        resource: What is scaled.
        where: Namespace and name.
        scale: A whole ``Scale`` (with None), or a patch of one with its type.
        options: How.

    Raises:
        BadRequest: The body is no Scale.
        Invalid: The number is negative.
        Conflict: A Scale is applied, and the number is somebody else's.
    """
    paths = _paths(resource)
    body, kind = scale
    if isinstance(kind, Apply):
        return _scale_of(paths, await _apply_scale(api, user, resource, where, body, options))

    def change(obj: Object) -> Object:
        current = _scale_of(paths, obj)
        wanted = (
            body
            if kind is None
            else apply_json_patch(current, body)
            if kind == "json"
            else apply_merge_patch(current, body)  # a Scale has no lists: strategic patches mean the same
        )
        _set(obj, paths.spec_replicas, _replicas_in(wanted))
        revision = (wanted.get("metadata") or {}).get("resourceVersion")
        if kind is None and revision:
            obj["metadata"]["resourceVersion"] = revision
        return obj

    api.permit(user, "update" if kind is None else "patch", resource.kind, where, "scale")
    options = replace(options, through="scale")
    return _scale_of(paths, await api.writing.change(user, resource, where, change, "", options))


async def _apply_scale(
    api: Api, user: User, resource: Resource, where: tuple[str, str], scale: Any, options: WriteOptions
) -> Object:
    """Apply a Scale as what it means: a configuration of the object that sets the number and nothing else."""
    if not isinstance(scale, dict) or not isinstance(scale.get("metadata") or {}, dict):
        raise BadRequest("an apply patch of a scale must be one Scale")
    config = {
        "apiVersion": resource.kind.api_version,
        "kind": resource.kind.kind,
        "metadata": {**(scale.get("metadata") or {})},
    }
    if "replicas" in (scale.get("spec") or {}):
        _set(config, _paths(resource).spec_replicas, _replicas_in(scale))
    obj, _ = await api.apply(user, resource.kind, where, config, "", replace(options, through="scale"))
    return obj


def _replicas_in(scale: Any) -> int:
    spec = scale.get("spec") if isinstance(scale, dict) else None
    replicas = spec.get("replicas", 0) if isinstance(spec, dict) else 0
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        raise BadRequest("spec.replicas of a Scale must be a whole number")
    if replicas < 0:
        message = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise Invalid(
            f"Scale is invalid: spec.replicas: {message}",
            causes=[Cause("FieldValueInvalid", message, "spec.replicas")],
        )
    return replicas


def _paths(resource: Resource) -> ScalePaths:
    if resource.scale is None:
        raise NotFound(f'{resource.name} has no subresource "scale"')
    return resource.scale


def _set(obj: Object, path: str, value: int) -> None:
    *steps, last = path.strip(".").split(".")
    target = obj
    for step in steps:
        target = target.setdefault(step, {})
    target[last] = value


def _scale_of(paths: ScalePaths, obj: ReadOnlyObject) -> Object:
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    selector = JsonPath(paths.label_selector).first(obj) if paths.label_selector else None
    if isinstance(selector, dict):  # of a built-in kind; a custom one keeps its text
        selector = selector_text(selector)
    status = {"replicas": JsonPath(paths.status_replicas).first(obj) or 0}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: obj["metadata"][name] for name in kept if name in obj["metadata"]},
        "spec": {"replicas": JsonPath(paths.spec_replicas).first(obj) or 0},
        "status": status | ({"selector": selector} if selector else {}),
    }
