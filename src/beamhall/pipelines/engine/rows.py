"""Stored rows of a run: how paths nest, and which rows a restored run still needs. Read on in ``retrying``."""

from collections.abc import Iterable

from beamhall.pipelines.engine.events import Row


def parent_of(path: str) -> str | None:
    """Give the path of the DAG or loop that a path is in; None for the root.

    ``/loop[3]/train`` is in ``/loop[3]``, that is in ``/loop``, that is in the root, ``""``.
    """
    if not path:
        return None
    return path[: path.rindex("[")] if path.endswith("]") else path[: path.rindex("/")]


def surviving(rows: Iterable[Row]) -> dict[str, Row]:
    """Give the rows by path, without those inside of anything that has ended: nobody will ask for them."""
    by_path = {row.path: row for row in rows}
    over: dict[str, bool] = {}

    def is_over(path: str) -> bool:
        known = over.get(path)
        if known is None:
            row, parent = by_path.get(path), parent_of(path)
            known = (row is not None and row.state.is_final) or (parent is not None and is_over(parent))
            over[path] = known
        return known

    kept = {}
    for path, row in by_path.items():
        parent = parent_of(path)
        if parent is None or not is_over(parent):
            kept[path] = row
    return kept
