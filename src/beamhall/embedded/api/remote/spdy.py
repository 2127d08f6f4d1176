"""SPDY/3.1 frames, as far as Kubernetes' port forwarding uses them. Pure.

Kubernetes carries SPDY inside of a WebSocket and leaves out its flow control: no window is kept, and none is announced.
Source: draft-mbelshe-httpbis-spdy-00 (SPDY/3), SPDY/3.1; KEP-4006. No maintained Python library speaks it.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

FRAME_LIMIT_BYTES = 1 << 20
"""The longest frame that is taken; clients send 32 KiB."""

PROTOCOL_ERROR, INVALID_STREAM, REFUSED_STREAM, CANCEL = 1, 2, 3, 5
"""Why a stream is reset."""

_VERSION = 3
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING, _GOAWAY = 1, 2, 3, 6, 7
_FIN = 1
_HEADERS_LIMIT_BYTES = 64 * 1024
_CONTROL = 0x80000000
_STREAM_ID = 0x7FFFFFFF

_WORDS = (
    "options|head|post|put|delete|trace|accept|accept-charset|accept-encoding|accept-language|accept-ranges|age|"
    "allow|authorization|cache-control|connection|content-base|content-encoding|content-language|content-length|"
    "content-location|content-md5|content-range|content-type|date|etag|expect|expires|from|host|if-match|"
    "if-modified-since|if-none-match|if-range|if-unmodified-since|last-modified|location|max-forwards|pragma|"
    "proxy-authenticate|proxy-authorization|range|referer|retry-after|server|te|trailer|transfer-encoding|"
    "upgrade|user-agent|vary|via|warning|www-authenticate|method|get|status|200 OK|version|HTTP/1.1|url|public|"
    "set-cookie|keep-alive|origin"
)
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(struct.pack(">I", len(word)) + word.encode() for word in _WORDS.split("|")) + _TAIL.encode()
"""What both sides' compression of headers begins with."""


class SpdyError(Exception):
    """What was received is no SPDY/3.1, or too long; the message says what."""


@dataclass(frozen=True, slots=True)
class SynStream:
    """A stream begins; with ``is_last``, its sender has nothing more to say on it."""

    stream: int
    headers: Mapping[str, str] = field(default_factory=dict)
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class SynReply:
    """A stream is accepted."""

    stream: int
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of a stream; with ``is_last``, the last of them."""

    stream: int
    data: bytes
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """A stream is broken off."""

    stream: int
    status: int


@dataclass(frozen=True, slots=True)
class Ping:
    """A question that is answered by itself."""

    number: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """The sender begins no more streams."""

    last_stream: int
    status: int = 0


@dataclass(frozen=True, slots=True)
class Other:
    """A frame that is of no consequence here: SETTINGS, HEADERS, WINDOW_UPDATE, and what is not known."""

    type: int


Frame = SynStream | SynReply | Data | Reset | Ping | GoAway | Other


class Encoder:
    """Writes frames; one for a connection and direction, since the compression of headers goes on."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def encode(self, frame: Frame) -> bytes:
        """Write a frame."""
        match frame:
            case Data(stream, data, is_last):
                return struct.pack(">II", stream, (is_last * _FIN) << 24 | len(data)) + data
            case SynStream(stream, headers, is_last):
                body = struct.pack(">IIBB", stream, 0, 0, 0) + self._block(headers)
                return _control(_SYN_STREAM, body, is_last * _FIN)
            case SynReply(stream, headers):
                return _control(_SYN_REPLY, struct.pack(">I", stream) + self._block(headers))
            case Reset(stream, status):
                return _control(_RST_STREAM, struct.pack(">II", stream, status))
            case Ping(number):
                return _control(_PING, struct.pack(">I", number))
            case GoAway(last_stream, status):
                return _control(_GOAWAY, struct.pack(">II", last_stream, status))
            case Other(type_):
                return _control(type_, b"")

    def _block(self, headers: Mapping[str, str]) -> bytes:
        parts = [struct.pack(">I", len(headers))]
        for text in (text for pair in headers.items() for text in pair):
            value = text.encode()
            parts += [struct.pack(">I", len(value)), value]
        return self._deflate.compress(b"".join(parts)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


def _control(type_: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack(">II", _CONTROL | _VERSION << 16 | type_, flags << 24 | len(body)) + body


class Decoder:
    """Reads frames from bytes that come in pieces of any size."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Give the frames that are complete.

        Raises:
            SpdyError: The bytes are no SPDY/3.1, or a frame is too long.
        """
        self._rest += data
        while len(self._rest) >= 8:
            head, size = struct.unpack_from(">II", self._rest)
            flags, length = size >> 24, size & 0xFFFFFF
            if length > FRAME_LIMIT_BYTES:
                raise SpdyError(f"a frame of {length} bytes; the limit is {FRAME_LIMIT_BYTES}")
            if len(self._rest) < 8 + length:
                return
            body = bytes(self._rest[8 : 8 + length])
            del self._rest[: 8 + length]
            if head & _CONTROL:
                yield self._read_control(head, flags, body)
            else:
                yield Data(head, body, is_last=bool(flags & _FIN))

    def _read_control(self, head: int, flags: int, body: bytes) -> Frame:
        version, type_ = (head & _STREAM_ID) >> 16, head & 0xFFFF
        if version != _VERSION:
            raise SpdyError(f"version {version} of SPDY; {_VERSION} is served")
        try:
            match type_:
                case 1:  # _SYN_STREAM
                    stream = struct.unpack_from(">IIBB", body)[0] & _STREAM_ID
                    return SynStream(stream, self._read_block(body[10:]), is_last=bool(flags & _FIN))
                case 2:  # _SYN_REPLY
                    return SynReply(struct.unpack_from(">I", body)[0] & _STREAM_ID, self._read_block(body[4:]))
                case 3:  # _RST_STREAM
                    stream, status = struct.unpack(">II", body)
                    return Reset(stream & _STREAM_ID, status)
                case 6:  # _PING
                    return Ping(*struct.unpack(">I", body))
                case 7:  # _GOAWAY
                    stream, status = struct.unpack(">II", body)
                    return GoAway(stream & _STREAM_ID, status)
                case 8:  # HEADERS: read for the sake of the compression, which goes on
                    self._read_block(body[4:])
            return Other(type_)
        except (struct.error, zlib.error, UnicodeDecodeError) as error:
            raise SpdyError(f"a malformed frame of type {type_}: {error}") from error

    def _read_block(self, block: bytes) -> dict[str, str]:
        data = self._inflate.decompress(block, _HEADERS_LIMIT_BYTES)
        if self._inflate.unconsumed_tail:
            raise SpdyError(f"more than {_HEADERS_LIMIT_BYTES} bytes of headers")
        (count,) = struct.unpack_from(">I", data)
        position = 4
        headers: dict[str, str] = {}
        for _ in range(count):
            name, position = _text(data, position)
            headers[name.lower()], position = _text(data, position)
        return headers


def _text(data: bytes, position: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">I", data, position)
    end = position + 4 + length
    if end > len(data):
        raise SpdyError("a header that ends before its length")
    return data[position + 4 : end].decode(), end
