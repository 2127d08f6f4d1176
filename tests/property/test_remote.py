"""What is written to a stream's wire is read back, however it is cut; and nothing that is read breaks the reader."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from beamhall.client.channels import PROTOCOLS, Channels, read_size
from beamhall.embedded.api.remote.spdy import (
    Data,
    Decoder,
    Encoder,
    Frame,
    GoAway,
    Ping,
    Reset,
    SpdyError,
    SynReply,
    SynStream,
)
from beamhall.kernel.errors import BadRequest

streams = st.integers(0, 2**31 - 1)
numbers = st.integers(0, 2**32 - 1)
headers = st.dictionaries(
    st.text(max_size=20).map(str.lower).filter(lambda t: t == t.lower()), st.text(max_size=50), max_size=5
)
frames: st.SearchStrategy[Frame] = st.one_of(
    st.builds(SynStream, streams, headers, st.booleans()),
    st.builds(SynReply, streams, headers),
    st.builds(Data, streams, st.binary(max_size=200), st.booleans()),
    st.builds(Reset, streams, numbers),
    st.builds(Ping, numbers),
    st.builds(GoAway, streams, numbers),
)


@given(st.lists(frames, max_size=20), st.lists(st.integers(1, 40), min_size=1))
def test_frames_are_read_as_they_were_written(sent: list[Frame], cuts: list[int]) -> None:
    encoder, decoder = Encoder(), Decoder()
    wire = b"".join(encoder.encode(frame) for frame in sent)
    received: list[Frame] = []
    position = turn = 0
    while position < len(wire):
        size = cuts[turn % len(cuts)]
        received += decoder.feed(wire[position : position + size])
        position, turn = position + size, turn + 1
    assert received == sent


@given(st.lists(frames, min_size=1, max_size=5), st.data())
def test_a_damaged_wire_is_an_error_or_other_frames(sent: list[Frame], data: st.DataObject) -> None:
    encoder = Encoder()
    wire = bytearray(b"".join(encoder.encode(frame) for frame in sent))
    wire[data.draw(st.integers(0, len(wire) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(SpdyError):
        list(Decoder().feed(bytes(wire)))


@given(st.sampled_from(PROTOCOLS), st.integers(0, 4), st.binary(max_size=200))
def test_messages_are_read_as_they_were_written(protocol: str, channel: int, data: bytes) -> None:
    channels = Channels(protocol)
    assert channels.decode(channels.encode(channel, data)) == (channel, data)


@given(st.sampled_from(PROTOCOLS), st.binary(max_size=50))
def test_any_message_is_read_or_refused(protocol: str, message: bytes) -> None:
    try:
        channel, _ = Channels(protocol).decode(message)
    except BadRequest:
        return
    assert 0 <= channel <= 255


@given(st.binary(max_size=50) | st.from_regex(rb'\{"Width":-?[0-9]{1,6},"Height":"?[0-9]{1,6}"?\}', fullmatch=True))
def test_any_size_is_one_that_a_terminal_can_have(data: bytes) -> None:
    size = read_size(data)
    assert size is None or all(0 <= part < 65536 for part in size)
