"""What the driver asks of a place for files, such as ``storage``. All are URIs; a plain absolute path is one too.

How a store is reached is each namespace's own business, so that there are files of a namespace, not of the service.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from beamhall.kernel.objects import Object


class Files(Protocol):
    """Reads and writes bytes by URI."""

    async def read(self, uri: str, limit_bytes: int) -> bytes:
        """Give a file. Raises ``NotFound``, and ``TooLarge`` beyond the limit."""
        ...

    async def exists(self, uri: str) -> bool:
        """Tell whether there is a file or a directory."""
        ...

    async def write(self, uri: str, data: bytes) -> object:
        """Write a file, with the directories that it is in."""
        ...


class Root(Protocol):
    """Where files of a namespace's runs go; ``pipelines.roots`` has the real one."""

    @property
    def uri(self) -> str:
        """What the namespace says; empty: nothing."""
        ...

    @property
    def storage(self) -> Files:
        """Reads and writes with what the namespace may use."""
        ...

    @property
    def env(self) -> Sequence[Object]:
        """Variables of the launcher, by which it does the same."""
        ...


RootOf = Callable[[str], Awaitable[Root]]
"""Gives the root of a namespace. Raises ``ApiError``: what the namespace says cannot be read."""
