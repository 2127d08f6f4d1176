"""Reads objects that clients send as ``application/vnd.kubernetes.protobuf``, as ``kubectl create`` does.

The field numbers are those of the table of ``definitions``; ``wire`` reads the encoding itself. Nothing is dropped: a
kind, field or form that is not known here is an error that says to send JSON. Answers are always JSON.

Go writes the empty texts, zeros and falses of plain fields too, where JSON leaves them out. What matters is kept: zeros
and falses, but of the fields in ``_ZERO_IS_ABSENT``, which no Go type has as pointers; empty texts are left out.

Source: Kubernetes API concepts, "Protobuf encoding"; ``generated.proto`` of each group.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import msgspec

from beamhall.embedded.api.builtin.definitions import Field, fields_of
from beamhall.embedded.api.builtin.kinds import BUILT_INS
from beamhall.embedded.api.builtin.wire import BYTES, Malformed, Value, double_of, fields_in, integer_of, integers_of
from beamhall.kernel.clock import format_micro_time, format_time
from beamhall.kernel.errors import BadRequest, UnsupportedMediaType
from beamhall.kernel.objects import Object

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
"""The media type of such bodies."""

_PREFIX = b"k8s\x00"
_MAX_SECONDS = 253402300799  # the end of the year 9999
_AUTHENTICATION, _AUTHORIZATION = "authentication.k8s.io/v1", "authorization.k8s.io/v1"
_OTHERS: Mapping[tuple[str, str], str] = {
    ("v1", "DeleteOptions"): "meta_v1.DeleteOptions",
    ("meta.k8s.io/v1", "DeleteOptions"): "meta_v1.DeleteOptions",
    ("v1", "Binding"): "core_v1.Binding",
    ("autoscaling/v1", "Scale"): "autoscaling_v1.Scale",
    (_AUTHENTICATION, "SelfSubjectReview"): "authentication_v1.SelfSubjectReview",
    (_AUTHENTICATION, "TokenRequest"): "authentication_v1.TokenRequest",
    (_AUTHENTICATION, "TokenReview"): "authentication_v1.TokenReview",
    (_AUTHORIZATION, "SelfSubjectAccessReview"): "authorization_v1.SelfSubjectAccessReview",
    (_AUTHORIZATION, "SelfSubjectRulesReview"): "authorization_v1.SelfSubjectRulesReview",
    (_AUTHORIZATION, "SubjectAccessReview"): "authorization_v1.SubjectAccessReview",
    (_AUTHORIZATION, "LocalSubjectAccessReview"): "authorization_v1.LocalSubjectAccessReview",
}
"""What is read beside the kinds that are stored: questions, and bodies of subresources."""

_ZERO_IS_ABSENT = frozenset(
    {
        "active", "count", "failed", "failureThreshold", "generation", "globalDefault", "healthCheckNodePort",
        "hostIPC",
        "hostNetwork", "hostPID", "hostPort", "initialDelaySeconds", "nodePort", "observedGeneration", "periodSeconds",
        "publishNotReadyAddresses", "readOnly", "stdin", "stdinOnce", "succeeded", "successThreshold", "timeoutSeconds",
        "tty", "unschedulable",
    }
)  # fmt: skip
_EMPTY_MATTERS = frozenset({"storageClassName", "volumeAttributesClassName"})


@dataclass(slots=True)
class _Message:
    """What a message's numbers mean: fields of the JSON object, and messages whose fields count as its own."""

    name: str
    fields: dict[int, tuple[str, Field]] = field(default_factory=dict)
    embedded: dict[int, "_Message"] = field(default_factory=dict)


def decode(body: bytes) -> Object:
    """Read an object, with ``apiVersion`` and ``kind``.

    Raises:
        BadRequest: The bytes are not what they say.
        UnsupportedMediaType: The kind, or one of its fields, is not read in this form.
    """
    if not body.startswith(_PREFIX):
        raise BadRequest(f"the body is no {MEDIA_TYPE}: it does not begin with 'k8s' and a zero byte")
    try:
        parts = dict(_envelope(body[len(_PREFIX) :]))
        kind = dict(_envelope(parts.get(1, b"")))
        if parts.get(3) or (parts.get(4) or b"").decode() not in ("", MEDIA_TYPE):
            raise UnsupportedMediaType("the object in the protobuf envelope is encoded once more; send it plain")
        api_version, name = kind.get(1, b"").decode(), kind.get(2, b"").decode()
        definition = _definition_of(api_version, name)
        obj: Object = {"apiVersion": api_version, "kind": name}
        _decode_message(_message_of(definition), parts.get(2, b""), obj)
    except (Malformed, UnicodeDecodeError) as error:
        raise BadRequest(f"the protobuf body cannot be read: {error}") from error
    return obj


