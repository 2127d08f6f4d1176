"""What a figure is: a name, a median with its spread, and the figure it is held against."""

import statistics
from collections.abc import Sequence
from typing import Any


def figure(name: str, unit: str, values: Sequence[float], **held_against: float) -> dict[str, Any]:
    """Describe measured values.

    Args:
        name: What was measured.
        unit: Its unit.
        values: One value a run.
        held_against: Such as ``at_most=30`` (the aim) or ``peer_python=21.5`` (a peer in the same run; gives a ratio).
    """
    median = statistics.median(values)
    found: dict[str, Any] = {
        "name": name, "unit": unit, "runs": len(values),
        "median": round(median, 3), "min": round(min(values), 3), "max": round(max(values), 3),
        **{key: round(value, 3) for key, value in held_against.items()},
    }  # fmt: skip
    for key, value in held_against.items():
        if key.startswith("peer_") and value:
            found[f"ratio_to_{key.removeprefix('peer_')}"] = round(median / value, 3)
    return found
