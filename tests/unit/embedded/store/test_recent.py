"""The memory of recent rows: newest wins whatever the order, deletions, and its bound."""

from beamhall.embedded.store.recent import Recent
from beamhall.embedded.store.watch import Change

KEY = ("pods", "a", "x")


def change(revision: int, value: bytes | None, old: bytes | None = None) -> Change:
    return Change(*KEY, (revision, value), (revision - 1 if old else 0, old))


def test_the_newest_row_wins_whatever_comes_last() -> None:
    recent = Recent()
    recent.put(KEY, (5, b"new"))
    recent.take(change(4, b"old"))
    assert recent.get(KEY) == (5, b"new")
    recent.take(change(6, b"newer", b"new"))
    assert recent.get(KEY) == (6, b"newer")


def test_a_deletion_ends_what_is_older_only() -> None:
    recent = Recent()
    recent.put(KEY, (5, b"made anew"))
    recent.take(change(4, None, b"first"))
    assert recent.get(KEY) == (5, b"made anew")
    recent.take(change(6, None, b"made anew"))
    assert recent.get(KEY) is None
    assert recent.size_bytes == 0


def test_it_is_bounded_by_size() -> None:
    recent = Recent(limit_bytes=100)
    for number in range(30):
        recent.put(("pods", "a", str(number)), (number + 1, b"x" * 10))
        recent.put(("pods", "a", str(number)), (number + 2, b"y" * 10))
    assert recent.size_bytes == 100
    assert [recent.get(("pods", "a", str(n))) is None for n in range(30)] == [True] * 20 + [False] * 10
    recent.put(("pods", "a", "big"), (99, b"x" * 1000))
    assert recent.size_bytes == 0
