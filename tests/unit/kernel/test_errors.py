"""Errors and the Status objects that carry them."""

import pytest

from beamhall.kernel.errors import (
    AlreadyExists,
    ApiError,
    BadRequest,
    Cause,
    Conflict,
    Expired,
    InternalError,
    Invalid,
    TooManyRequests,
    error_of,
    status_of,
)


def _all(cls: type[ApiError]) -> list[type[ApiError]]:
    return [sub for sub in cls.__subclasses__() if sub.__module__ == ApiError.__module__]


@pytest.mark.parametrize("cls", _all(ApiError))
def test_every_error_survives_the_wire(cls: type[ApiError]) -> None:
    causes = [Cause("FieldValueInvalid", "no", "spec.a"), Cause("Other", "why")]
    error = cls("what happened", details={"name": "a", "kind": "pods"}, causes=causes, retry_after_s=3)
    read = error_of(status_of(error), 500)
    assert type(read) is cls
    assert (read.message, read.details, read.causes, read.retry_after_s) == (
        "what happened", {"name": "a", "kind": "pods"}, tuple(causes), 3,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "code", "cls"),
    [
        ({"reason": "AlreadyExists", "code": 409}, 409, AlreadyExists),
        ({}, 409, Conflict),
        ({"reason": "Gone", "code": 410}, 200, Expired),
        ({"reason": "NeverHeardOf"}, 429, TooManyRequests),
        ({"reason": "Invalid"}, 500, Invalid),
        ({}, 418, BadRequest),
        ({}, 502, InternalError),
    ],
)
def test_what_the_body_does_not_say_the_code_does(status: dict[str, object], code: int, cls: type[ApiError]) -> None:
    assert type(error_of(status, code)) is cls


def test_a_status_without_message_has_one() -> None:
    assert str(error_of({}, 502)) == "the server answered 502"
