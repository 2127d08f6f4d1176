"""Amounts by resource name: adding them up, and what a whole Pod comes to.

What an amount is (an integer of thousandths, an exact decimal) is the caller's business.

Source: Kubernetes "Resource Management for Pods and Containers"; KEP-753: init containers count by their maximum,
sidecars by sum, from the moment they start.
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

from beamhall.kernel.objects import ReadOnlyObject

N = TypeVar("N", int, Decimal)


def add(amounts: Iterable[Mapping[str, N]]) -> dict[str, N]:
    """Add amounts up, name by name."""
    total: dict[str, N] = {}
    for one in amounts:
        for name, value in one.items():
            total[name] = total[name] + value if name in total else value
    return total


def maximum(one: Mapping[str, N], other: Mapping[str, N]) -> dict[str, N]:
    """Give the larger amount of each name; what one of them lacks is no amount at all."""
    both = {name: max(one[name], other[name]) for name in one.keys() & other.keys()}
    return {**one, **other, **both}


def pod_total(pod: ReadOnlyObject, asked: Callable[[Mapping[str, Any]], dict[str, N]]) -> dict[str, N]:
    """Give what a Pod comes to without its overhead.

    Args:
        pod: The object, or one with its ``spec`` alone.
        asked: Gives what one container asks for.
    """
    spec: Mapping[str, Any] = pod.get("spec") or {}
    sidecars: dict[str, N] = {}
    peak: dict[str, N] = {}
    for container in spec.get("initContainers") or ():
        mine = asked(container)
        if container.get("restartPolicy") == "Always":
            sidecars = add((sidecars, mine))
            mine = {}
        peak = maximum(peak, add((sidecars, mine)))
    together = add(asked(container) for container in spec.get("containers") or ())
    return maximum(add((together, sidecars)), peak)
