"""Messages as protojson has them: names in snake or camel case, null for unset, zero values left out of replies.

Source: Protocol Buffers, "ProtoJSON Format".
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from beamhall.history.records import Moment
from beamhall.kernel.clock import format_micro_time, format_time, parse_time
from beamhall.kernel.errors import BadRequest, TooLarge

BODY_LIMIT = 32 * 1024 * 1024
"""Bytes of a request's body, as upstream has it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Reader = Callable[[Any, str], Any]
"""Reads the value of a field, which it is told the path of; raises ``BadRequest``."""

Shape = Mapping[str, Reader]
"""The fields of a message by their snake case names."""


def text(value: Any, path: str) -> str:
    """Read a string."""
    if not isinstance(value, str):
        raise BadRequest(f"{path}: {_short(value)} is no string")
    if "\0" in value:
        raise BadRequest(f"{path}: a string cannot have a NUL in it")
    return value


def given_by_server(_: Any, __: str) -> None:
    """Read over a field that only replies mean something by: clients send back what they were given."""


def anything(value: Any, _: str) -> Any:
    """Read any JSON as it is."""
    return value


def json_object(value: Any, path: str) -> Mapping[str, Any]:
    """Read an object whose members are any JSON."""
    if not isinstance(value, dict):
        raise BadRequest(f"{path}: {_short(value)} is no object")
    return value


def texts_by_name(value: Any, path: str) -> Mapping[str, str]:
    """Read an object whose members are strings."""
    return {text(key, path): text(each, f"{path}.{key}") for key, each in json_object(value, path).items()}


def boolean(value: Any, path: str) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise BadRequest(f"{path}: {_short(value)} is neither true nor false")
    return value


def number(value: Any, path: str) -> float:
    """Read a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRequest(f"{path}: {_short(value)} is no number")
    return float(value)


def enumeration(names: Sequence[str]) -> Reader:
    """Make a reader of one of these names, or of its index."""

    def read(value: Any, path: str) -> str:
        if type(value) is int and 0 <= value < len(names):
            return names[value]
        if value not in names:
            raise BadRequest(f"{path}: {_short(value)} is none; there are {', '.join(names)}")
        return str(value)

    return read


def whole_number(bits: int) -> Reader:
    """Make a reader of integers of so many bits; protojson has the long ones as strings, and takes either."""
    limit = 2 ** (bits - 1)

    def read(value: Any, path: str) -> int:
        is_text = isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,20}", value) is not None
        is_whole = isinstance(value, float) and value.is_integer()
        number = int(value) if is_text or is_whole else value
        if type(number) is not int or not -limit <= number < limit:
            raise BadRequest(f"{path}: {_short(value)} is no whole number of {bits} bits")
        return number

    return read


def moment(value: Any, path: str) -> Moment:
    """Read an RFC 3339 time."""
    try:
        return (parse_time(text(value, path)) - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        raise BadRequest(f"{path}: {_short(value)} is no time; write it as 2006-01-02T15:04:05Z") from None


def list_of(read: Reader) -> Reader:
    """Make a reader of lists."""

    def read_list(value: Any, path: str) -> Sequence[Any]:
        if not isinstance(value, list):
            raise BadRequest(f"{path}: {_short(value)} is no list")
        return [read(each, f"{path}[{number}]") for number, each in enumerate(value)]

    return read_list


def message(shape: Shape) -> Reader:
    """Make a reader of messages."""

    def read(value: Any, path: str) -> Mapping[str, Any]:
        return read_message(value, shape, path)

    return read


def read_message(value: Any, shape: Shape, path: str = "") -> Mapping[str, Any]:
    """Read a message; what is null is left out.

    Args:
        value: The decoded JSON.
        shape: Its fields.
        path: Where it stands, for errors.

    Raises:
        BadRequest: It is no object, has a field that is unknown or given twice, or one that cannot be read.
    """
    found: dict[str, Any] = {}
    for key, each in json_object(value, path or "the body").items():
        name = key if key in shape else _snake(key)
        here = f"{path}.{key}" if path else key
        if name not in shape:
            raise BadRequest(f"{here}: there is no such field; there are {', '.join(sorted(shape))}")
        if name in found:
            raise BadRequest(f"{here}: the field is given twice")
        if each is not None:
            found[name] = shape[name](each, here)
    return found


async def read_body(request: Request, shape: Shape) -> Mapping[str, Any]:
    """Read the body of a request as a message; an empty one is an empty message.

    Raises:
        TooLarge: It is over ``BODY_LIMIT``.
        BadRequest: It is no JSON, or not of this shape.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise TooLarge(f"the body is larger than {BODY_LIMIT // 2**20} MiB")
    return read_message(decode(bytes(body) or b"{}", "the body"), shape)


def decode(body: bytes | str, what: str) -> Any:
    """Read JSON; ``BadRequest`` says why it is none."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as err:
        raise BadRequest(f"{what} is no JSON: {err}") from None


def reply(content: Mapping[str, Any]) -> Response:
    """Answer with a message; its zero values are left out."""
    return Response(msgspec.json.encode(without_zeros(content)), media_type="application/json")


def without_zeros(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out what a message need not say: empty strings, lists and objects, 0 and false."""
    return {key: value for key, value in content.items() if value}


def raw(body: str) -> msgspec.Raw:
    """Take JSON text into a message as it stands."""
    return msgspec.Raw(body.encode())


def time_text(value: Moment) -> str:
    """Write a moment; one that has not come is the beginning of 1970, as upstream has it."""
    return _second_text(value // 1_000_000)


@lru_cache(1024)  # a run of 1,000 tasks tells 6,000 times, of few seconds
def _second_text(seconds: int) -> str:
    return format_time(_EPOCH + timedelta(seconds=seconds))


def exact_time_text(value: Moment) -> str:
    """Write a moment with its microseconds."""
    return format_micro_time(_EPOCH + value * _MICROSECOND)


def moment_of(time: datetime) -> Moment:
    """Give the moment of a time."""
    return (time - _EPOCH) // _MICROSECOND


def _snake(key: str) -> str:
    return re.sub("[A-Z]", lambda letter: "_" + letter.group().lower(), key) if "_" not in key else key


def _short(value: Any) -> str:
    written = msgspec.json.encode(value).decode()
    return written if len(written) <= 80 else written[:77] + "..."
