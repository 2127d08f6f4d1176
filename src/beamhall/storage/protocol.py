"""What every store can do. Blocking: ``Storage`` calls it from threads, the launcher as it is.

Errors are those of the kernel, with the URI in the message and what to do about it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from beamhall.storage.locations import Location


@dataclass(frozen=True, slots=True)
class Stat:
    """What is known of a file or a directory.

    Attributes:
        size_bytes: Size of a file; 0 for a directory.
        is_directory: Whether it is a directory, or what stands for one: the beginning of other keys.
        etag: Changes when the content does; empty: unknown.
        modified_at: When it was written last, if known.
    """

    size_bytes: int
    is_directory: bool = False
    etag: str = ""
    modified_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in a directory: its name, or in a tree its path below the root of the tree, and what is known of it.

    ``link`` is where a symbolic link leads, in trees only.
    """

    name: str
    stat: Stat
    link: str = ""


class Store(Protocol):
    """A store. All of it blocks.

    Raises:
        NotFound: There is nothing there, or no such bucket.
        Forbidden: The store refuses.
        BadRequest: It is of the wrong kind, or cannot be done in this store.
        ServiceUnavailable: The store cannot be reached.
    """

    def read(self, at: Location, limit_bytes: int) -> bytes:
        """Read a file whole. Raises ``TooLarge`` for one that is larger than the limit."""
        ...

    def stat(self, at: Location) -> Stat | None:
        """Give what is known of a place; None: there is nothing."""
        ...

    def blocks(self, at: Location, start: int, stop: int | None) -> Iterator[bytes]:
        """Read a file from an offset up to another, or to its end."""
        ...

    def entries(self, at: Location, limit: int) -> Sequence[Entry]:
        """List a directory, by name. Of one with more entries than the limit, the first ones."""
        ...

    def tree(self, at: Location) -> Iterator[Entry]:
        """List all that is below a directory, directories before what is in them."""
        ...

    def write(self, at: Location, data: bytes) -> None:
        """Write a file, whole or not at all, making the directories that it needs."""
        ...

    def remove(self, at: Location) -> None:
        """Remove a file, or a directory with all that is in it. What is not there is removed already."""
        ...

    def fetch(self, at: Location, target: Path) -> bool:
        """Copy a file or a directory to this machine. False: there is nothing."""
        ...

    def keep(self, source: Path, at: Location) -> None:
        """Copy a file or a directory of this machine here."""
        ...
