"""What can be wrong with a field, in the words that users of Kubernetes know, and the sum of it in one line.

Source: ``k8s.io/apimachinery/pkg/util/validation/field``: the wire's cause types and the form of their messages.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from beamhall.kernel.errors import Cause


def required(field: str, detail: str = "") -> Cause:
    """Say that a field must be given."""
    return Cause("FieldValueRequired", f"Required value: {detail}" if detail else "Required value", field)


def invalid(field: str, value: Any, detail: str) -> Cause:
    """Say that a field has a value that it may not have."""
    return Cause("FieldValueInvalid", f"Invalid value: {_shown(value)}: {detail}", field)


def unsupported(field: str, value: Any, supported: Iterable[str]) -> Cause:
    """Say that a field has a value that is none of those that exist."""
    options = ", ".join(f'"{option}"' for option in supported)
    return Cause("FieldValueNotSupported", f"Unsupported value: {_shown(value)}: supported values: {options}", field)


def duplicate(field: str, value: Any) -> Cause:
    """Say that a value stands twice where each must be unique."""
    return Cause("FieldValueDuplicate", f"Duplicate value: {_shown(value)}", field)


def not_found(field: str, value: Any) -> Cause:
    """Say that a field refers to something that there is not."""
    return Cause("FieldValueNotFound", f"Not found: {_shown(value)}", field)


def forbidden(field: str, detail: str) -> Cause:
    """Say that a field may not be given, or not be changed."""
    return Cause("FieldValueForbidden", f"Forbidden: {detail}", field)


def too_long(field: str, limit_bytes: int) -> Cause:
    """Say that a field is larger than ``limit_bytes``."""
    return Cause("FieldValueTooLong", f"Too long: may not be more than {limit_bytes} bytes", field)


def in_range(field: str, value: Any, low: int, high: int) -> Sequence[Cause]:
    """Check that a number, if it is given, lies between ``low`` and ``high``, both included."""
    if value is None or low <= value <= high:
        return ()
    return (invalid(field, value, f"must be between {low} and {high}, inclusive"),)


def non_negative(field: str, value: Any) -> Sequence[Cause]:
    """Check that a number, if it is given, is not below 0."""
    return () if value is None or value >= 0 else (invalid(field, value, "must be greater than or equal to 0"),)


def one_of(field: str, value: Any, supported: Iterable[str]) -> Sequence[Cause]:
    """Check that a text, if it is given, is one of those that exist."""
    return () if not value or value in supported else (unsupported(field, value, supported),)


def unchanged(field: str, new: Any, old: Any) -> Sequence[Cause]:
    """Check that a field is as it was."""
    return () if new == old else (invalid(field, new, "field is immutable"),)


def matching(field: str, value: Any, problem: str) -> Sequence[Cause]:
    """Say the problem that one of ``kernel.names``' checks found, if it found one."""
    return (invalid(field, value, problem),) if problem else ()


def summary(causes: Sequence[Cause]) -> str:
    """Write causes in one line, as a Status' message does: ``spec.a: Required value``, or ``[…, …]`` for several."""
    lines = [f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in causes]
    return lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 500 else text[:500] + "…"
