"""What a browser may be shown of a file that nobody vouches for. Pure.

A page that a step made must not act as whoever looks at it: it is shown in an origin of its own (``sandbox``), its type
is what is said here and never guessed, and it reaches nothing of this service.

Source: W3C "Content Security Policy Level 3"; WHATWG "MIME Sniffing".
"""

import codecs
from collections.abc import Mapping

SAFE: Mapping[str, str] = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; sandbox",
}
"""Headers of everything that is shown or downloaded."""

PAGE_POLICY = (
    "sandbox allow-scripts; default-src 'none'; connect-src 'none'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'; script-src 'unsafe-inline' 'unsafe-eval' https:; style-src 'unsafe-inline' https:; "
    "img-src data: blob: https:; font-src data: https:"
)
"""Of a page: scripts of it and of public sites run, in an origin of their own, and speak to nobody."""

PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"

_PICTURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
)
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_TEXT_CONTROLS = frozenset(b"\t\n\r\f\b\x1b")


def picture_type(begin: bytes) -> str:
    """Give the type of a picture by how it begins; empty: it is none."""
    for magic, kind in _PICTURES:
        if begin.startswith(magic):
            return kind
    if begin[:4] == b"RIFF" and begin[8:12] == b"WEBP":
        return "image/webp"
    is_drawing = begin.lstrip()[:5].lower() in (b"<?xml", b"<svg ", b"<svg>") and b"<svg" in begin[:1024].lower()
    return "image/svg+xml" if is_drawing else ""


def is_page(schema_title: str, begin: bytes) -> bool:
    """Tell whether something is an HTML page: by the type of the artifact, or by how it begins."""
    return schema_title == "system.HTML" or begin.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html"))


def text_of(begin: bytes, *, is_whole: bool) -> str | None:
    """Give the beginning of a file as text; None: it is no text.

    Args:
        begin: Its first bytes, which may end within a letter.
        is_whole: They are all of it.
    """
    for mark, encoding in _MARKS:
        if begin.startswith(mark):
            return _decoded(begin[len(mark) :], encoding, is_whole=is_whole)
    if any(byte < 32 and byte not in _TEXT_CONTROLS for byte in begin):
        return None
    found = _decoded(begin, "utf-8", is_whole=is_whole)
    return begin.decode("cp1252", errors="replace") if found is None else found


def _decoded(begin: bytes, encoding: str, *, is_whole: bool) -> str | None:
    try:
        return codecs.getincrementaldecoder(encoding)().decode(begin, is_whole)
    except UnicodeDecodeError:
        return None
