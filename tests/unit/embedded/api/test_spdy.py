"""SPDY frames against the specification's own figures."""

import zlib

import pytest

from beamhall.embedded.api.remote.spdy import (
    DICTIONARY,
    FRAME_LIMIT_BYTES,
    Data,
    Decoder,
    Encoder,
    GoAway,
    Other,
    Ping,
    Reset,
    SpdyError,
    SynReply,
    SynStream,
)


def test_the_dictionary_is_the_specifications() -> None:
    assert len(DICTIONARY) == 1423
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


@pytest.mark.parametrize(
    ("frame", "wire"),
    [
        (Data(1, b"ab"), "00000001 00000002 6162"),
        (Data(3, b"", is_last=True), "00000003 01000000"),
        (Reset(5, 3), "80030003 00000008 00000005 00000003"),
        (Ping(2), "80030006 00000004 00000002"),
        (GoAway(7, 1), "80030007 00000008 00000007 00000001"),
    ],
)
def test_frames_are_written_and_read_as_specified(frame: Data | Reset | Ping | GoAway, wire: str) -> None:
    data = bytes.fromhex(wire)
    assert Encoder().encode(frame) == data
    assert list(Decoder().feed(data)) == [frame]


def test_headers_are_compressed_with_the_dictionary() -> None:
    data = Encoder().encode(SynStream(1, {"streamtype": "data", "port": "80"}))
    assert data[:18].hex() == "80030001000000" + f"{len(data) - 8:02x}" + "00000001000000000000"
    # zlib's own header: with a preset dictionary, and which
    assert data[18:20] in (b"\x78\xbb", b"\x78\xf9")
    assert data[20:24] == (0xE3C6A7C2).to_bytes(4, "big")


def test_names_of_headers_are_read_in_lower_case() -> None:
    data = Encoder().encode(SynStream(1, {"StreamType": "Data"}, is_last=True))
    assert list(Decoder().feed(data)) == [SynStream(1, {"streamtype": "Data"}, is_last=True)]


def test_frames_of_no_consequence_are_passed_by() -> None:
    settings, window = "80030004 00000004 00000000", "80030009 00000008 00000001 00001000"
    assert list(Decoder().feed(bytes.fromhex(settings + window))) == [Other(4), Other(9)]


def test_headers_frames_keep_the_compression_going() -> None:
    encoder = Encoder()
    first = encoder.encode(SynStream(1, {"a": "b"}))
    headers = bytearray(encoder.encode(SynReply(1, {"c": "d"})))
    headers[3] = 8
    last = encoder.encode(SynStream(3, {"e": "f"}))
    assert list(Decoder().feed(first + headers + last)) == [
        SynStream(1, {"a": "b"}),
        Other(8),
        SynStream(3, {"e": "f"}),
    ]


@pytest.mark.parametrize(
    ("wire", "what"),
    [
        ("80020006 00000004 00000001", "version 2"),
        ("80030006 00000002 0001", "malformed frame of type 6"),
        ("80030001 0000000c 000000010000000000001234", "malformed frame of type 1"),
        (f"00000001 00{FRAME_LIMIT_BYTES + 1:06x}", "the limit is"),
    ],
)
def test_what_is_no_spdy_is_an_error(wire: str, what: str) -> None:
    with pytest.raises(SpdyError, match=what):
        list(Decoder().feed(bytes.fromhex(wire)))


def test_headers_that_grow_without_bound_are_an_error() -> None:
    data = Encoder().encode(SynStream(1, {"a": "x" * 1_000_000}))
    assert len(data) < 10_000
    with pytest.raises(SpdyError, match="bytes of headers"):
        list(Decoder().feed(data))
