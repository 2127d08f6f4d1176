"""What the driver asks of a place for files, such as ``storage``. All are URIs; a plain absolute path is one too."""

from typing import Protocol


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
