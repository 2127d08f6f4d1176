"""The few forms of CEL that the KFP SDK writes, read without a CEL library.

Whatever is not sure to mean the same in CEL raises ``Unusual``, and ``expressions`` asks the library: a value that is
absent, types that do not compare, text that is no number.

Source: CEL language definition; reference "KFP", section 2.4, for the forms.
"""

import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from beamhall.pipelines.spec.sources import Json

_OPERAND = (
    r"(?P<{0}casts>(?:int\(|double\()*)"
    r"(?:inputs\.parameter_values\['(?P<{0}name>[^'\\\n]*)'\]|(?P<{0}number>-?[0-9]{{1,15}}(?:\.[0-9]{{1,15}})?)"
    r"|'(?P<{0}text>[^'\\\r\n]*)'|(?P<{0}truth>true|false))(?P<{0}close>\)*)"
)
_TERM = re.compile(
    rf"(?P<not>!\()?{_OPERAND.format('left_')} (?P<operator>==|!=|<=|>=|<|>) {_OPERAND.format('right_')}"
)
_SELECTOR = re.compile(r"""parseJson\(string_value\)((?:\["[^"\\\n]*"\]|\['[^'\\\n]*'\]|\[[0-9]{1,9}\])*)""")
_STEP = re.compile(r"""\["([^"]*)"\]|\['([^']*)'\]|\[([0-9]+)\]""")
_WHOLE = re.compile(r"-?[0-9]{1,15}")
_DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")
_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MAX_EXACT = 2**53


class Unusual(Exception):
    """This is not one of the forms, or not sure to mean the same: ask the CEL library."""


class _Operand(NamedTuple):
    casts: tuple[str, ...]
    name: str | None
    constant: Json

    @property
    def type(self) -> type | None:
        """What its type is, whatever the values are; None if that depends on them."""
        if self.casts:
            return int if self.casts[0] == "int" else float
        return None if self.name is not None else type(self.constant)


class _Term(NamedTuple):
    is_negated: bool
    left: _Operand
    operator: str
    right: _Operand


def holds(condition: str, parameters: Mapping[str, Json]) -> bool:
    """Evaluate a condition; see ``expressions.holds``. Raises ``Unusual``."""
    terms = _terms(condition)
    if terms is None:
        raise Unusual
    results = [_holds(term, parameters) for term in terms]  # all of them: what is unusual must not hide behind a false
    return all(results)


def is_condition(condition: str) -> bool:
    """Tell whether a condition is of a known form."""
    return _terms(condition) is not None


def selected(selector: str, text: str) -> Json:
    """Apply a selector to the text of a value; see ``expressions.select``. Raises ``Unusual``."""
    steps = _steps(selector)
    if steps is None:
        raise Unusual
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Unusual from error
    for step in steps:
        is_part = isinstance(step, str) and isinstance(value, dict) and step in value
        if not is_part and not (isinstance(step, int) and isinstance(value, list) and step < len(value)):
            raise Unusual
        value = value[step]
    return value


def is_selector(selector: str) -> bool:
    """Tell whether a selector is of a known form."""
    return _steps(selector) is not None


@lru_cache(maxsize=1024)
def _steps(selector: str) -> tuple[str | int, ...] | None:
    found = _SELECTOR.fullmatch(selector)
    if found is None:
        return None
    return tuple(int(number) if number else one or other for one, other, number in _STEP.findall(found[1]))


@lru_cache(maxsize=1024)
def _terms(condition: str) -> tuple[_Term, ...] | None:
    """Read terms with `` && `` between them."""
    found, position = [], 0
    while True:
        match = _TERM.match(condition, position)
        term = None if match is None else _term(match)
        if match is None or term is None:
            return None
        found.append(term)
        position = match.end()
        if position == len(condition):
            return tuple(found)
        if not condition.startswith(" && ", position):
            return None
        position += 4


def _term(match: re.Match[str]) -> _Term | None:
    parts = match.groupdict()
    closing = len(parts["right_close"]) - (1 if parts["not"] else 0)
    left = _operand(parts, "left_", len(parts["left_close"]))
    right = _operand(parts, "right_", closing)
    if left is None or right is None:
        return None
    if left.type and right.type and left.type is not right.type:
        return None  # CEL's type checker has its own opinion of that
    return _Term(bool(parts["not"]), left, parts["operator"], right)


def _operand(parts: Mapping[str, str | None], side: str, closing: int) -> _Operand | None:
    casts = tuple(re.findall("[a-z]+", parts[f"{side}casts"] or ""))
    if len(casts) != closing:
        return None
    number, truth = parts[f"{side}number"], parts[f"{side}truth"]
    constant: Json = parts[f"{side}text"]
    if number is not None:
        constant = float(number) if "." in number else int(number)
    elif truth is not None:
        constant = truth == "true"
    return _Operand(casts, parts[f"{side}name"], constant)


def _holds(term: _Term, parameters: Mapping[str, Json]) -> bool:
    left, right = _value(term.left, parameters), _value(term.right, parameters)
    if term.operator in ("==", "!="):
        result = _are_equal(left, right) == (term.operator == "==")
    else:
        result = _ORDERS[term.operator](*_comparable(left, right))
    return result != term.is_negated


def _value(operand: _Operand, parameters: Mapping[str, Json]) -> Json:
    value = operand.constant
    if operand.name is not None:
        if operand.name not in parameters:
            raise Unusual
        value = parameters[operand.name]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _MAX_EXACT:
        raise Unusual
    for cast in reversed(operand.casts):
        value = _cast(cast, value)
    return value


def _cast(cast: str, value: Json) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Unusual
    if isinstance(value, str):
        if not (_WHOLE if cast == "int" else _DECIMAL).fullmatch(value):
            raise Unusual
        return int(value) if cast == "int" else float(value)
    if not abs(value) < _MAX_EXACT:
        raise Unusual
    return int(value) if cast == "int" else float(value)


def _are_equal(left: Json, right: Json) -> bool:
    if any(not isinstance(one, str | bool | int | float) for one in (left, right)):
        raise Unusual
    return _sort(left) is _sort(right) and bool(left == right)


def _comparable(left: Json, right: Json) -> tuple[Any, Any]:
    if _sort(left) is not _sort(right) or _sort(left) not in (float, str):
        raise Unusual
    return left, right


def _sort(value: Json) -> type:
    """Name what a value compares with: all numbers are of one sort."""
    return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)
