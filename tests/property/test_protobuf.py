"""Whatever bytes a client sends as protobuf: an object with fields of its kind, or a clear error; never a crash."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamhall.embedded.api.builtin.definitions import SCALARS, fields_of
from beamhall.embedded.api.builtin.fields import check_fields
from beamhall.embedded.api.builtin.kinds import BUILT_INS
from beamhall.embedded.api.builtin.protobuf import decode
from beamhall.kernel.errors import BadRequest, UnsupportedMediaType

KINDS = sorted(BUILT_INS)


def _varint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _bytes_field(number, data):
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _body(resource, data):
    kind = BUILT_INS[resource].kind
    about = _bytes_field(1, kind.api_version.encode()) + _bytes_field(2, kind.kind.encode())
    return b"k8s\0" + _bytes_field(1, about) + _bytes_field(2, data)


@given(st.binary(max_size=200))
def test_random_bytes(data):
    with pytest.raises((BadRequest, UnsupportedMediaType)):
        decode(data)
    with pytest.raises((BadRequest, UnsupportedMediaType)):
        decode(b"k8s\0" + data)


@st.composite
def _messages(draw, definition, depth=3):
    """Draw fields that a definition has, mostly well formed, sometimes with bytes that belong nowhere."""
    fields = [f for f in fields_of(definition).values() if len(f.numbers) == 1]
    parts = []
    for field in draw(st.lists(st.sampled_from(fields), max_size=4)) if fields else ():
        if field.type in SCALARS or not depth:
            value = draw(st.one_of(st.integers(0, (1 << 64) - 1), st.binary(max_size=12), st.just(b"text")))
        else:
            value = draw(_messages(field.type, depth - 1))
        if field.shape == "{}" and isinstance(value, bytes):
            value = _bytes_field(1, b"key") + _bytes_field(2, value)
        number = field.numbers[0]
        parts.append(_varint(number << 3) + _varint(value) if isinstance(value, int) else _bytes_field(number, value))
    return b"".join(parts)


@st.composite
def _objects(draw):
    resource = draw(st.sampled_from(KINDS))
    return resource, draw(_messages(BUILT_INS[resource].definition))


@given(_objects())
def test_what_is_read_has_only_fields_of_its_kind(drawn):
    resource, data = drawn
    try:
        obj = decode(_body(resource, data))
    except (BadRequest, UnsupportedMediaType):
        return
    assert check_fields(BUILT_INS[resource].kind, obj).unknown == ()
    assert check_fields(BUILT_INS[resource].kind, obj).causes == ()


@given(_objects(), st.data())
def test_a_body_that_is_cut_or_changed(drawn, data):
    body = bytearray(_body(*drawn))
    place = data.draw(st.integers(4, len(body) - 1))
    body[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(4, len(body)))
    for changed in (bytes(body), bytes(body[:cut])):
        try:
            assert decode(changed)["kind"]
        except (BadRequest, UnsupportedMediaType):
            continue
