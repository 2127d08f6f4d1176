"""The merge patch that turns one JSON value into another: what planners write when they have worked out a whole status.

Source: RFC 7386, read backwards. Null members cannot be made by a merge patch, so values must hold none.
"""

from collections.abc import Mapping
from typing import Any


def merge_patch_between(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Make the smallest merge patch from ``old`` to ``new``, empty if they are equal. Lists are replaced whole."""
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            if inner := merge_patch_between(before, value):
                patch[key] = inner
        elif key not in old or value != before:
            patch[key] = value
    return patch
