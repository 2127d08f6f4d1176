"""Bodies that are no stored objects: questions, requests for tokens. They are checked by their definitions' fields."""

from typing import Any

from beamhall.embedded.api.builtin.fields import check_definition
from beamhall.kernel.errors import BadRequest
from beamhall.kernel.objects import Object


def read_form(body: Any, api_version: str, kind: str, definition: str) -> Object:
    """Give a body that has the form of its kind; an absent one is empty. Fields that are not known are let pass.

    Args:
        body: What the client sent.
        api_version: Such as ``authentication.k8s.io/v1``.
        kind: Such as ``TokenRequest``.
        definition: Its name among ``builtin.definitions``.

    Raises:
        BadRequest: It is of another kind, or a field has a value of a wrong type.
    """
    form = {} if body is None else body
    if not isinstance(form, dict):
        raise BadRequest(f"the body must be one {kind} object, not {type(form).__name__}")
    given = (form.get("apiVersion") or api_version, form.get("kind") or kind)
    if given != (api_version, kind):
        raise BadRequest(f"{given[1]} in version {given[0]} does not match the address, which is of {kind}")
    if causes := check_definition(definition, form).causes:
        parts = ", ".join(f"{cause.field}: {cause.message}" for cause in causes)
        version = api_version.partition("/")[2] or api_version
        raise BadRequest(f'{kind} in version "{version}" cannot be handled as a {kind}: {parts}', causes=causes)
    return {**form, "apiVersion": api_version, "kind": kind}
