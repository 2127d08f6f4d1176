"""Completion indexes of Jobs as their status writes them: runs such as ``0-2,5``.

Source: Kubernetes API reference, JobStatus (``completedIndexes``, ``failedIndexes``).
"""

from collections.abc import Iterable
from itertools import groupby


def parse_indexes(text: str) -> set[int]:
    """Read indexes such as ``0-2,5``; empty for an empty text.

    Raises:
        ValueError: The text is of another form, or its numbers do not rise.
    """
    indexes: set[int] = set()
    highest = -1
    for part in text.split(",") if text else ():
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ValueError(f"{part!r} is no index and no run of indexes such as 0-2")
        start, end = int(first), int(last or first)
        if start <= highest or end < start:
            raise ValueError(f"indexes must rise, and {part!r} does not")
        highest = end
        indexes.update(range(start, end + 1))
    return indexes


def format_indexes(indexes: Iterable[int]) -> str:
    """Write indexes in order, runs of them as ``first-last``."""
    runs = []
    for _, group in groupby(enumerate(sorted(indexes)), key=lambda pair: pair[1] - pair[0]):
        run = [index for _, index in group]
        runs.append(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}")
    return ",".join(runs)
