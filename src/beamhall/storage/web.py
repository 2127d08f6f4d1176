"""Files on the web: read only, by HTTP.

Source: RFC 9110, section 14, "Range Requests".
"""

import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx2

from beamhall.kernel.errors import BadRequest, Forbidden, NotFound, ServiceUnavailable, TooLarge
from beamhall.storage.locations import Location
from beamhall.storage.protocol import Entry, Stat

_TIMEOUT_S = 30.0


class WebStore:
    """Files on the web. There are no directories, and nothing is written."""

    def read(self, at: Location, limit_bytes: int) -> bytes:
        """Read a file whole."""
        parts, size = [], 0
        for block in self.blocks(at, 0, None):
            size += len(block)
            if size > limit_bytes:
                raise TooLarge(f"{at.uri} is larger than {limit_bytes} bytes")
            parts.append(block)
        return b"".join(parts)

    def stat(self, at: Location) -> Stat | None:
        """Ask for a file's size and age; for one byte of it where the server gives no heads."""
        answer = self._head(at, "HEAD")
        if answer.status_code in (403, 405, 501):
            answer = self._head(at, "GET")
        if answer.status_code in (404, 410):
            return None
        _check(answer, at)
        size = answer.headers.get("content-range", "").rpartition("/")[2] or answer.headers.get("content-length", "")
        return Stat(
            int(size) if size.isdecimal() else 0,
            etag=answer.headers.get("etag", "").removeprefix("W/").strip('"'),
            modified_at=_time(answer.headers.get("last-modified", "")),
        )

    def blocks(self, at: Location, start: int, stop: int | None) -> Iterator[bytes]:
        """Read a file from an offset up to another, or to its end; also where the server knows no ranges."""
        if stop is not None and stop <= start:
            return
        asked = {"range": f"bytes={start}-{'' if stop is None else stop - 1}"} if start or stop is not None else {}
        with (
            _said(at),
            httpx2.stream("GET", at.uri, headers=asked, timeout=_TIMEOUT_S, follow_redirects=True) as answer,
        ):
            if answer.status_code == 416:
                return
            _check(answer, at)
            position = start if answer.status_code == 206 else 0
            for block in answer.iter_bytes():
                piece = block[max(0, start - position) : None if stop is None else max(0, stop - position)]
                position += len(block)
                if piece:
                    yield piece
                if stop is not None and position >= stop:
                    return

    def entries(self, at: Location, limit: int) -> Sequence[Entry]:
        """Refuse."""
        raise BadRequest(f"{at.uri} cannot be listed up to {limit}: the web has no directories")

    def tree(self, at: Location) -> Iterator[Entry]:
        """Refuse."""
        raise BadRequest(f"{at.uri} cannot be listed: the web has no directories")

    def write(self, at: Location, data: bytes) -> None:
        """Refuse."""
        raise BadRequest(f"{at.uri} cannot be written ({len(data)} bytes): {at.scheme}:// is read only")

    def remove(self, at: Location) -> None:
        """Refuse."""
        raise BadRequest(f"{at.uri} cannot be removed: {at.scheme}:// is read only")

    def fetch(self, at: Location, target: Path) -> bool:
        """Copy a file to this machine."""
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with target.open("wb") as file:
                for block in self.blocks(at, 0, None):
                    file.write(block)
        except NotFound:
            target.unlink()
            return False
        return True

    def keep(self, source: Path, at: Location) -> None:
        """Refuse."""
        raise BadRequest(f"{source} cannot be kept at {at.uri}: {at.scheme}:// is read only")

    @staticmethod
    def _head(at: Location, method: str) -> httpx2.Response:
        asked = {"range": "bytes=0-0"} if method == "GET" else {}
        with (
            _said(at),
            httpx2.stream(method, at.uri, headers=asked, timeout=_TIMEOUT_S, follow_redirects=True) as answer,
        ):
            return answer


def _check(answer: httpx2.Response, at: Location) -> None:
    code = answer.status_code
    if code in (404, 410):
        raise NotFound(f"there is nothing at {at.uri}")
    if code in (401, 403):
        raise Forbidden(f"{at.uri}: the server refuses ({code})")
    if code >= 400:
        raise ServiceUnavailable(f"{at.uri}: the server answered {code}")


def _time(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text) if text else None
    except ValueError:
        return None


@contextlib.contextmanager
def _said(at: Location) -> Iterator[None]:
    try:
        yield
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise ServiceUnavailable(f"{at.uri}: {error or type(error).__name__}") from error
