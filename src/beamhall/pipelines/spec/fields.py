"""Reading JSON into typed parts, by the parts' own fields, with every mistake told by its path.

As protojson: a field may be written in camelCase or snake_case, null is absent, numbers may be text and integers may be
written as floats, enumerated values may be numbers. Knows nothing of pipelines; ``reading`` does.

Source: Protocol Buffers documentation, "ProtoJSON Format".
"""

import difflib
import math
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, TypeVar

import msgspec

from beamhall.kernel.errors import Cause
from beamhall.pipelines.spec.sources import Part

MAX_PROBLEMS = 100
"""How many problems are told of one document; further ones are not looked for."""

_COSMETIC = frozenset({"description", "displayName", "display_name", "documentation"})
_DURATION = re.compile(r"-?\d+(\.\d{1,9})?s")
_NAMES = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}

PartT = TypeVar("PartT", bound=Part)


@dataclass(slots=True)
class Findings:
    """What is noticed while something is read.

    Attributes:
        problems: What is wrong.
        warnings: What is passed over.
        are_unknown_fields_problems: Whether a field that nobody knows is wrong, or passed over.
    """

    problems: list[Cause] = field(default_factory=list)
    warnings: list[Cause] = field(default_factory=list)
    are_unknown_fields_problems: bool = True

    def wrong(self, path: str, message: str, reason: str = "FieldValueInvalid") -> None:
        """Note a problem."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Cause(reason, message, path))

    def warn(self, path: str, message: str) -> None:
        """Note what is passed over."""
        if len(self.warnings) < MAX_PROBLEMS:
            self.warnings.append(Cause("FieldValueNotSupported", message, path))


Reader = Callable[[Any, str, Findings], Any]


def read_part(kind: type[PartT], value: Any, path: str, findings: Findings) -> PartT:
    """Read a part; what is wrong with it is noted, and read as if it were not there.

    Args:
        kind: What to read.
        value: The JSON value.
        path: Where it stands; empty for a whole document.
        findings: Where to note what is found.
    """
    part: PartT = _part_reader(kind)(value, path, findings)
    return part


@dataclass(frozen=True, slots=True)
class _Field:
    attribute: str
    wire: str
    read: Reader
    keeps_null: bool


@cache
def _fields(kind: type[Part]) -> Mapping[str, _Field]:
    """Give the fields of a part by the names they may be written by."""
    hints = typing.get_type_hints(kind, include_extras=True)
    found: dict[str, _Field] = {}
    for one in msgspec.structs.fields(kind):
        entry = _Field(one.name, one.encode_name, _reader(hints[one.name]), one.default is msgspec.UNSET)
        found[one.name] = found[one.encode_name] = entry
    return found


@cache
def _part_reader(kind: type[Part]) -> Reader:
    def read(value: Any, path: str, findings: Findings) -> Part:
        if value is None:
            return kind()
        if not isinstance(value, Mapping):
            findings.wrong(path, f"must be an object, is {shown(value)}")
            return kind()
        known, found = _fields(kind), {}
        for key, member in value.items():
            entry = known.get(key)
            if entry is None:
                _note_unknown(kind, str(key), _below(path, str(key)), findings)
                continue
            here = _below(path, entry.wire)
            if entry.attribute in found:
                findings.wrong(here, f"is given twice, as {entry.wire} and as {entry.attribute}")
            elif member is not None or entry.keeps_null:
                read_one = entry.read(member, here, findings)
                if read_one is not _BAD:
                    found[entry.attribute] = read_one
        return kind(**found)

    return read


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _note_unknown(kind: type[Part], name: str, path: str, findings: Findings) -> None:
    if name in _COSMETIC or name.startswith(("x-", "_", "$")):
        return
    known = sorted({entry.wire for entry in _fields(kind).values()})
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"
    if findings.are_unknown_fields_problems:
        findings.wrong(path, f"unknown field {name!r}; {hint}", "FieldValueNotSupported")
    else:
        findings.warn(path, f"unknown field {name!r} is passed over; {hint}")


_BAD = object()


@cache
def _reader(hint: Any) -> Reader:
    """Make what reads a value of one type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _duration
    if origin in (types.UnionType, typing.Union):
        rest = [one for one in arguments if one not in (type(None), msgspec.UnsetType)]
        return _reader(rest[0])
    if origin is not None and issubclass(origin, Mapping):
        return _mapping_reader(_reader(arguments[1]), is_part=_is_part(arguments[1]))
    if origin is not None and issubclass(origin, Sequence):
        return _sequence_reader(_reader(arguments[0]))
    if _is_part(hint):
        return _part_reader(hint)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _enum_reader(hint)
    return _SCALARS[hint]


