"""What every list takes: ``page_size``, ``page_token``, ``sort_by`` and ``filter``.

A token holds the order, the filter and the last row of its page, so that it goes on with what was asked; nothing in it
is trusted. Source: Kubeflow Pipelines, backend/src/apiserver/list and filter; backend/api/v2beta1/filter.proto.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from beamhall.history.history import History
from beamhall.history.protocol import Reading
from beamhall.history.queries import Operation, Order, Page, Position, Where
from beamhall.history.records import AnyRecord
from beamhall.kernel.errors import BadRequest
from beamhall.pipelines.api.messages import decode, list_of, message, moment, read_message, text, whole_number

USUAL_SIZE = 20
LARGEST_SIZE = 200
BY_AGE = Order()

T = TypeVar("T", bound=AnyRecord)

_OPERATIONS: Mapping[str, tuple[int, Operation]] = {
    "EQUALS": (1, "="),
    "NOT_EQUALS": (2, "!="),
    "GREATER_THAN": (3, ">"),
    "GREATER_THAN_EQUALS": (5, ">="),
    "LESS_THAN": (6, "<"),
    "LESS_THAN_EQUALS": (7, "<="),
    "IN": (8, "in"),
    "IS_SUBSTRING": (9, "contains"),
}
_BY_NAME: Mapping[str | int, Operation] = {
    key: operation for name, (number, operation) in _OPERATIONS.items() for key in (name, number)
}


def _operation(value: Any, path: str) -> Operation:
    found = _BY_NAME.get(value) if type(value) in (str, int) else None
    if found is None:
        raise BadRequest(f"{path}: {value!r} is no operation; there are {', '.join(_OPERATIONS)}")
    return found


_INT, _LONG = whole_number(32), whole_number(64)
_VALUES = {
    "string_value": text,
    "int_value": _INT,
    "long_value": _LONG,
    "timestamp_value": moment,
    "int_values": message({"values": list_of(_INT)}),
    "long_values": message({"values": list_of(_LONG)}),
    "string_values": message({"values": list_of(text)}),
}
_FILTER = {"predicates": list_of(message({"operation": _operation, "key": text, **_VALUES}))}


@dataclass(frozen=True, slots=True)
class Listable(Generic[T]):
    """What can be listed.

    Attributes:
        record: The kind of record.
        fields: The fields that it may be sorted and filtered by, by the names that this API has for them.
        order: What it is sorted by where a request does not say.
        values: What is kept for the values that this API has, of the fields for which they differ.
        has_tags: Whether it may be filtered by ``tags.<key>`` too.
        has_metrics: Whether it may be sorted by ``metric:<name>`` too.
    """

    record: type[T]
    fields: Mapping[str, str]
    order: Order = BY_AGE
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    has_tags: bool = False
    has_metrics: bool = False


class _Token(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Where a list goes on."""

    sort_by: str
    filter: str
    value: str | int | float
    id: str


async def list_page(
    history: History, listable: Listable[T], query: Mapping[str, str], scope: Sequence[Where]
) -> tuple[Page[T], str]:
    """Give the page that a request asks for, and the token of the next one; empty: there is none.

    Args:
        history: Where they are.
        listable: What is listed.
        query: The parameters of the request.
        scope: What limits it whatever the filter says, such as the namespace.

    Raises:
        BadRequest: A parameter is wrong; the message says which.
    """
    size = _size(query.get("page_size", ""))
    token = _token(query.get("page_token", ""))
    sort_by, filter_text = query.get("sort_by", ""), query.get("filter", "")
    if token is not None:
        for name, asked, held in (("sort_by", sort_by, token.sort_by), ("filter", filter_text, token.filter)):
            if asked and asked != held:
                raise BadRequest(f"page_token: it is of a list with another {name}; leave {name} out, or repeat it")
        sort_by, filter_text = token.sort_by, token.filter
    order = _order(listable, sort_by)
    where = [*scope, *_conditions(listable, filter_text)]
    begin = None if token is None else Position(token.value, token.id)

    def page(tx: Reading) -> Page[T]:
        return tx.page(listable.record, where, order, size, begin)

    found = await history.read(page)
    return found, "" if found.end is None else _written(
        _Token(sort_by, filter_text, found.end.value, str(found.end.id))
    )


def _size(written: str) -> int:
    try:
        size = int(written or 0)
    except ValueError:
        raise BadRequest(f"page_size: {written[:80]!r} is no whole number") from None
    if size < 0:
        raise BadRequest(f"page_size: {size} is negative")
    return min(size or USUAL_SIZE, LARGEST_SIZE)


def _token(written: str) -> _Token | None:
    if not written:
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(written), type=_Token)
    except (binascii.Error, msgspec.DecodeError, ValueError):
        raise BadRequest("page_token: it is none that this API gave") from None


def _written(token: _Token) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).decode()


def _order(listable: Listable[T], sort_by: str) -> Order:
    words = sort_by.split()
    if not words:
        return listable.order
    direction = words[1].lower() if len(words) == 2 else "asc"
    if len(words) > 2 or direction not in ("asc", "desc"):
        raise BadRequest(f"sort_by: {sort_by[:80]!r} cannot be read; write a field, or a field and asc or desc")
    is_metric = listable.has_metrics and words[0].startswith("metric:")
    return Order(words[0] if is_metric else _field(listable, words[0], "sort_by"), direction == "desc")


def _field(listable: Listable[T], key: str, path: str) -> str:
    found = listable.fields.get(key)
    if found is None:
        raise BadRequest(f"{path}: there is no field {key[:80]!r}; there are {', '.join(sorted(listable.fields))}")
    return found


def _conditions(listable: Listable[T], written: str) -> Sequence[Where]:
    if not written:
        return ()
    predicates = read_message(decode(written, "filter"), _FILTER, "filter").get("predicates", ())
    return [_condition(listable, each, f"filter.predicates[{number}]") for number, each in enumerate(predicates)]


def _condition(listable: Listable[T], predicate: Mapping[str, Any], path: str) -> Where:
    called = predicate.get("key", "")
    is_tag = listable.has_tags and called.startswith("tags.")
    column = called if is_tag else _field(listable, called, f"{path}.key")
    if "operation" not in predicate:
        raise BadRequest(f"{path}.operation: it is needed; there are {', '.join(_OPERATIONS)}")
    values = [(key, predicate[key]) for key in _VALUES if key in predicate]
    if len(values) != 1:
        raise BadRequest(f"{path}: one value is needed, and there are {len(values)}; it is one of {', '.join(_VALUES)}")
    key, value = values[0]
    kept = listable.values.get(called, {})
    if key.endswith("_values"):
        return Where(column, predicate["operation"], [kept.get(each, each) for each in value.get("values", [])])
    return Where(column, predicate["operation"], kept.get(value, value))
