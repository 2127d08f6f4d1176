"""Queries as SQL. What cannot be asked is refused by name, never handed to the database to stumble over."""

import sys
from collections.abc import Callable, Mapping, Sequence
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ColumnElement,
    Double,
    Integer,
    Text,
    and_,
    false,
    func,
    literal,
    or_,
    select,
    tuple_,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from beamhall.history.queries import Order, Position, Scalar, Where
from beamhall.history.records import AnyRecord, Artifact, ArtifactTask, Run
from beamhall.history.tables import MOMENTS, TABLES
from beamhall.kernel.errors import BadRequest

SECOND = 1_000_000
PART_LIMIT = 4096
"""Characters that a text may be searched for; SQLite refuses patterns over 50,000 bytes."""
VALUES_LIMIT = 1000
"""Values that a field may be compared with at once."""

_LIMIT = 2**63
_TAGS = "tags."
_METRICS = "metric:"
_NO_NUMBER = -sys.float_info.max
_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {"=": eq, "!=": ne, ">": gt, ">=": ge, "<": lt, "<=": le}


class _ByCodePoints(FunctionElement[str]):
    """A text that is compared by code points, which PostgreSQL does not do by itself where no column says so."""

    type = Text()
    inherit_cache = True


@compiles(_ByCodePoints)
def _as_it_is(element: _ByCodePoints, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(_ByCodePoints, "postgresql")
def _collated(element: _ByCodePoints, compiler: SQLCompiler, **options: Any) -> str:
    return f'({compiler.process(element.clauses, **options)} COLLATE "C")'


def condition(record: type[AnyRecord], where: Where) -> ColumnElement[bool]:
    """Make the SQL of a condition.

    Raises:
        BadRequest: There is no such field, or the value is not of its type.
    """
    if where.field.startswith(_TAGS):
        return _compare(_tag(record, where.field.removeprefix(_TAGS)), where, str)
    column = column_of(record, where.field)
    if where.field in MOMENTS[record]:
        return _compare_moment(column, where)
    return _compare(column, where, _type_of(column))


def order_by(record: type[AnyRecord], order: Order) -> Sequence[ColumnElement[Any]]:
    """Give what to sort by; ``BadRequest`` where there is no such field."""
    column, key = sorted_by(record, order.field), TABLES[record].c.id
    by = (key,) if column is key else (column, key)
    return [each.desc() for each in by] if order.is_descending else by


def after(record: type[AnyRecord], order: Order, position: Position) -> ColumnElement[bool]:
    """Make the SQL of "comes after this position in this order".

    Raises:
        BadRequest: The position is not one of this order.
    """
    column, key = sorted_by(record, order.field), TABLES[record].c.id
    if type(position.value) is not _type_of(column) or type(position.id) is not _type_of(key):
        raise BadRequest(f"the page token is not one of a list sorted by {order.field}")
    place = tuple_(literal(position.value, column.type), literal(position.id, key.type))
    here = tuple_(column, key)
    return here < place if order.is_descending else here > place


def sorted_by(record: type[AnyRecord], field: str) -> ColumnElement[Any]:
    """Give what a list that is sorted by a field is sorted by: a column, or for runs the number of a metric.

    Raises:
        BadRequest: There is no such field.
    """
    if record is Run and field.startswith(_METRICS):
        return _metric(field.removeprefix(_METRICS))
    return column_of(record, field)


def _metric(name: str) -> ColumnElement[float]:
    """Give the number that a run has for a metric: the newest; a run that has none comes before all that have one."""
    runs, links, artifacts = TABLES[Run].c, TABLES[ArtifactTask].c, TABLES[Artifact].c
    numbers = (
        select(artifacts.number_value)
        .join_from(TABLES[ArtifactTask], TABLES[Artifact], links.artifact_id == artifacts.id)
        .where(links.run_id == runs.id, links.type == "OUTPUT", artifacts.name == name)
        .where(artifacts.number_value.is_not(None))
        .order_by(artifacts.created_at.desc(), artifacts.id.desc())
        .limit(1)
    )
    return func.coalesce(numbers.scalar_subquery(), _NO_NUMBER, type_=Double())


def column_of(record: type[AnyRecord], field: str) -> Column[Any]:
    """Give the column of a field that lists may be filtered and sorted by.

    Raises:
        BadRequest: There is none.
    """
    column = TABLES[record].c.get(field)
    if column is None or isinstance(column.type, JSON) or column.nullable:
        raise BadRequest(f"{record.__name__} has no field {field!r} to filter or sort by")
    return column


def _type_of(column: ColumnElement[Any]) -> type[Scalar]:
    if isinstance(column.type, Boolean):
        return bool
    if isinstance(column.type, Double):
        return float
    return int if isinstance(column.type, Integer) else str


def _tag(record: type[AnyRecord], key: str) -> ColumnElement[str]:
    tags = TABLES[record].c.get("tags")
    if tags is None:
        raise BadRequest(f"{record.__name__} has no tags to filter by")
    if not key or any(letter in key for letter in '".\0'):
        raise BadRequest(f"{key!r} cannot be the key of a tag")
    return _ByCodePoints(func.coalesce(tags[key].as_string(), ""))


def _compare(column: ColumnElement[Any], where: Where, kind: type[Scalar]) -> ColumnElement[bool]:
    if where.operation == "in":
        return column.in_(_values(where, kind))
    value = _value(where, where.value, kind)
    if where.operation == "contains":
        if kind is not str:
            raise BadRequest(f"{where.field} is no text: it cannot be searched for a part")
        if len(str(value)) > PART_LIMIT:
            raise BadRequest(f"{where.field} cannot be searched for more than {PART_LIMIT} characters")
        return func.lower(column).contains(_lower(str(value)), autoescape=True)
    compared: ColumnElement[bool] = _COMPARE[where.operation](column, value)
    return compared


def _compare_moment(column: Column[int], where: Where) -> ColumnElement[bool]:
    """Compare whole seconds by ranges, which an index can answer."""
    if where.operation == "in":
        return or_(*(_within(column, value) for value in _values(where, int)), false())
    value = int(_value(where, where.value, int))
    begin, end = _second(value)
    match where.operation:
        case "=":
            return _within(column, value)
        case "!=":
            return or_(column < begin, column >= end)
        case ">":
            return column >= end
        case ">=":
            return column >= begin
        case "<":
            return column < begin
        case "<=":
            return column < end
        case _:
            raise BadRequest(f"{where.field} is a time: it cannot be searched for a part")


def _within(column: Column[int], value: Scalar) -> ColumnElement[bool]:
    begin, end = _second(int(value))
    return and_(column >= begin, column < end)


def _second(value: int) -> tuple[int, int]:
    """Give the moments where the second of this one begins and where the next does, within what a column can hold."""
    begin = value - value % SECOND
    return max(begin, -_LIMIT), min(begin + SECOND, _LIMIT - 1)


def _values(where: Where, kind: type[Scalar]) -> Sequence[Scalar]:
    if isinstance(where.value, str | int | float):
        raise BadRequest(f"{where.field}: several values are needed to tell whether it is one of them")
    if len(where.value) > VALUES_LIMIT:
        raise BadRequest(f"{where.field} cannot be compared with more than {VALUES_LIMIT} values at once")
    return [_value(where, value, kind) for value in where.value]


def _value(where: Where, value: object, kind: type[Scalar]) -> Scalar:
    if type(value) is not kind:
        what = {str: "a text", int: "a whole number or a time", bool: "true or false"}[kind]
        raise BadRequest(f"{where.field} cannot be compared with {value!r}: it is {what}")
    if isinstance(value, int) and abs(value) >= _LIMIT:
        raise BadRequest(f"{where.field} cannot be compared with {value}: it does not fit into 64 bits")
    if isinstance(value, str) and "\0" in value:
        raise BadRequest(f"{where.field} cannot be compared with a text that has a NUL in it")
    return kind(value)


def _lower(text: str) -> str:
    """Lower the ASCII letters only: that is what both databases do."""
    return text.encode().lower().decode()