def _is_part(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Part)


def _mapping_reader(read_value: Reader, *, is_part: bool) -> Reader:
    def read(value: Any, path: str, findings: Findings) -> Any:
        if not isinstance(value, Mapping):
            findings.wrong(path, f"must be an object, is {shown(value)}")
            return _BAD
        found = {}
        for key, member in value.items():
            here = f"{path}[{key!r}]"
            if not isinstance(key, str):
                findings.wrong(here, f"a name must be text, is {shown(key)}; quote it")
                continue
            if member is None and not is_part and read_value is not _json:
                findings.wrong(here, "must not be null")
                continue
            read_one = read_value(member, here, findings)
            if read_one is not _BAD:
                found[key] = read_one
        return found

    return read


def _sequence_reader(read_item: Reader) -> Reader:
    def read(value: Any, path: str, findings: Findings) -> Any:
        if not isinstance(value, list | tuple):
            findings.wrong(path, f"must be a list, is {shown(value)}")
            return _BAD
        found = (read_item(item, f"{path}[{number}]", findings) for number, item in enumerate(value))
        return tuple(item for item in found if item is not _BAD)

    return read


def _enum_reader(kind: type[StrEnum]) -> Reader:
    members = list(kind)

    def read(value: Any, path: str, findings: Findings) -> Any:
        if isinstance(value, str) and value in kind.__members__.values():
            return kind(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(members):
            return members[value]
        findings.wrong(
            path, f"must be one of {', '.join(members[1:])}; is {shown(value)}", "FieldValueNotSupported"
        )  # fmt: skip
        return _BAD

    return read


def _json(value: Any, _path: str, _findings: Findings) -> Any:
    return value


def _text(value: Any, path: str, findings: Findings) -> Any:
    if isinstance(value, str):
        return value
    hint = "; quote it" if isinstance(value, int | float) else ""
    findings.wrong(path, f"must be text, is {shown(value)}{hint}")
    return _BAD


def _boolean(value: Any, path: str, findings: Findings) -> Any:
    if isinstance(value, bool):
        return value
    findings.wrong(path, f"must be true or false, is {shown(value)}")
    return _BAD


def _integer(value: Any, path: str, findings: Findings) -> Any:
    number = _as_number(value)
    if number is None or number != math.floor(number):
        findings.wrong(path, f"must be a whole number, is {shown(value)}")
        return _BAD
    return int(number)


def _number(value: Any, path: str, findings: Findings) -> Any:
    number = _as_number(value)
    if number is None:
        findings.wrong(path, f"must be a number, is {shown(value)}")
        return _BAD
    return float(number)


def _as_number(value: Any) -> int | float | None:
    """Give the number, finite, that a value is or is the text of."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = value if not isinstance(value, str) else int(value) if _WHOLE.fullmatch(value) else float(value)
        return number if math.isfinite(number) else None
    except (ValueError, OverflowError):
        return None


_WHOLE = re.compile(r"-?[0-9]{1,40}")


def _duration(value: Any, path: str, findings: Findings) -> Any:
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        findings.wrong(path, f'must be a duration in seconds such as "60s" or "1.5s", is {shown(value)}')
        return _BAD
    return float(value[:-1])


_SCALARS: Mapping[Any, Reader] = {Any: _json, str: _text, bool: _boolean, int: _integer, float: _number}


def shown(value: Any) -> str:
    """Say what a value is, short enough for a message: ``the number 3``, ``the text 'abc'``, ``a list``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value if not isinstance(value, int) or abs(value) < 10**40 else 'of many digits'}"
    if isinstance(value, str):
        return f"the text {value if len(value) <= 60 else value[:57] + '...'!r}"
    return _NAMES.get(type(value), f"a {type(value).__name__}")
