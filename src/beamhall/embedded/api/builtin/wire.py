"""The encoding of protobuf messages: numbered fields of four kinds, whatever they mean.

Source: Protocol Buffers, "Encoding". The obsolete groups are not read.
"""

import struct
from collections.abc import Iterator, Sequence

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

Value = tuple[int, int | bytes]
"""A wire type and what it carries: a number for varints, bytes for everything else."""

_MAX_VARINT_BYTES = 10
_FIXED = {FIXED64: 8, FIXED32: 4}


class Malformed(ValueError):
    """The bytes are no such message."""


def fields_in(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Give (field number, wire type, value) for each field of a message, in order.

    Raises:
        Malformed: While iterating: the bytes end early, or have a wire type that there is not.
    """
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, wire_type = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise Malformed(f"{number} is no number of a field")
        if wire_type == VARINT:
            value, position = _varint(data, position)
            yield number, wire_type, value
            continue
        if wire_type == BYTES:
            size, position = _varint(data, position)
        elif wire_type in _FIXED:
            size = _FIXED[wire_type]
        else:
            raise Malformed(f"wire type {wire_type} of field {number} is not known")
        end = position + size
        if end > len(data):
            raise Malformed(f"field {number} ends after the message")
        yield number, wire_type, data[position:end]
        position = end


def integer_of(value: Value) -> int:
    """Read a signed integer, of 32 or 64 bits, or a boolean. Raises ``Malformed``."""
    wire_type, number = value
    if wire_type != VARINT or not isinstance(number, int):
        raise Malformed("something else where an integer should be")
    return number - (1 << 64) if number >= 1 << 63 else number


def integers_of(value: Value) -> Sequence[int]:
    """Read one member of a list of integers, or several that are packed together. Raises ``Malformed``."""
    wire_type, data = value
    if wire_type != BYTES or not isinstance(data, bytes):
        return (integer_of(value),)
    numbers, position = [], 0
    while position < len(data):
        number, position = _varint(data, position)
        numbers.append(integer_of((VARINT, number)))
    return numbers


def double_of(value: Value) -> float:
    """Read a floating-point number. Raises ``Malformed``."""
    wire_type, data = value
    if wire_type != FIXED64 or not isinstance(data, bytes):
        raise Malformed("something else where a number of 64 bits should be")
    return float(struct.unpack("<d", data)[0])


def _varint(data: bytes, position: int) -> tuple[int, int]:
    number = 0
    for count in range(_MAX_VARINT_BYTES):
        if position >= len(data):
            raise Malformed("the message ends in the middle of a number")
        byte = data[position]
        position += 1
        number |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            if number >= 1 << 64:
                break
            return number, position
    raise Malformed("a number has more than 64 bits")
