"""Tables and times on a terminal."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]], nothing: str) -> None:
    """Print rows below their heads, as wide as needed; ``nothing`` says what to do where there are no rows."""
    if not rows:
        click.echo(nothing, err=True)
        return
    table = [heads, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(heads) - 1)]
    for row in table:
        click.echo("   ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip())


def age_text(time: str) -> str:
    """Say how long ago a time (RFC 3339) is, in its largest unit: ``3 h``."""
    return _largest((datetime.now(UTC) - _read(time)).total_seconds())


def took_text(run: Mapping[str, Any]) -> str:
    """Say how long a run took; empty while it has not ended."""
    finished = _read(run.get("finished_at", "1970-01-01T00:00:00Z"))
    return _largest((finished - _read(run["created_at"])).total_seconds()) if finished.timestamp() else ""


def _read(time: str) -> datetime:
    return datetime.fromisoformat(time)


def _largest(seconds: float) -> str:
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "0 s"
