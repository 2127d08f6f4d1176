"""The one tree of errors at API boundaries, named by the reasons of the wire.

    ApiError
     ├ BadRequest 400          the request cannot be read
     ├ Unauthorized 401        no credentials, or wrong ones
     ├ Forbidden 403           known, but not allowed
     ├ NotFound 404            no such object, or no such resource
     ├ MethodNotAllowed 405    the resource does not serve this verb
     ├ NotAcceptable 406       no format that the client accepts
     ├ AlreadyExists 409       the name is taken
     ├ Conflict 409            the object changed meanwhile, or a precondition failed
     ├ Expired 410             that revision is no longer kept: list afresh
     ├ TooLarge 413            the body is over the limit
     ├ UnsupportedMediaType 415
     ├ Invalid 422             fields are wrong; ``causes`` names each
     ├ TooManyRequests 429     later; ``retry_after_s`` says when
     ├ InternalError 500       our fault
     ├ ServiceUnavailable 503  not now; safe to try again
     └ Timeout 504             took too long; the outcome is unknown

Each API turns these into its own shape in one place; the Kubernetes shape (Status) is here because both ends of the
seam speak it. Source: Kubernetes API conventions, "Response Status Kind".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that is wrong with an object.

    Attributes:
        reason: The wire's ``CauseType``: ``FieldValueRequired``, ``FieldValueInvalid``, ``FieldValueNotSupported``, ….
        message: What is wrong and what would be right.
        field: Path of the field, such as ``spec.containers[0].name``.
    """

    reason: str
    message: str
    field: str = ""


class UserError(Exception):
    """An error outside of any API that a user can act on: its message is all that they need, without a traceback."""


class ApiError(Exception):
    """An error that a client of an API sees. Raise a subclass.

    Args:
        message: What is wrong, with which object, and what to do; first word lower case, no full stop.
        details: ``name``, ``group``, ``kind`` (here: the resource's plural) of the object that it is about.
        causes: What is wrong, field by field.
        retry_after_s: When to try again, if that can help.
    """

    code: ClassVar[int] = 500
    reason: ClassVar[str] = "InternalError"

    def __init__(
        self,
        message: str,
        *,
        details: Mapping[str, str] | None = None,
        causes: Sequence[Cause] = (),
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details or {})
        self.causes = tuple(causes)
        self.retry_after_s = retry_after_s


class BadRequest(ApiError):
    """The request cannot be understood."""

    code = 400
    reason = "BadRequest"


class Unauthorized(ApiError):
    """Credentials are missing or wrong."""

    code = 401
    reason = "Unauthorized"


class Forbidden(ApiError):
    """The caller is known but may not do this."""

    code = 403
    reason = "Forbidden"


class NotFound(ApiError):
    """There is no such object or resource."""

    code = 404
    reason = "NotFound"


class MethodNotAllowed(ApiError):
    """The resource does not serve this verb."""

    code = 405
    reason = "MethodNotAllowed"


class NotAcceptable(ApiError):
    """The client accepts none of the formats that are served."""

    code = 406
    reason = "NotAcceptable"


class AlreadyExists(ApiError):
    """An object of that name exists."""

    code = 409
    reason = "AlreadyExists"


class Conflict(ApiError):
    """The object was changed meanwhile, or a precondition does not hold."""

    code = 409
    reason = "Conflict"


class Expired(ApiError):
    """The revision is no longer kept; list afresh."""

    code = 410
    reason = "Expired"


class TooLarge(ApiError):
    """The body is larger than is served."""

    code = 413
    reason = "RequestEntityTooLarge"


class UnsupportedMediaType(ApiError):
    """The body's media type is not served."""

    code = 415
    reason = "UnsupportedMediaType"


class Invalid(ApiError):
    """Fields of the object are wrong; ``causes`` names each."""

    code = 422
    reason = "Invalid"


class TooManyRequests(ApiError):
    """Later, please."""

    code = 429
    reason = "TooManyRequests"


class InternalError(ApiError):
    """A defect of ours."""

    code = 500
    reason = "InternalError"


class ServiceUnavailable(ApiError):
    """Not now; trying again is safe."""

    code = 503
    reason = "ServiceUnavailable"


class Timeout(ApiError):
    """It took too long, and whether it was done is unknown."""

    code = 504
    reason = "Timeout"


_CLASSES: tuple[type[ApiError], ...] = (
    BadRequest, Unauthorized, Forbidden, NotFound, MethodNotAllowed, NotAcceptable, AlreadyExists, Conflict, Expired,
    TooLarge, UnsupportedMediaType, Invalid, TooManyRequests, InternalError, ServiceUnavailable, Timeout,
)  # fmt: skip
_BY_REASON = {cls.reason: cls for cls in _CLASSES}
_BY_CODE = {cls.code: cls for cls in reversed(_CLASSES)} | {409: Conflict}


def status_of(error: ApiError) -> dict[str, Any]:
    """Make the Kubernetes ``Status`` object that says this error."""
    details: dict[str, Any] = dict(error.details)
    if error.causes:
        details["causes"] = [
            {"reason": c.reason, "message": c.message} | ({"field": c.field} if c.field else {}) for c in error.causes
        ]
    if error.retry_after_s is not None:
        details["retryAfterSeconds"] = error.retry_after_s
    status: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": error.message,
        "reason": error.reason,
        "code": error.code,
    }
    return status | ({"details": details} if details else {})


def error_of(status: Mapping[str, Any], code: int = 500) -> ApiError:
    """Make the error that a ``Status`` object says.

    Args:
        status: The body of the answer; anything that is no Status counts as an empty one.
        code: The HTTP status, which decides when the body names no known reason.
    """
    code = int(status.get("code") or code)
    cls = _BY_REASON.get(str(status.get("reason") or "")) or _BY_CODE.get(code)
    if cls is None:
        cls = BadRequest if 400 <= code < 500 else InternalError
    details = dict(status.get("details") or {})
    causes = [
        Cause(str(c.get("reason", "")), str(c.get("message", "")), str(c.get("field", "")))
        for c in details.pop("causes", None) or ()
    ]
    retry_after_s = details.pop("retryAfterSeconds", None)
    return cls(
        str(status.get("message") or f"the server answered {code}"),
        details={k: str(v) for k, v in details.items()},
        causes=causes,
        retry_after_s=retry_after_s,
    )
