"""The one thread that writes: it takes whatever waits, does it in one transaction, and commits once (group commit).

Each change has a savepoint of its own, so one that is refused undoes nothing of the others. Nothing is reported before
the commit; if that fails, every change of the group has failed.
"""

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from beamhall.history.database import reason
from beamhall.history.protocol import Writing
from beamhall.history.transactions import SqlWriting
from beamhall.kernel.errors import AlreadyExists, ApiError, BadRequest, ServiceUnavailable

GROUP_LIMIT = 256
"""Changes in one transaction: bounds how long the first of them waits for the last."""


class Change:
    """A change that waits, and what came of it. Used as a context around doing it, it keeps the error.

    Args:
        do: Makes the change; its result is given to whoever asked.
    """

    def __init__(self, do: Callable[[Writing], Any]) -> None:
        self.do = do
        self.result: Any = None
        self.error: BaseException | None = None
        self.is_fatal = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Keep any error for the one who asked, to whom ``outcome`` raises it: the others' changes go on."""
        self.error = error
        if isinstance(error, SQLAlchemyError | OverflowError | UnicodeEncodeError):
            self.error = api_error(_first(error))
        self.is_fatal = isinstance(error, SQLAlchemyError) and not isinstance(error, IntegrityError | DataError)
        return isinstance(error, Exception)

    def outcome(self) -> Any:
        """Give the result, or raise what went wrong."""
        if self.error is not None:
            raise self.error
        return self.result


class Writer:
    """Holds the changes that wait. Whoever submits one waits for it, so they are as many as callers.

    Args:
        engine: With one connection, used by nobody else.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: deque[Change] = deque()
        self._lock = threading.Lock()

    def submit(self, change: Change) -> None:
        """Let a change wait; ``write`` must be called after it, on the writer's thread."""
        with self._lock:
            self._waiting.append(change)

    def write(self) -> None:
        """Do all that waits, in the order in which it came; there may be nothing left."""
        while group := self._next_group():
            if len(group) == 1:  # the transaction itself is its savepoint
                with group[0] as change, self._engine.begin() as connection:
                    change.result = change.do(SqlWriting(connection))
                continue
            try:
                with self._engine.begin() as connection:
                    _do(group, connection)
            except SQLAlchemyError as err:
                for change in group:
                    change.error = change.error or api_error(err)
            except ServiceUnavailable as err:
                for change in group:
                    change.error = change.error or err

    def _next_group(self) -> list[Change]:
        with self._lock:
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), GROUP_LIMIT))]


def _do(group: list[Change], connection: Connection) -> None:
    writing = SqlWriting(connection)
    for change in group:
        with change, connection.begin_nested():
            change.result = change.do(writing)
        if change.is_fatal and change.error:  # a full disk may have ended the transaction: the savepoints are gone
            raise change.error


def _first(error: BaseException) -> BaseException:
    """Give the error that all began with: after a full disk there is no savepoint any more to go back to."""
    first: BaseException = error
    each: BaseException | None = error
    while each is not None:
        first = each if isinstance(each, SQLAlchemyError) else first
        each = each.__context__
    return first


def api_error(err: BaseException) -> ApiError:
    """Give what a database's error means to a caller, or that of its driver, which refuses some values itself."""
    if isinstance(err, IntegrityError):
        return AlreadyExists(f"one with this name or id is there already, or what it belongs to is not: {reason(err)}")
    if isinstance(err, DataError | OverflowError | UnicodeEncodeError):
        return BadRequest(f"the database cannot hold this value: {reason(err)}")
    return ServiceUnavailable(f"the history database cannot be used now: {reason(err)}", retry_after_s=5)
