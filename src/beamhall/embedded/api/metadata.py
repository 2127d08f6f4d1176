"""The server's part of ``metadata``, names, and the form of what clients send.

Pure. Source: Kubernetes API conventions, "Metadata" and "Idempotency" (generateName).
"""

import uuid
from collections.abc import Sequence
from datetime import datetime
from random import Random
from typing import Any

from beamhall.embedded.api.core import WriteOptions, metadata_in
from beamhall.embedded.api.resources import Resource
from beamhall.kernel.clock import format_time
from beamhall.kernel.errors import BadRequest, Cause, Invalid
from beamhall.kernel.objects import Object

_SERVER_FIELDS = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "resourceVersion",
    "selfLink",
    "managedFields",  # ``owners`` keeps it in line
)


def check_form(resource: Resource, obj: Object, options: WriteOptions) -> None:
    """Check that an object is of the kind that its address says, and of that kind's fields.

    Raises:
        BadRequest: It is of another kind, has values of wrong types, or, where validation is strict, unknown fields.
    """
    if not isinstance(obj, dict):
        raise BadRequest(f"the body must be one object, not {type(obj).__name__}")
    kind = resource.kind
    given_version, given_kind = obj.get("apiVersion"), obj.get("kind")
    if given_version not in (None, "", kind.api_version) or given_kind not in (None, "", kind.kind):
        raise BadRequest(
            f"{given_kind or '?'} in version {given_version or '?'} does not match the address, which is of "
            f"{kind.kind} in version {kind.api_version}"
        )
    obj["apiVersion"], obj["kind"] = kind.api_version, kind.kind
    _check_metadata(metadata_in(obj))
    check = resource.rules.check(obj)
    if check.causes:
        parts = ", ".join(f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in check.causes)
        raise BadRequest(
            f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {parts}',
            details=resource.details(str(obj["metadata"].get("name") or "")),
            causes=check.causes,
        )
    if not (check.unknown or options.duplicates) or options.field_validation == "Ignore":
        return
    messages = [*(f'unknown field "{path}"' for path in check.unknown), *options.duplicates]
    if options.field_validation == "Strict":
        raise BadRequest(f"strict decoding error: {', '.join(messages)}", details=resource.details())
    options.warnings.extend(message for message in messages if message not in options.warnings)


def _check_metadata(metadata: Object) -> None:
    """Check the types of the metadata that every kind has, since all code relies on them."""
    for field in ("name", "generateName", "namespace", "uid", "resourceVersion"):
        if not isinstance(metadata.get(field, ""), str | None):
            raise BadRequest(f"metadata.{field} must be a string")
    for field in ("labels", "annotations"):
        value = metadata.get(field)
        if value is None or value == {}:  # an empty one is not written down, so that it makes no difference
            metadata.pop(field, None)
        elif not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise BadRequest(f"metadata.{field} must be a map of strings to strings; quote numbers and booleans")
    for field, kind in (("finalizers", str), ("ownerReferences", dict)):
        value = metadata.get(field)
        if value is None or value == []:
            metadata.pop(field, None)
        elif not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
            raise BadRequest(f"metadata.{field} must be a list of {'strings' if kind is str else 'objects'}")
    _check_owners(metadata.get("ownerReferences") or ())


def _check_owners(references: Sequence[Object]) -> None:
    for reference in references:
        if not all(isinstance(reference.get(field, ""), str) for field in ("apiVersion", "kind", "name", "uid")):
            raise BadRequest("apiVersion, kind, name and uid of metadata.ownerReferences must be strings")


def names_right(resource: Resource, obj: Object) -> None:
    """Make sure that an object has a name, and a namespace only if its kind has.

    Raises:
        Invalid: It has no name.
    """
    metadata = obj["metadata"]
    if not resource.kind.namespaced:
        metadata.pop("namespace", None)
    if not metadata.get("name"):
        raise Invalid(
            f"{resource.kind.kind} is invalid: metadata.name: Required value: name or generateName is required",
            causes=[Cause("FieldValueRequired", "Required value: name or generateName is required", "metadata.name")],
            details=resource.details() | {"kind": resource.kind.kind},
        )


def begin_life(resource: Resource, metadata: Object, now: datetime, random: Random) -> None:
    """Set the server's fields of a new object, whatever the client wrote into them."""
    for field in _SERVER_FIELDS:
        metadata.pop(field, None)
    metadata["uid"] = str(uuid.UUID(int=random.getrandbits(128), version=4))
    metadata["creationTimestamp"] = format_time(now)
    if resource.bumps_generation:
        metadata["generation"] = 1


def keep_server_fields(metadata: Object, old: dict[str, Any]) -> None:
    """Put the server's fields of a changed object back to what they were."""
    for field in (*_SERVER_FIELDS, "generateName"):
        if field in old:
            metadata[field] = old[field]
        else:
            metadata.pop(field, None)
    metadata["name"] = old["name"]
    if "namespace" in old:
        metadata["namespace"] = old["namespace"]
