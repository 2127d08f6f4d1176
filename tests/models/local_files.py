"""Files of this machine, for tests of the driver that need no other storage."""

from pathlib import Path

from beamhall.kernel.errors import NotFound, TooLarge


class LocalFiles:
    """Reads and writes plain paths."""

    async def read(self, uri: str, limit_bytes: int) -> bytes:
        path = Path(uri)
        if not path.is_file():
            raise NotFound(f"there is no file {uri}")
        if path.stat().st_size > limit_bytes:
            raise TooLarge(f"{uri} has more than {limit_bytes} bytes")
        return path.read_bytes()

    async def exists(self, uri: str) -> bool:
        return Path(uri).exists()

    async def write(self, uri: str, data: bytes) -> None:
        path = Path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
