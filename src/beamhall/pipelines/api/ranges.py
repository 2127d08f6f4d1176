"""Parts of a file over HTTP: single byte ranges and conditions. Pure.

Source: RFC 9110, sections 8.8.3 (``ETag``), 13.1 (conditions) and 14 (range requests).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

_RANGE = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*")
_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")
_LONGEST_NAME = 150


@dataclass(frozen=True, slots=True)
class Answer:
    """How to answer.

    Attributes:
        status: 200, 206, 304 or 416.
        start: The first byte to send.
        stop: The one after the last.
    """

    status: int
    start: int = 0
    stop: int = 0


def answer_for(headers: Mapping[str, str], size: int, etag: str) -> Answer:
    """Decide what to send of a file.

    Args:
        headers: Of the request, in lower case. Several ranges are answered by the whole file, as is what is no range.
        size: Bytes of the file.
        etag: With its quotes; empty: none is known, and no condition holds.
    """
    if etag and _matches(headers.get("if-none-match", ""), etag):
        return Answer(304)
    whole = Answer(200, 0, size)
    match = _RANGE.fullmatch(headers.get("range", "").strip().lower())
    condition = headers.get("if-range", "").strip()
    if match is None or (condition and condition != etag):
        return whole
    first, last = match.groups()
    if not first and not last:
        return whole
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if first and last and int(last) < int(first):
        return whole
    return Answer(206, start, stop) if start < stop else Answer(416)


def disposition(name: str) -> str:
    """Give a ``Content-Disposition`` that has a file saved under a name, whatever is in the name.

    Source: RFC 6266, section 4.3; RFC 8187.
    """
    shown = "".join(letter for letter in name if letter.isprintable() and letter not in '/\\"').strip(" .")
    shown = shown[:_LONGEST_NAME] or "artifact"
    plain = _UNSAFE.sub("_", shown).strip("_.") or "artifact"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(shown, safe='', errors='replace')}"


def _matches(written: str, etag: str) -> bool:
    return written.strip() == "*" or etag in [each.strip().removeprefix("W/") for each in written.split(",")]
