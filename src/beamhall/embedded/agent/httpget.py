"""One HTTP GET, as a kubelet's probe does it: no certificate is checked, no redirect followed, little of a body read.

Knows nothing of probes. It is written on ``h11``: a whole HTTP client would cost memory more than all else here.
"""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from urllib.parse import urljoin, urlsplit

_BODY_BYTES = 10 * 1024
_READ_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    Attributes:
        scheme: ``http`` or ``https``.
        host: A name or an address.
        port: The port.
        path: With its query, as it stands in the request.
        headers: Those the caller wants; ``Host`` is added where it is not among them.
    """

    scheme: str
    host: str
    port: int
    path: str
    headers: Sequence[tuple[str, str]] = ()

    @property
    def url(self) -> str:
        """The whole address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    def redirected(self, location: str) -> "Request | None":
        """Give the request that a redirect leads to; None where it leads nowhere that can be asked."""
        try:
            parts = urlsplit(urljoin(self.url, location))
            port = parts.port
        except ValueError:
            return None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return None
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        port = port or (443 if parts.scheme == "https" else 80)
        return replace(self, scheme=parts.scheme, host=parts.hostname, port=port, path=path)


@dataclass(frozen=True, slots=True)
class Page:
    """What was answered: the status, where a redirect leads, and the beginning of the body."""

    status: int
    location: str
    body: bytes


async def fetch(request: Request) -> Page:
    """Ask for a page.

    Raises:
        OSError: Nobody listens, or what answers does not speak HTTP.
    """
    import h11  # noqa: PLC0415  a service that probes nothing by HTTP starts without it

    context = _trusting() if request.scheme == "https" else None
    reader, writer = await asyncio.open_connection(request.host, request.port, ssl=context)
    try:
        return await _exchange(request, reader, writer)
    except h11.ProtocolError as error:
        raise OSError(f"malformed HTTP response: {error}") from error
    finally:
        writer.close()


async def _exchange(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Page:
    import h11  # noqa: PLC0415  as above

    connection = h11.Connection(h11.CLIENT)
    host = [] if any(name.lower() == "host" for name, _ in request.headers) else [("Host", _authority(request))]
    headers = [*host, *request.headers, ("Connection", "close")]
    writer.write(connection.send(h11.Request(method="GET", target=request.path, headers=headers)) or b"")
    writer.write(connection.send(h11.EndOfMessage()) or b"")
    await writer.drain()
    response: h11.Response | None = None
    body = b""
    while len(body) < _BODY_BYTES:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ_BYTES))
        elif isinstance(event, h11.Response):
            response = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif not isinstance(event, h11.InformationalResponse):  # the end of the message, or of the connection
            break
    if response is None:
        raise OSError("EOF")
    location = dict(response.headers).get(b"location", b"").decode("latin-1")
    return Page(response.status_code, location, body[:_BODY_BYTES])


def _authority(request: Request) -> str:
    host = f"[{request.host}]" if ":" in request.host else request.host
    usual = 443 if request.scheme == "https" else 80
    return host if request.port == usual else f"{host}:{request.port}"


@cache
def _trusting() -> ssl.SSLContext:
    """Give a context that takes any certificate: a probe asks whether something answers, and keeps no secrets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
