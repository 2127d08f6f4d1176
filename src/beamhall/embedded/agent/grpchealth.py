"""The gRPC health check: one call over HTTP/2, by the few bytes of protocol buffers that it needs.

Knows nothing of probes. Loaded only where a Pod has a ``grpc`` probe.
Source: grpc/grpc ``doc/health-checking.md`` and ``doc/PROTOCOL-HTTP2.md``;
the words are Kubernetes' ``pkg/probe/grpc``.
"""

import asyncio
import struct
from urllib.parse import unquote

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset, TrailersReceived
from h2.exceptions import H2Error

_PATH = "/grpc.health.v1.Health/Check"
_STATUSES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_UNIMPLEMENTED = "12"
_READ_BYTES = 16 * 1024
_PREFIX_BYTES = 5


async def check(host: str, port: int, service: str, timeout_s: float) -> tuple[bool, str]:
    """Ask a server for a service's health.

    Args:
        host: Address of the server, which speaks HTTP/2 without TLS.
        port: Its port.
        service: Which service; empty: the server as a whole.
        timeout_s: How long it may take, in seconds.

    Returns:
        Whether it serves, and the words for an event.
    """
    where = f"{host}:{port}"
    try:
        async with asyncio.timeout(timeout_s):
            headers, message = await _call(host, port, service)
    except TimeoutError:
        return False, f'timeout: failed to connect service "{where}" within {timeout_s:g}s: context deadline exceeded'
    except (OSError, H2Error) as error:
        return False, f'error: failed to connect service at "{where}": {error}'
    code, text = headers.get("grpc-status", "0"), unquote(headers.get("grpc-message", ""))
    if code == _UNIMPLEMENTED:
        why = "this server does not implement the grpc health protocol (grpc.health.v1.Health)"
        return False, f"error: {why}: {text}"
    if code != "0":
        return False, f"error: health rpc probe failed: code = {code} desc = {text}"
    status = _STATUSES.get(_status(message[_PREFIX_BYTES:]), "UNKNOWN")
    return (
        (True, "service healthy") if status == "SERVING" else (False, f'service unhealthy (responded with "{status}")')
    )


async def _call(host: str, port: int, service: str) -> tuple[dict[str, str], bytes]:
    """Make the call; give the headers and trailers of the answer, and its body."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        connection.initiate_connection()
        stream = connection.get_next_available_stream_id()
        connection.send_headers(stream, _headers(f"{host}:{port}"))
        connection.send_data(stream, _request(service), end_stream=True)
        headers: dict[str, str] = {}
        body = b""
        while True:
            if data := connection.data_to_send():
                writer.write(data)
                await writer.drain()
            received = await reader.read(_READ_BYTES)
            if not received:
                raise OSError("EOF")
            for event in connection.receive_data(received):
                if isinstance(event, ResponseReceived | TrailersReceived):
                    headers.update((str(name), str(value)) for name, value in event.headers or ())
                elif isinstance(event, DataReceived):
                    body += event.data or b""
                    connection.acknowledge_received_data(event.flow_controlled_length or 0, stream)
                elif isinstance(event, StreamReset | ConnectionTerminated):
                    raise OSError(f"the server broke off: error code {event.error_code}")
                elif isinstance(event, StreamEnded):
                    return headers, body
    finally:
        writer.close()


def _headers(authority: str) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", _PATH),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("user-agent", "kube-probe"),
    ]


def _request(service: str) -> bytes:
    """Write a HealthCheckRequest: field 1 is the service's name; before it, gRPC's flag and length."""
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    return struct.pack(">BI", 0, len(message)) + message


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _status(message: bytes) -> int:
    """Read a HealthCheckResponse: field 1 is the status, and there is no other. One that is absent is 0."""
    return message[1] if len(message) >= 2 and message[0] == 0x08 else 0
