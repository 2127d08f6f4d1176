"""What a trainer tells of its progress in its log, as the figures that a job's status shows.

A line that is a JSON object with a number ``step`` or ``epoch`` counts, such as
``{"step": 120, "steps": 1000, "loss": 0.41}``; its other numbers are metrics. The status has them as Trainer's own API
has what trainers send: ``trainerStatus``. Pure; ``runtime.progress`` reads the logs.

Source: reference "Trainer v2", for ``trainerStatus`` and its limits.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from beamhall.kernel.clock import format_time
from beamhall.kernel.objects import Object

FIELD = "trainerStatus"

_COUNTS = ("step", "global_step", "epoch")
_TOTALS = {
    "step": ("steps", "total_steps", "max_steps"),
    "global_step": ("steps", "total_steps", "max_steps"),
    "epoch": ("epochs", "total_epochs", "max_epochs"),
}
_MAX_LENGTH = 64
_MAX_METRICS = 256
_MAX_LINE = 16_384


@dataclass(frozen=True, slots=True)
class Figures:
    """What one line told.

    Attributes:
        metrics: Numbers by name, as written.
        fraction: How much is done, from 0 to 1; None: the line does not say out of how many.
    """

    metrics: Mapping[str, float]
    fraction: float | None


@dataclass(frozen=True, slots=True)
class Mark:
    """When a fraction was first seen, which the time that is left is worked out from."""

    at: datetime
    fraction: float


def read_figures(line: str) -> Figures | None:
    """Read a line of a log; None if it tells of no progress."""
    text = line.strip()
    if not text.startswith("{") or len(text) > _MAX_LINE:
        return None
    try:
        said = json.loads(text)
    except ValueError:
        return None
    numbers = {name: value for name, value in said.items() if _is_number(value) and 0 < len(name) <= _MAX_LENGTH}
    if not any(name in numbers for name in _COUNTS):
        return None
    return Figures(dict(list(numbers.items())[:_MAX_METRICS]), _fraction(numbers))


def last_figures(lines: Iterable[str]) -> Figures | None:
    """Give what the last of some lines told that tells of progress."""
    found = None
    for line in lines:
        found = read_figures(line) or found
    return found


def trainer_status(figures: Figures, first: Mark | None, now: datetime) -> Object:
    """Make the ``trainerStatus`` of figures.

    Args:
        figures: What was told last.
        first: When the first fraction was seen in this run; None: no time that is left can be told.
        now: The time.
    """
    status: Object = {
        "metrics": [{"name": name, "value": str(value)} for name, value in figures.metrics.items()],
        "lastUpdatedTime": format_time(now),
        "progressPercentage": None,
        "estimatedRemainingSeconds": None,
    }
    if figures.fraction is not None:
        status["progressPercentage"] = int(figures.fraction * 100)
        if first is not None and figures.fraction > first.fraction:
            pace_s = (now - first.at).total_seconds() / (figures.fraction - first.fraction)
            status["estimatedRemainingSeconds"] = round(pace_s * (1 - figures.fraction))
    return status


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and len(str(value)) <= _MAX_LENGTH


def _fraction(numbers: Mapping[str, float]) -> float | None:
    for count, totals in _TOTALS.items():
        total = next((numbers[name] for name in totals if numbers.get(name, 0) > 0), None)
        if count in numbers and total is not None:
            return min(max(numbers[count] / total, 0.0), 1.0)
    return None
