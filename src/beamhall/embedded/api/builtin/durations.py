"""Spans of time as kubectl shows them: one or two units, coarser the longer they are.

Source: ``k8s.io/apimachinery/pkg/util/duration``, HumanDuration: what is printed for each range of lengths.
"""

from datetime import datetime

from beamhall.kernel.clock import parse_time

_STEPS = (  # up to (seconds, excluded), unit, its seconds, finer unit, its seconds
    (120, "s", 1, "", 1),
    (600, "m", 60, "s", 1),
    (3 * 3600, "m", 60, "", 1),
    (8 * 3600, "h", 3600, "m", 60),
    (48 * 3600, "h", 3600, "", 1),
    (8 * 86400, "d", 86400, "h", 3600),
    (2 * 365 * 86400, "d", 86400, "", 1),
    (8 * 365 * 86400, "y", 365 * 86400, "d", 86400),
)


def human_duration(seconds: float) -> str:
    """Write a length of time, given in seconds: ``45s``, ``3m5s``, ``2h5m``, ``3d4h``, ``12d``, ``2y10d``.

    Clocks may differ a little, so up to one second before now counts as now; more than that is ``<invalid>``.
    """
    if seconds < -1:
        return "<invalid>"
    whole = max(0, int(seconds))
    for limit, unit, size, finer, finer_size in _STEPS:
        if whole < limit:
            rest = whole % size // finer_size
            return f"{whole // size}{unit}{rest}{finer}" if finer and rest else f"{whole // size}{unit}"
    return f"{whole // (365 * 86400)}y"


def age(since: object, now: datetime) -> str:
    """Write how long ago an RFC 3339 time was; ``<unknown>`` if there is none."""
    if not isinstance(since, str) or not since:
        return "<unknown>"
    try:
        return human_duration((now - parse_time(since)).total_seconds())
    except ValueError:
        return "<invalid>"
