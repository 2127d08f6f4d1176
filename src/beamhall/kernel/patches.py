"""Applying patches: merge patch (RFC 7386), JSON patch (RFC 6902), strategic merge patch.

All are functions of (object, patch): neither is changed, and the result may share parts with both. The way back, from
two values to a merge patch, is ``difference``. Which lists a strategic merge patch merges, and by which key, is written
in the kind's schema (``x-kubernetes-patch-strategy``, ``x-kubernetes-patch-merge-key``).
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import jsonpatch
import jsonpointer

from beamhall.kernel.errors import BadRequest, Invalid
from beamhall.kernel.objects import Object, ReadOnlyObject
from beamhall.kernel.strategic import merge_strategically

MAX_OPERATIONS = 10_000
"""The most operations that a JSON patch may have, as in a kube-apiserver."""


def apply_merge_patch(obj: ReadOnlyObject, patch: Mapping[str, Any]) -> Object:
    """Apply a merge patch: mappings are merged, null removes, everything else (lists too) replaces.

    Raises:
        BadRequest: The patch is no mapping.
    """
    if not isinstance(patch, Mapping):
        raise BadRequest(f"a merge patch must be a JSON object, not {_what(patch)}")
    merged: Object = _merged(obj, patch)
    return merged


def apply_json_patch(obj: ReadOnlyObject, patch: Sequence[Mapping[str, Any]]) -> Object:
    """Apply a JSON patch: all of its operations, or none.

    Raises:
        BadRequest: The patch is no list of operations, or one of them is malformed.
        Invalid: An operation cannot be applied to this object; the message names it.
    """
    if not isinstance(patch, list | tuple):
        raise BadRequest(f"a JSON patch must be a list of operations, not {_what(patch)}")
    if len(patch) > MAX_OPERATIONS:
        raise BadRequest(f"the JSON patch has {len(patch)} operations; at most {MAX_OPERATIONS} are allowed")
    patched: Any = copy.deepcopy(obj)
    # Earlier releases of the library insert the patch's own values, which later operations would then change.
    for index, operation in enumerate(copy.deepcopy(list(patch))):
        patched = _after(operation, patched, index)
    if not isinstance(patched, dict):
        raise Invalid(f"after the JSON patch the object would be {_what(patched)}; it must stay a JSON object")
    return patched


def apply_strategic_patch(obj: ReadOnlyObject, patch: Mapping[str, Any], schema: Mapping[str, Any]) -> Object:
    """Apply a strategic merge patch. See ``strategic`` for its directives.

    Args:
        obj: The object.
        patch: The patch.
        schema: The kind's structural schema with the ``x-kubernetes-patch-*`` extensions.

    Raises:
        BadRequest: A directive is malformed, or an element of a merged list lacks its key.
    """
    if not isinstance(patch, Mapping):
        raise BadRequest(f"a strategic merge patch must be a JSON object, not {_what(patch)}")
    return merge_strategically(obj, patch, schema)


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged


def _after(operation: Any, target: Any, index: int) -> Any:
    """Apply one operation in place and give the document, which it may have replaced as a whole."""
    try:
        return jsonpatch.JsonPatch([operation]).apply(target, in_place=True)
    except jsonpatch.JsonPatchTestFailed as error:
        raise Invalid(f"{_named(operation, index)} failed: the value there is another") from error
    except jsonpatch.InvalidJsonPatch as error:
        raise BadRequest(f"{_named(operation, index)} is malformed: {error}") from error
    except (jsonpatch.JsonPatchConflict, jsonpointer.JsonPointerException) as error:
        what = str(error).partition(" in {")[0]  # the library shows all that is there
        raise Invalid(f"{_named(operation, index)} cannot be applied: {what}") from error
    except (TypeError, AttributeError, KeyError, IndexError, ValueError) as error:  # the library on odd documents
        raise Invalid(f"{_named(operation, index)} cannot be applied to what is there: {error}") from error


def _named(operation: Any, index: int) -> str:
    if not isinstance(operation, Mapping):
        return f"JSON patch operation {index} ({_what(operation)})"
    return f"JSON patch operation {index} ({operation.get('op')} {operation.get('path')})"


def _what(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    return "a string" if isinstance(value, str) else "a list"
