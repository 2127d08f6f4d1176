"""The log format, read in blocks of any size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamhall.embedded.agent.criformat import LogText, last_text, tail_offset

LOG = (
    b"2026-01-01T00:00:00.000000000Z stdout F one\n"
    b"2026-01-01T00:00:01.000000000Z stderr P tw\n"
    b"2026-01-01T00:00:02.000000000Z stderr F o\n"
    b"2026-01-01T00:00:03.000000000Z stdout F \n"
    b"2026-01-01T00:00:04.000000000Z stdout F three words here\n"
)


@given(st.integers(1, 60))
def test_blocks_of_any_size_give_the_same_text(size):
    text = LogText()
    assert b"".join(text.feed(LOG[i : i + size]) for i in range(0, len(LOG), size)) == b"one\ntwo\n\nthree words here\n"


def test_times_stand_before_whole_lines_only():
    assert LogText(timestamps=True).feed(LOG).splitlines() == [
        b"2026-01-01T00:00:00.000000000Z one",
        b"2026-01-01T00:00:01.000000000Z two",
        b"2026-01-01T00:00:03.000000000Z ",
        b"2026-01-01T00:00:04.000000000Z three words here",
    ]


def test_since_leaves_out_what_is_older():
    assert LogText(since="2026-01-01T00:00:03.000000").feed(LOG) == b"\nthree words here\n"


def test_a_limit_cuts_the_text():
    text = LogText(limit_bytes=6)
    assert text.feed(LOG[:60]) + text.feed(LOG[60:]) == b"one\ntw"
    assert text.is_full


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (0, b""),
        (1, b"three words here\n"),
        (2, b"\nthree words here\n"),
        (3, b"two\n\nthree words here\n"),
        (4, b"one\ntwo\n\nthree words here\n"),
        (99, b"one\ntwo\n\nthree words here\n"),
    ],
)
@pytest.mark.parametrize("block", [1, 7, 50, 64, 1000])
def test_tail_offset(lines, expected, block):
    offset, _ = tail_offset(lambda start, length: LOG[start : start + length], len(LOG), lines, block)
    assert LogText().feed(LOG[offset:]) == expected


def test_last_text():
    assert last_text(LOG, 2, 100) == "\nthree words here"
    assert last_text(LOG, 10, 4) == "ere"
    assert last_text(b"", 10, 4) == ""
