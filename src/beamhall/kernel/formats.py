"""String formats that structural schemas may ask for. ``schema`` uses them; unknown formats allow everything.

Source: Kubernetes CRD documentation, "Validation": the formats that a server knows; the RFCs named at each.
"""

import base64
import binascii
import ipaddress
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import date
from urllib.parse import urlsplit

from beamhall.kernel.clock import parse_time

_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}([.,]\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_DURATION = re.compile(
    r"[+-]?(0|(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))*)", re.ASCII
)
_HOSTNAME = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*\.?"
)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


def format_problem(name: str, text: str) -> str:
    """Check a text against a named format. Gives an empty text if it is good, else what would be right."""
    known = _FORMATS.get(name)
    if known is None or known[0](text):
        return ""
    return f"must be {known[1]}"


def _reads(read: Callable[[str], object]) -> Callable[[str], bool]:
    """Make the test whether a reader takes a text."""

    def is_good(text: str) -> bool:
        try:
            read(text)
        except (ValueError, binascii.Error):
            return False
        return True

    return is_good


def _read_time(text: str) -> None:
    """Read a time of RFC 3339, which is stricter than what Python takes for ISO 8601."""
    if not _TIME.fullmatch(text):
        raise ValueError("not RFC 3339")
    # Python counts to microseconds and takes no leap second; neither makes a time wrong.
    parse_time(re.sub(r"([.,]\d{1,6})\d*", r"\1", text.upper()).replace(":60", ":59"))


def _is_uri(text: str) -> bool:
    try:
        return bool(urlsplit(text).scheme) and " " not in text
    except ValueError:
        return False


_FORMATS: Mapping[str, tuple[Callable[[str], bool], str]] = {
    "date-time": (_reads(_read_time), "an RFC 3339 time, as 2006-01-02T15:04:05Z"),
    "date": (_reads(date.fromisoformat), "a date, as 2006-01-02"),
    "duration": (lambda text: bool(_DURATION.fullmatch(text)), "a duration, as 1h30m or 90s"),
    "byte": (_reads(lambda text: base64.b64decode(text, validate=True)), "base64"),
    "ipv4": (_reads(ipaddress.IPv4Address), "an IPv4 address, as 10.0.0.1"),
    "ipv6": (_reads(ipaddress.IPv6Address), "an IPv6 address, as fd00::1"),
    "cidr": (_reads(lambda text: ipaddress.ip_network(text, strict=False)), "a network, as 10.0.0.0/8"),
    "uuid": (_reads(uuid.UUID), "a UUID"),
    "uri": (_is_uri, "a URI, as https://example.com/a"),
    "hostname": (lambda text: len(text) <= 253 and bool(_HOSTNAME.fullmatch(text)), "a host name"),
    "email": (lambda text: bool(_EMAIL.fullmatch(text)), "an e-mail address"),
}
