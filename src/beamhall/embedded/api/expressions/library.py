"""Functions that Kubernetes adds to CEL: lists, regular expressions, URLs, addresses and quantities.

A quantity, a URL or an address is a text here, in one written form, so that equal ones are equal. What is not here, and
not among CEL's own extensions for strings, optionals and bindings, makes a rule that uses it refused.

Source: Kubernetes documentation, "Common Expression Language in Kubernetes"; ``k8s.io/apiserver/pkg/cel/library``.
"""

import ipaddress
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from cel_expr_python import cel

from beamhall.kernel.quantities import parse_quantity

_T = cel.Type
_LIST = _T.List(_T.DYN)
_MAP = _T.Map(_T.STRING, _T.STRING)


def functions() -> Sequence[Any]:
    """Give the declarations of all functions, for an environment."""
    return [
        cel.FunctionDecl(name, [cel.Overload(f"{name}_{number}", *overload) for number, overload in enumerate(found)])
        for name, found in _FUNCTIONS.items()
    ]


def _is(read: Callable[[str], object]) -> Callable[[str], bool]:
    def is_one(text: str) -> bool:
        try:
            read(text)
        except ValueError:
            return False
        return True

    return is_one


def _quantity(text: str) -> str:
    return format(parse_quantity(text).normalize(), "f")


def _amount(text: str) -> Decimal:
    return parse_quantity(text)


def _compare(one: str, other: str) -> int:
    return (_amount(one) > _amount(other)) - (_amount(one) < _amount(other))


def _written(amount: Decimal) -> str:
    return format(amount.normalize(), "f")


def _plus(amount: str, other: str | int) -> str:
    return _written(_amount(amount) + (other if isinstance(other, int) else _amount(other)))


def _minus(amount: str, other: str | int) -> str:
    return _written(_amount(amount) - (other if isinstance(other, int) else _amount(other)))


def _url(text: str) -> str:
    parts = urlsplit(text)
    if not parts.scheme and not text.startswith("/"):
        raise ValueError(f"not a URL: {text!r}")
    _ = parts.port  # a ValueError for one that is no number
    return text


def _host(text: str) -> str:
    return urlsplit(text).netloc.rpartition("@")[2]


def _hostname(text: str) -> str:
    return urlsplit(text).hostname or ""


def _port(text: str) -> str:
    return _host(text).rpartition("]")[2].partition(":")[2]


def _find(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    return found.group() if found else ""


def _find_all(text: str, pattern: str) -> list[str]:
    return [found.group() for found in re.finditer(pattern, text)]


def _find_some(text: str, pattern: str, limit: int) -> list[str]:
    found = _find_all(text, pattern)
    return found if limit < 0 else found[:limit]


def _is_sorted(items: list[Any]) -> bool:
    return all(one <= other for one, other in pairwise(items))


def _total(items: list[Any]) -> Any:
    return sum(items)


def _address(text: str) -> str:
    if "%" in text:
        raise ValueError("an address with a zone")
    return str(ipaddress.ip_address(text))


def _network(text: str) -> str:
    return str(ipaddress.ip_interface(text)) if "/" in text else str(ipaddress.ip_network(text + "/"))


def _contains_address(network: str, address: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_interface(network).network


_FUNCTIONS: dict[str, list[tuple[Any, list[Any], bool, Callable[..., Any]]]] = {
    "isSorted": [(_T.BOOL, [_LIST], True, _is_sorted)],
    "sum": [(_T.DYN, [_LIST], True, _total)],
    "min": [(_T.DYN, [_LIST], True, min)],
    "max": [(_T.DYN, [_LIST], True, max)],
    "find": [(_T.STRING, [_T.STRING, _T.STRING], True, _find)],
    "findAll": [
        (_T.List(_T.STRING), [_T.STRING, _T.STRING], True, _find_all),
        (_T.List(_T.STRING), [_T.STRING, _T.STRING, _T.INT], True, _find_some),
    ],
    "isURL": [(_T.BOOL, [_T.STRING], False, _is(_url))],
    "url": [(_T.STRING, [_T.STRING], False, _url)],
    "getScheme": [(_T.STRING, [_T.STRING], True, lambda text: urlsplit(text).scheme)],
    "getHost": [(_T.STRING, [_T.STRING], True, _host)],
    "getHostname": [(_T.STRING, [_T.STRING], True, _hostname)],
    "getPort": [(_T.STRING, [_T.STRING], True, _port)],
    "getEscapedPath": [(_T.STRING, [_T.STRING], True, lambda text: urlsplit(text).path)],
    "isQuantity": [(_T.BOOL, [_T.STRING], False, _is(_amount))],
    "quantity": [(_T.STRING, [_T.STRING], False, _quantity)],
    "isGreaterThan": [(_T.BOOL, [_T.STRING, _T.STRING], True, lambda one, other: _compare(one, other) > 0)],
    "isLessThan": [(_T.BOOL, [_T.STRING, _T.STRING], True, lambda one, other: _compare(one, other) < 0)],
    "compareTo": [(_T.INT, [_T.STRING, _T.STRING], True, _compare)],
    "sign": [(_T.INT, [_T.STRING], True, lambda one: _compare(one, "0"))],
    "isInteger": [(_T.BOOL, [_T.STRING], True, lambda one: _amount(one) == _amount(one).to_integral_value())],
    "asInteger": [(_T.INT, [_T.STRING], True, lambda one: int(_amount(one)))],
    "asApproximateFloat": [(_T.DOUBLE, [_T.STRING], True, lambda one: float(_amount(one)))],
    "add": [
        (_T.STRING, [_T.STRING, _T.STRING], True, _plus),
        (_T.STRING, [_T.STRING, _T.INT], True, _plus),
    ],
    "sub": [
        (_T.STRING, [_T.STRING, _T.STRING], True, _minus),
        (_T.STRING, [_T.STRING, _T.INT], True, _minus),
    ],
    "isIP": [(_T.BOOL, [_T.STRING], False, _is(_address))],
    "ip": [(_T.STRING, [_T.STRING], False, _address)],
    "family": [(_T.INT, [_T.STRING], True, lambda text: ipaddress.ip_address(text).version)],
    "isLoopback": [(_T.BOOL, [_T.STRING], True, lambda text: ipaddress.ip_address(text).is_loopback)],
    "isCIDR": [(_T.BOOL, [_T.STRING], False, _is(_network))],
    "cidr": [(_T.STRING, [_T.STRING], False, _network)],
    "containsIP": [(_T.BOOL, [_T.STRING, _T.STRING], True, _contains_address)],
    "prefixLength": [(_T.INT, [_T.STRING], True, lambda text: ipaddress.ip_interface(text).network.prefixlen)],
}