def _envelope(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Give the members of the envelope, or of the type in it: they are all bytes."""
    for number, wire_type, value in fields_in(data):
        if wire_type != BYTES or not isinstance(value, bytes) or number > 4:
            raise Malformed(f"field {number} of the envelope is not known")
        yield number, value


def _definition_of(api_version: str, kind: str) -> str:
    definition = _definitions().get((api_version, kind))
    if definition is None or not _message_of(definition).fields:
        raise UnsupportedMediaType(
            f"{kind} of {api_version} is not read as protobuf; send it as JSON or YAML, with kubectl create -f or apply"
        )
    return definition


@cache
def _definitions() -> Mapping[tuple[str, str], str]:
    own = {(entry.kind.api_version, entry.kind.kind): entry.definition for entry in BUILT_INS.values()}
    return {**own, **_OTHERS}


@cache
def _message_of(definition: str) -> _Message:
    message = _Message(definition)
    for name, described in fields_of(definition).items():
        target = message
        for number in described.numbers[:-1]:
            target = target.embedded.setdefault(number, _Message(definition))
        if described.numbers:
            target.fields[described.numbers[-1]] = (name, described)
    return message


def _decode_message(message: _Message, data: bytes, target: Object) -> None:
    """Read a message into ``target``; one that comes in several parts is put together, as protobuf has it."""
    for number, wire_type, value in fields_in(data):
        if number in message.embedded and isinstance(value, bytes):
            _decode_message(message.embedded[number], value, target)
        elif number in message.fields:
            _decode_field(*message.fields[number], (wire_type, value), target)
        else:
            raise UnsupportedMediaType(
                f"field {number} of {message.name.replace('_', '/')} is not read as protobuf; send JSON or YAML"
            )


def _decode_field(name: str, described: Field, value: Value, target: Object) -> None:
    if described.shape == "{}" and described.type != "any":
        key, item = _entry(described, value)
        target.setdefault(name, {})[key] = item
    elif described.shape == "[]":
        if described.type in _PACKABLE:
            target.setdefault(name, []).extend(integers_of(value))
        else:
            target.setdefault(name, []).append(_one(described.type, value, {}))
    else:
        kept = target.get(name)
        read = _one(described.type, value, kept if isinstance(kept, dict) else {})
        if not _is_absent(name, described.type, read):
            target[name] = read


def _is_absent(name: str, kind: str, value: Any) -> bool:
    if value is None:
        return True
    if kind in ("string", "bytes"):
        return value == "" and name not in _EMPTY_MATTERS
    return name in _ZERO_IS_ABSENT and value in (0, False)


def _entry(described: Field, value: Value) -> tuple[str, Any]:
    """Read one entry of a map: a message of a key and a value."""
    key = ""
    item: Value = (BYTES, b"")
    for number, wire_type, inner in fields_in(_bytes_of(value)):
        if number == 1:
            key = _text((wire_type, inner))
        elif number == 2:
            item = (wire_type, inner)
        else:
            raise Malformed(f"field {number} in an entry of a map")
    return key, _one(described.type, item, {})


def _one(kind: str, value: Value, target: Object) -> Any:
    if reader := _READERS.get(kind):
        return reader(value)
    _decode_message(_message_of(kind), _bytes_of(value), target)
    return target


def _bytes_of(value: Value) -> bytes:
    if value[0] != BYTES or not isinstance(value[1], bytes):
        raise Malformed("a number where text or a message should be")
    return value[1]


def _text(value: Value) -> str:
    return _bytes_of(value).decode()


def _int32(value: Value) -> int:
    number = integer_of(value)
    if not -(1 << 31) <= number < 1 << 31:
        raise Malformed(f"{number} is no integer of 32 bits")
    return number


def _members(value: Value, readers: Mapping[int, Callable[[Value], Any]]) -> dict[int, Any]:
    found = {}
    for number, wire_type, inner in fields_in(_bytes_of(value)):
        if number not in readers:
            raise Malformed(f"field {number} is not known there")
        found[number] = readers[number]((wire_type, inner))
    return found


def _moment(value: Value) -> datetime | None:
    """Read a time; an empty one is none at all."""
    members = _members(value, {1: integer_of, 2: _int32})
    if not members:
        return None
    seconds, nanoseconds = members.get(1, 0), members.get(2, 0)
    if not -62135596800 <= seconds <= _MAX_SECONDS or not 0 <= nanoseconds < 10**9:
        raise Malformed(f"{seconds} s and {nanoseconds} ns since 1970 is no time")
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=nanoseconds // 1000)


def _time(value: Value) -> str | None:
    moment = _moment(value)
    return format_time(moment) if moment else None


def _micro_time(value: Value) -> str | None:
    moment = _moment(value)
    return format_micro_time(moment) if moment else None


def _int_or_string(value: Value) -> int | str:
    members = _members(value, {1: integer_of, 2: _int32, 3: _text})
    return str(members.get(3, "")) if members.get(1) else int(members.get(2, 0))


def _quantity(value: Value) -> str:
    return str(_members(value, {1: _text}).get(1, "0"))


def _embedded_json(value: Value) -> Any:
    """Read what stands in the object as JSON in bytes: a raw extension, or managed fields."""
    raw = _members(value, {1: _bytes_of}).get(1) or b"null"
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed("an embedded object is no JSON") from error


_PACKABLE = frozenset({"int32", "int64"})
_READERS: Mapping[str, Callable[[Value], Any]] = {
    "string": _text,
    "bytes": lambda value: base64.b64encode(_bytes_of(value)).decode(),
    "int32": _int32,
    "int64": integer_of,
    "bool": lambda value: integer_of(value) != 0,
    "double": double_of,
    "time": _time,
    "micro-time": _micro_time,
    "quantity": _quantity,
    "int-or-string": _int_or_string,
    "any": _embedded_json,
}
