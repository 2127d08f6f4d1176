r"""The JSONPath subset of printer columns and of selectable fields.

What is understood: ``.a.b``, ``.a['b']``, ``.a\.b`` (an escaped dot), ``[2]``, ``[-1]``, ``[-1:]``, ``[0:2]``, ``[*]``,
``.*``, and the filter ``[?(@.type=="Ready")]`` with ``==`` or ``!=``. Recursive descent is not. Knows plain JSON only;
the readers are ``custom_rules`` and ``crds``.

Source: ``additionalPrinterColumns[].jsonPath`` of CustomResourceDefinition, "simple JSON path".
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Values = list[Any]
_Step = Callable[[Values], Values]

_TOKEN = re.compile(
    r"""\.(?P<wild>\*)
      | \.(?P<name>(?:\\.|[^.\[\]\\])+)
      | \[\s*(?P<index>-?\d+)\s*\]
      | \[\s*(?P<every>\*)\s*\]
      | \[\s*'(?P<single>[^']*)'\s*\]
      | \[\s*"(?P<double>[^"]*)"\s*\]
      | \[\s*(?P<slice>-?\d*:-?\d*)\s*\]
      | \[\?\(\s*@(?P<path>(?:\.[\w\-/]+|\[['"][^'"]+['"]\])+)\s*(?P<op>==|!=)
        \s*(?P<value>"[^"]*"|'[^']*'|[\w.\-]+)\s*\)\]
    """,
    re.VERBOSE,
)


class JsonPath:
    """A compiled path.

    Args:
        text: The path, with or without the surrounding braces that ``kubectl`` writes.

    Raises:
        ValueError: The text is outside the subset; the message says where.
    """

    __slots__ = ("_names", "_steps", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        body = text.strip()
        if body.startswith("{") and body.endswith("}"):
            body = body[1:-1].strip()
        body = body.removeprefix("$")
        if body and body[0] not in ".[":
            body = "." + body
        steps: list[_Step] = []
        names: list[str] | None = []
        position = 0
        while position < len(body):
            match = _TOKEN.match(body, position)
            if match is None:
                raise ValueError(f"JSON path {text!r} is not understood at {body[position:]!r}")
            step, name = _step_of(match)
            steps.append(step)
            names = None if names is None or name is None else [*names, name]
            position = match.end()
        self._steps: Sequence[_Step] = tuple(steps)
        self._names = None if names is None else tuple(names)

    def find(self, obj: Mapping[str, Any]) -> Values:
        """Give all values at the path, empty if there are none."""
        if self._names is not None:
            return _walk(obj, self._names)
        values: Values = [obj]
        for step in self._steps:
            values = step(values)
        return values

    def first(self, obj: Mapping[str, Any]) -> Any:
        """Give the first value at the path, None if there is none."""
        values = self.find(obj)
        return values[0] if values else None


def _walk(obj: Any, names: tuple[str, ...]) -> Values:
    """Follow plain names: the common case, without making lists."""
    for name in names:
        if not isinstance(obj, Mapping) or name not in obj:
            return []
        obj = obj[name]
    return [obj]


def _step_of(match: re.Match[str]) -> tuple[_Step, str | None]:
    """Make the step of one token, with the plain name if it is nothing but that."""
    if match["wild"] or match["every"]:
        return _every, None
    if match["index"]:
        return _at(int(match["index"])), None
    if match["slice"]:
        start, end = (int(part) if part else None for part in match["slice"].split(":"))
        return _slice(slice(start, end)), None
    if match["path"]:
        return _filter(JsonPath(match["path"]), match["op"] == "==", match["value"].strip("\"'")), None
    name = match["single"] or match["double"] or re.sub(r"\\(.)", r"\1", match["name"] or "")
    return _named(name), name


def _named(name: str) -> _Step:
    return lambda values: [value[name] for value in values if isinstance(value, Mapping) and name in value]


def _at(index: int) -> _Step:
    return lambda values: [
        value[index] for value in values if isinstance(value, list) and -len(value) <= index < len(value)
    ]


def _slice(part: slice) -> _Step:
    return lambda values: [item for value in values if isinstance(value, list) for item in value[part]]


def _every(values: Values) -> Values:
    found: Values = []
    for value in values:
        if isinstance(value, list):
            found.extend(value)
        elif isinstance(value, Mapping):
            found.extend(value.values())
    return found


def _filter(path: JsonPath, is_equal: bool, wanted: str) -> _Step:  # noqa: FBT001
    def step(values: Values) -> Values:
        items = [item for item in _every(values) if isinstance(item, Mapping)]
        return [item for item in items if (text_of(path.first(item)) == wanted) is is_equal]

    return step


def text_of(value: Any) -> str:
    """Write a JSON value as columns and filters show it: booleans in lower case, null as nothing."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
