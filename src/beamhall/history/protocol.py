"""What can be done with records inside of one transaction: ``Reading`` for readers, ``Writing`` for the one writer.

Everything is synchronous and runs on the threads of ``history.History``, which begins and commits. Knows no SQL, so
that users can name these types without loading any.
"""

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from beamhall.history.queries import Order, Page, Position, R, Where
from beamhall.history.records import AnyRecord, Record

CREATED = Order()


class Reading(Protocol):
    """Reads one moment of the database."""

    def get(self, record: type[R], key: str | int) -> R | None:
        """Give the record with an id."""
        ...

    def find(
        self,
        record: type[R],
        *where: Where,
        order: Order = CREATED,
        limit: int | None = None,
        without: Collection[str] = (),
    ) -> Sequence[R]:
        """Give the records that meet all conditions, sorted.

        Args:
            record: Their kind.
            where: The conditions.
            order: What they are sorted by.
            limit: How many at most.
            without: Fields that are not read, because they may be large; they come as the record has them by default.

        Raises:
            BadRequest: A condition or the order asks for what there is not.
        """
        ...

    def count(self, record: type[AnyRecord], *where: Where) -> int:
        """Count the records that meet all conditions; ``BadRequest`` as for ``find``."""
        ...

    def page(
        self, record: type[R], where: Sequence[Where], order: Order, size: int, begin: Position | None = None
    ) -> Page[R]:
        """Give a page of the records that meet all conditions.

        Args:
            record: Their kind.
            where: The conditions.
            order: What they are sorted by.
            size: How many at most, 1 or more.
            begin: The ``end`` of the page before; None: the first page.

        Raises:
            BadRequest: A condition, the order or the position is not one of this kind of record.
        """
        ...


class Writing(Reading, Protocol):
    """Reads and writes; what it reads cannot change before it is done, since there is one writer."""

    def add(self, *records: AnyRecord) -> None:
        """Insert records. ``AlreadyExists`` comes out of ``History.write`` where one of that id or name is there."""
        ...

    def put(self, *records: Record) -> None:
        """Insert records, or replace the rows that have their ids: doing it twice is doing it once."""
        ...

    def change(self, record: type[AnyRecord], *where: Where, **values: Any) -> int:
        """Set fields of all records that meet the conditions; give how many there were."""
        ...

    def remove(self, record: type[AnyRecord], *where: Where) -> int:
        """Delete the records that meet the conditions, a run with all that belongs to it; give how many there were."""
        ...
