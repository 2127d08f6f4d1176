"""Patches as clients send them, as changes for ``writing``. What they mean is in ``kernel.patches``."""

from typing import Any

from beamhall.client.protocol import PatchType
from beamhall.embedded.api.core import Change, copied
from beamhall.embedded.api.resources import Resource
from beamhall.kernel.errors import BadRequest, UnsupportedMediaType
from beamhall.kernel.patches import apply_json_patch, apply_merge_patch, apply_strategic_patch


def change_of(resource: Resource, patch: Any, kind: PatchType) -> Change:
    """Make the change that a patch states. The patch is copied for each try: what is stored shares parts with it.

    Raises:
        BadRequest: The patch is not of its kind's form.
        UnsupportedMediaType: A strategic patch for a custom kind.
    """
    if kind == "json":
        if not isinstance(patch, list):
            raise BadRequest(f"a JSON patch must be a list of operations, not {type(patch).__name__}")
        return lambda obj: apply_json_patch(obj, patch)
    if not isinstance(patch, dict):
        raise BadRequest(f"a {kind} patch must be an object, not {type(patch).__name__}")
    if kind == "merge":
        return lambda obj: apply_merge_patch(obj, copied(patch))
    if resource.is_custom:
        raise UnsupportedMediaType(
            "strategic merge patches need a built-in kind; use application/merge-patch+json "
            "(kubectl patch --type=merge)"
        )
    return lambda obj: apply_strategic_patch(obj, copied(patch), resource.rules.schema())
