"""Errors in the shape of this API: a gRPC status as JSON, with the HTTP status that grpc-gateway gives it.

Source: google.rpc.Code; grpc-gateway, runtime/errors.go (``HTTPStatusFromCode``).
"""

from collections.abc import Awaitable, Callable, Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from beamhall.kernel.errors import (
    AlreadyExists,
    ApiError,
    BadRequest,
    Conflict,
    Forbidden,
    Invalid,
    MethodNotAllowed,
    NotFound,
    ServiceUnavailable,
    TooLarge,
    TooManyRequests,
    Unauthorized,
    UserError,
)

Handler = Callable[[Request], Awaitable[Response]]


class FailedPrecondition(BadRequest):
    """What is asked cannot be done as things are now: something else must be done before."""


_CODES: Mapping[type[ApiError], tuple[int, int]] = {
    FailedPrecondition: (9, 400),
    BadRequest: (3, 400),
    Invalid: (3, 400),
    TooLarge: (3, 413),
    NotFound: (5, 404),
    AlreadyExists: (6, 409),
    Forbidden: (7, 403),
    TooManyRequests: (8, 429),
    Conflict: (10, 409),
    MethodNotAllowed: (12, 405),
    ServiceUnavailable: (14, 503),
    Unauthorized: (16, 401),
}
_INTERNAL = (13, 500)


def status_of(error: ApiError) -> tuple[int, int]:
    """Give the gRPC code and the HTTP status of an error."""
    return next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), _INTERNAL)


def refusal(error: ApiError) -> Response:
    """Answer with an error."""
    code, status = status_of(error)
    detail = {"@type": "type.googleapis.com/google.rpc.Status", "code": code, "message": error.message}
    return JSONResponse({"code": code, "message": error.message, "details": [detail]}, status)


async def refuse(_: Request, error: Exception) -> Response:
    """Answer with an error that a handler raised: an ``ApiError``, or a ``UserError`` of a part that cannot be used."""
    if isinstance(error, ApiError):
        return refusal(error)
    assert isinstance(error, UserError)
    return refusal(ServiceUnavailable(str(error)))


def telling(failure: str, handle: Handler) -> Handler:
    """Make a handler whose errors have the form of uploads, logs and artifacts, which are no messages.

    Args:
        failure: What is said before each error, such as ``Failed to upload pipeline``.
        handle: The handler.
    """

    async def handle_telling(request: Request) -> Response:
        try:
            return await handle(request)
        except ApiError as error:
            causes = [msgspec.to_builtins(cause) for cause in error.causes]
            told = f"{failure}: {error.message}"
            content = {"error_message": told, "error_details": told, **({"causes": causes} if causes else {})}
            return JSONResponse(content, status_of(error)[1])

    return handle_telling


async def no_such_path(request: Request, _: Exception) -> Response:
    """Answer for a path that nothing is served at."""
    return refusal(NotFound(f"nothing is served at {request.url.path}"))


async def no_such_method(request: Request, _: Exception) -> Response:
    """Answer for a method that a path does not serve."""
    return refusal(MethodNotAllowed(f"{request.url.path} does not serve {request.method}"))
