"""How ``protocol``'s ``Reading`` and ``Writing`` are done in SQL, on a connection that is in a transaction."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Connection, Insert, Row, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from beamhall.history.conditions import after, condition, order_by, sorted_by
from beamhall.history.queries import Order, Page, Position, R, Where
from beamhall.history.records import AnyRecord, Record
from beamhall.history.tables import TABLES

ROWS_AT_ONCE = 1000
"""Rows in one statement: bounds the memory that a large batch takes beside its records."""

CREATED = Order()

_BY = "sorted by"
"""What the value is called that a page is sorted by; no field has a blank in its name."""


class SqlReading:
    """Reads one moment of the database; see ``protocol.Reading`` for what its methods give.

    Args:
        connection: In a transaction, used by nobody else meanwhile.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, record: type[R], key: str | int) -> R | None:
        """Give the record with an id."""
        table = TABLES[record]
        row = self._connection.execute(select(table).where(table.c.id == key)).one_or_none()
        return None if row is None else _record(record, row)

    def find(
        self,
        record: type[R],
        *where: Where,
        order: Order = CREATED,
        limit: int | None = None,
        without: Collection[str] = (),
    ) -> Sequence[R]:
        """Give the records that meet all conditions, sorted."""
        columns = (column for column in TABLES[record].c if column.name not in without)
        statement = select(*columns).where(*(condition(record, each) for each in where))
        rows = self._connection.execute(statement.order_by(*order_by(record, order)).limit(limit))
        return [_record(record, row) for row in rows]

    def count(self, record: type[AnyRecord], *where: Where) -> int:
        """Count the records that meet all conditions; ``BadRequest`` as for ``find``."""
        statement = select(func.count()).select_from(TABLES[record])
        return int(self._connection.execute(statement.where(*(condition(record, each) for each in where))).scalar_one())

    def page(
        self, record: type[R], where: Sequence[Where], order: Order, size: int, begin: Position | None = None
    ) -> Page[R]:
        """Give a page of the records that meet all conditions."""
        chosen = [condition(record, each) for each in where]
        by = sorted_by(record, order.field).label(_BY)
        statement = select(TABLES[record], by).where(*chosen).order_by(*order_by(record, order)).limit(size + 1)
        if begin is not None:
            statement = statement.where(after(record, order, begin))
        found = [dict(row._mapping) for row in self._connection.execute(statement)]
        places = [row.pop(_BY) for row in found]
        rows = [record(**row) for row in found[:size]]
        end = Position(places[size - 1], found[size - 1]["id"]) if len(found) > size else None
        return Page(rows, self.count(record, *where), end)


class SqlWriting(SqlReading):
    """Reads and writes; see ``protocol.Writing``."""

    def add(self, *records: AnyRecord) -> None:
        """Insert records."""
        for kind, rows in _grouped(records):
            self._connection.execute(TABLES[kind].insert(), rows)

    def put(self, *records: Record) -> None:
        """Insert records, or replace the rows that have their ids: doing it twice is doing it once."""
        for kind, rows in _grouped(records):
            self._connection.execute(_upsert(kind, self._connection.dialect.name), rows)

    def change(self, record: type[AnyRecord], *where: Where, **values: Any) -> int:
        """Set fields of all records that meet the conditions; give how many there were."""
        statement = update(TABLES[record]).where(*(condition(record, each) for each in where)).values(values)
        return self._connection.execute(statement).rowcount

    def remove(self, record: type[AnyRecord], *where: Where) -> int:
        """Delete the records that meet the conditions, a run with all that belongs to it; give how many there were."""
        statement = delete(TABLES[record]).where(*(condition(record, each) for each in where))
        return self._connection.execute(statement).rowcount


def _record(record: type[R], row: Row[Any]) -> R:
    return record(**row._mapping)


def _grouped(records: Sequence[AnyRecord]) -> Sequence[tuple[type[AnyRecord], Sequence[Mapping[str, Any]]]]:
    """Give the rows of each kind in batches; kinds keep the order in which they are first named."""
    kinds: dict[type[AnyRecord], list[Mapping[str, Any]]] = {}
    for each in records:
        row = msgspec.structs.asdict(each)
        if row["id"] == 0:  # the database gives it
            del row["id"]
        kinds.setdefault(type(each), []).append(row)
    return [
        (kind, rows[first : first + ROWS_AT_ONCE])
        for kind, rows in kinds.items()
        for first in range(0, len(rows), ROWS_AT_ONCE)
    ]


@cache  # making one takes longer than executing it
def _upsert(record: type[AnyRecord], dialect: str) -> Insert:
    table = TABLES[record]
    insert = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    values = {column.name: insert.excluded[column.name] for column in table.c if not column.primary_key}
    return insert.on_conflict_do_update(index_elements=["id"], set_=values)
