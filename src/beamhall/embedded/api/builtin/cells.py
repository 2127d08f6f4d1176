"""What the tables' cells are made of: ages, parts that may be missing, joined values, selectors as text.

Next: ``tables``, which says which kind has which columns.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from beamhall.embedded.api.builtin.durations import age
from beamhall.embedded.api.builtin.pod_table import NONE
from beamhall.kernel.objects import ReadOnlyObject, metadata_of


def age_cell(obj: ReadOnlyObject, now: datetime) -> str:
    """Write how long ago an object was made."""
    return age(metadata_of(obj).get("creationTimestamp"), now)


def part(obj: ReadOnlyObject, *names: str) -> ReadOnlyObject:
    """Give a mapping inside an object; an empty one if it, or what it lies in, is missing."""
    found = obj
    for name in names:
        found = found.get(name) or {}
    return found


def joined(values: Iterable[Any]) -> str:
    """Join values by commas; ``<none>`` if there are none."""
    return ",".join(str(value) for value in values) or NONE


def containers_cells(spec: ReadOnlyObject) -> list[Any]:
    """Give the names and the images of the containers of a spec's Pod template."""
    containers = part(spec, "template", "spec").get("containers") or ()
    return [joined(c.get("name") for c in containers), joined(c.get("image") for c in containers)]


def selector_text(selector: ReadOnlyObject) -> str:
    """Write a LabelSelector in its text form."""
    parts = [f"{k}={v}" for k, v in sorted((selector.get("matchLabels") or {}).items())]
    for expression in selector.get("matchExpressions") or ():
        key, values = expression.get("key", ""), ",".join(expression.get("values") or ())
        forms = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "DoesNotExist": f"!{key}"}
        parts.append(forms.get(expression.get("operator", ""), key))
    return joined(parts)
