"""Amounts of resources as Kubernetes writes them, exactly: ``500m``, ``1Gi``, ``1e3``, ``0.5``.

Read with ``parse_quantity``, count with ``milli`` or ``whole``, write with ``canonical_quantity``. Nothing is computed
in floats: a sum of requests has to be exact.

Source: Kubernetes API reference, "Quantity": the grammar, and the canonical form that a server stores.
"""

import re
from decimal import ROUND_CEILING, ROUND_UP, Decimal, localcontext

_GRAMMAR = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,3})?")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_FINEST = Decimal("1e-9")
_MAX = Decimal(2**63 - 1)
_MAX_LENGTH = 64


def parse_quantity(text: str | int | float) -> Decimal:
    """Read a quantity as an exact number.

    As in Kubernetes, what is finer than a billionth is rounded away from zero, and what is beyond 2**63 - 1 is that.

    Args:
        text: The quantity; JSON numbers are taken as they are written.

    Raises:
        ValueError: It is no quantity.
    """
    number, suffix = _split(text)
    with localcontext() as context:
        context.prec = 400
        value = Decimal(number)
        if suffix in _BINARY:
            value *= 2 ** _BINARY[suffix]
        elif suffix in _DECIMAL:
            value = value.scaleb(_DECIMAL[suffix])
        else:
            value = value.scaleb(max(-100, min(100, int(suffix[1:]))))
        value = max(-_MAX, min(_MAX, value))
        return value.quantize(_FINEST, rounding=ROUND_UP).normalize()


def milli(text: str | int | float) -> int:
    """Give a quantity in thousandths, rounded up: ``milli("1.5") == 1500``, the unit of cpu. Raises ``ValueError``."""
    return int((parse_quantity(text) * 1000).to_integral_value(rounding=ROUND_CEILING))


def whole(text: str | int | float) -> int:
    """Give a quantity as an integer, rounded up: bytes, devices, Pods. Raises ``ValueError``."""
    return int(parse_quantity(text).to_integral_value(rounding=ROUND_CEILING))


def canonical_quantity(text: str | int | float) -> str:
    """Write a quantity as a server stores it: with the largest suffix of its own family that leaves an integer.

    ``1000m`` becomes ``1``, ``0.5`` becomes ``500m``, ``1024Ki`` becomes ``1Mi``, ``1000e3`` becomes ``1e6``.

    Raises:
        ValueError: It is no quantity.
    """
    suffix = _split(text)[1]
    value = parse_quantity(text)
    if suffix in _BINARY and abs(value) >= 1024 and value == value.to_integral_value():
        return format_binary(int(value))
    if suffix[:1] in ("e", "E") and suffix not in _DECIMAL:
        return _with_decimal_suffix(value, has_exponents=True)
    return format_decimal(value)


def format_decimal(value: Decimal | int) -> str:
    """Write a number with a decimal suffix: ``500m``, ``2k``."""
    return _with_decimal_suffix(Decimal(value), has_exponents=False)


def format_binary(value: int) -> str:
    """Write an integer with a binary suffix where it is a multiple: ``1Gi``, ``1536Mi``, ``1000``."""
    for suffix, power in sorted(_BINARY.items(), key=lambda item: -item[1]):
        if value and value % 2**power == 0:
            return f"{value >> power}{suffix}"
    return str(value)


def _with_decimal_suffix(value: Decimal, *, has_exponents: bool) -> str:
    with localcontext() as context:
        context.prec = 400
        for suffix, power in sorted(_DECIMAL.items(), key=lambda item: -item[1]):
            scaled = value.scaleb(-power)
            if value and scaled == scaled.to_integral_value():
                unit = f"e{power}" if has_exponents and power else "" if has_exponents else suffix
                return f"{int(scaled)}{unit}"
    return "0"


def _split(text: str | int | float) -> tuple[str, str]:
    written = str(text)
    match = _GRAMMAR.fullmatch(written) if len(written) <= _MAX_LENGTH and not isinstance(text, bool) else None
    if match is None:
        raise ValueError(
            f"{written[:_MAX_LENGTH]!r} is not a quantity; write a number with a unit, as 500m, 2, 1.5 or 1Gi"
        )
    return match[1], match[2] or ""
