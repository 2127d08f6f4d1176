"""Macros in the parameters of recurring runs: ``[[ScheduledTime]]``, ``[[Index]]``, ``{{$.scheduledTime...}}``. Pure.

They are filled in in every text, at any depth; what nobody knows stays as it is. Times are in UTC, as upstream has it;
their layouts are those of Go's ``time`` package.

Source: kubeflow/pipelines ``scheduledworkflow/util/parameter_formatter.go``; Go, ``time/format.go``; Vertex AI,
"Schedule a pipeline run" for the form with ``strftime``.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from beamhall.pipelines.spec.sources import Json

USUAL_LAYOUT = "20060102150405"

_MACRO = re.compile(r"\[\[([A-Za-z]+)(?:\.(.*?))?\]\]|\{\{\$\.scheduledTime\.strftime\((['\"])(.*?)\3\)\}\}")
_LAYOUT = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|_2(?!006)|002|0[1-6]|2006|15|-07:00:00|-070000|-07:00|-0700|-07"
    r"|Z07:00|Z0700|PM|pm|[.,](?:0+|9+)(?![0-9])|[1-5]"
)
_WRITERS: Mapping[str, Callable[[datetime], str]] = {
    "January": lambda time: f"{time:%B}",
    "Jan": lambda time: f"{time:%b}",
    "1": lambda time: str(time.month),
    "01": lambda time: f"{time:%m}",
    "Monday": lambda time: f"{time:%A}",
    "Mon": lambda time: f"{time:%a}",
    "2": lambda time: str(time.day),
    "_2": lambda time: f"{time.day:2}",
    "02": lambda time: f"{time:%d}",
    "002": lambda time: f"{time:%j}",
    "15": lambda time: f"{time:%H}",
    "3": lambda time: str(time.hour % 12 or 12),
    "03": lambda time: f"{time.hour % 12 or 12:02}",
    "4": lambda time: str(time.minute),
    "04": lambda time: f"{time:%M}",
    "5": lambda time: str(time.second),
    "05": lambda time: f"{time:%S}",
    "2006": lambda time: f"{time.year:04}",
    "06": lambda time: f"{time.year % 100:02}",
    "PM": lambda time: "AM" if time.hour < 12 else "PM",
    "pm": lambda time: "am" if time.hour < 12 else "pm",
    "MST": lambda _: "UTC",
    "Z0700": lambda _: "Z",
    "Z07:00": lambda _: "Z",
    "-0700": lambda _: "+0000",
    "-07:00": lambda _: "+00:00",
    "-07": lambda _: "+00",
    "-070000": lambda _: "+000000",
    "-07:00:00": lambda _: "+00:00:00",
}


@dataclass(frozen=True, slots=True)
class Values:
    """What macros of one run stand for.

    Attributes:
        scheduled: When it was due.
        now: When it is made.
        index: Its number among the runs of its schedule; the first is 1.
        run_id: Its id.
    """

    scheduled: datetime
    now: datetime
    index: int
    run_id: str


def fill_macros(value: Json, values: Values) -> Json:
    """Replace the macros in all texts of a value. Never changes the value itself."""
    if isinstance(value, str):
        return _MACRO.sub(lambda match: _text_of(match, values), value)
    if isinstance(value, Mapping):
        return {key: fill_macros(member, values) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [fill_macros(item, values) for item in value]
    return value


def _text_of(match: re.Match[str], values: Values) -> str:
    name, layout, quote, pattern = match.groups()
    if quote:
        return _strftime(values.scheduled, pattern) or match.group()
    match name:
        case "ScheduledTime":
            return go_time(values.scheduled, layout or USUAL_LAYOUT)
        case "CurrentTime":
            return go_time(values.now, layout or USUAL_LAYOUT)
        case "Index" if layout is None:
            return str(values.index)
        case "RunUUID" if layout is None:
            return values.run_id
    return match.group()


def _strftime(time: datetime, pattern: str) -> str:
    try:
        return time.astimezone(UTC).strftime(pattern)
    except ValueError:  # a NUL, or what the platform does not have
        return ""


def go_time(time: datetime, layout: str) -> str:
    """Write a time, in UTC, by a layout of Go: as Go would write ``Mon Jan 2 15:04:05 MST 2006``."""
    utc = time.astimezone(UTC)
    return _LAYOUT.sub(lambda match: _piece(match.group(), utc), layout)


def _piece(piece: str, time: datetime) -> str:
    writer = _WRITERS.get(piece)
    if writer is not None:
        return writer(time)
    digits = f"{time.microsecond:06}".ljust(len(piece) - 1, "0")[: len(piece) - 1]
    if piece[1] == "9":
        digits = digits.rstrip("0")
    return piece[0] + digits if digits else ""
