"""An open database: its readers' connections and its writer. Used by ``history``, which loads it on the first use."""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from beamhall.history.database import bring_up_to_date, reading_engine, writing_engine
from beamhall.history.protocol import Reading, Writing
from beamhall.history.transactions import SqlReading
from beamhall.history.writer import Change, Writer, api_error

T = TypeVar("T")


class OpenedDatabase:
    """Open the database at a URL and bring its tables up to date.

    Raises:
        HistoryUnusable: It cannot be opened; the message says why and what to do.
    """

    def __init__(self, url: str) -> None:
        self._writing = writing_engine(url)
        self._reading = reading_engine(url)
        self._writer = Writer(self._writing)
        try:
            bring_up_to_date(self._writing)
        except BaseException:
            self.close()
            raise

    def read(self, do: Callable[[Reading], T]) -> T:
        """Run a function on one moment of the database."""
        try:
            with self._reading.begin() as connection:
                return do(SqlReading(connection))
        except (SQLAlchemyError, OverflowError, UnicodeEncodeError) as err:
            raise api_error(err) from err

    def submit(self, do: Callable[[Writing], Any]) -> Change:
        """Let a change wait for ``write``."""
        change = Change(do)
        self._writer.submit(change)
        return change

    def write(self) -> None:
        """Do all changes that wait; on one thread only."""
        self._writer.write()

    def close(self) -> None:
        """Close all connections."""
        self._reading.dispose()
        self._writing.dispose()
