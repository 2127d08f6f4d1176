"""Reaching the history from the event loop: reads on a few threads, writes on one, the database opened on first use.

A read or a change is a function of a transaction; it runs on another thread, so it may touch nothing of the caller's
that changes. Read ``protocol`` for what it can do, ``writer`` for how writes share commits.
"""

import asyncio
import importlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from beamhall.history.protocol import Reading, Writing

T = TypeVar("T")

_READERS = 4
_SQLITE = "sqlite:///"


class _Change(Protocol):
    def outcome(self) -> Any: ...


class _Opened(Protocol):
    def read(self, do: Callable[[Reading], T]) -> T: ...

    def submit(self, do: Callable[[Writing], Any]) -> _Change: ...

    def write(self) -> None: ...

    def close(self) -> None: ...


def sqlite_url(path: Path) -> str:
    """Give the URL of a database in a file."""
    return f"{_SQLITE}{path.absolute()}"


class History:
    """The history; one a database, since it has the only writer.

    Args:
        url: ``sqlite:///PATH`` (see ``sqlite_url``) or ``postgresql://USER:PASSWORD@HOST/DATABASE``.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._opened: _Opened | None = None
        self._opening = threading.Lock()
        self._readers = ThreadPoolExecutor(_READERS, "history-reader")
        self._writer = ThreadPoolExecutor(1, "history-writer")

    async def read(self, do: Callable[[Reading], T]) -> T:
        """Run a function on one moment of the database, and give its result.

        Raises:
            HistoryUnusable: The database cannot be opened.
            ServiceUnavailable: It cannot be read now.
            ApiError: What the function raises.
        """
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, do)

    async def write(self, do: Callable[[Writing], T]) -> T:
        """Run a function in a transaction, and give its result once that is on disk; all of it is done, or nothing.

        Whoever is cancelled meanwhile does not know whether it was done.

        Raises:
            HistoryUnusable: The database cannot be opened.
            AlreadyExists: A record of that id or name is there.
            BadRequest: The database cannot hold a value.
            ServiceUnavailable: It cannot be written now; nothing was changed.
            ApiError: What the function raises.
        """
        loop = asyncio.get_running_loop()
        opened = self._opened
        if opened is None:
            opened = await loop.run_in_executor(self._writer, self._open)
        change = opened.submit(do)
        await loop.run_in_executor(self._writer, opened.write)
        return cast("T", change.outcome())

    def may_have_records(self) -> bool:
        """Tell whether there is a database already; what has nothing to write need not open one that is not there."""
        return not self._url.startswith(_SQLITE) or Path(self._url.removeprefix(_SQLITE)).exists()

    async def open(self) -> None:
        """Open the database now, so that the first use need not; errors as for ``read``."""
        await asyncio.get_running_loop().run_in_executor(self._writer, self._open)

    async def close(self) -> None:
        """Wait for what is being read and written, then close; it cannot be used after that."""
        await asyncio.to_thread(self._close)

    def _read(self, do: Callable[[Reading], T]) -> T:
        return (self._opened or self._open()).read(do)

    def _open(self) -> _Opened:
        with self._opening:
            if self._opened is None:
                # SQLAlchemy costs 0.2 s and 28 MiB, which a service without pipelines does not pay.
                module = importlib.import_module("beamhall.history.opened")
                self._opened = cast("_Opened", module.OpenedDatabase(self._url))
            return self._opened

    def _close(self) -> None:
        self._readers.shutdown()
        self._writer.shutdown()
        if self._opened is not None:
            self._opened.close()
