"""What Pods ask for and what nodes have, as integers: cpu in thousandths, everything else in whole units.

Read on in ``scheduling``.

Source: Kubernetes "Resource Management for Pods and Containers"; init containers count by their maximum, sidecars by
    sum.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from beamhall.kernel.objects import ReadOnlyObject
from beamhall.kernel.quantities import format_binary, milli, whole

Amounts = Mapping[str, int]
"""Amount by resource name: ``cpu`` in thousandths, the rest in bytes or pieces."""

CPU = "cpu"
PODS = "pods"
_BYTES = ("memory", "ephemeral-storage")


def requests_of(pod: ReadOnlyObject) -> dict[str, int]:
    """Give what a Pod asks a node for, its own place included."""
    spec: Mapping[str, Any] = pod.get("spec") or {}
    total = add(_container_requests(container) for container in spec.get("containers") or ())
    peak: dict[str, int] = {}
    sidecars: dict[str, int] = {}
    for container in spec.get("initContainers") or ():
        asked = _container_requests(container)
        if container.get("restartPolicy") == "Always":
            sidecars = add((sidecars, asked))
            asked = {}
        peak = _maximum(peak, add((sidecars, asked)))
    overhead = {name: amount(name, text) for name, text in (spec.get("overhead") or {}).items()}
    return add((_maximum(add((total, sidecars)), peak), overhead, {PODS: 1}))


def allocatable_of(node: ReadOnlyObject) -> dict[str, int]:
    """Give what a node has for Pods; a node that says nothing has nothing."""
    status: Mapping[str, Any] = node.get("status") or {}
    resources = status.get("allocatable") or status.get("capacity") or {}
    return {name: amount(name, text) for name, text in resources.items()}


def add(amounts: Iterable[Amounts]) -> dict[str, int]:
    """Add amounts up."""
    total: dict[str, int] = {}
    for one in amounts:
        for name, value in one.items():
            total[name] = total.get(name, 0) + value
    return total


def amount(resource: str, text: str | int | float) -> int:
    """Read a quantity of a resource; what is no quantity counts as 0: the API server does not let it in."""
    return _read(resource, str(text))


def say(resource: str, value: int) -> str:
    """Write an amount for people: ``0.5 cpu``, ``1536Mi of memory``, ``2 nvidia.com/gpu``."""
    if resource == CPU:
        return f"{value / 1000:g} cpu"
    if resource in _BYTES:
        rounded = value - value % 2**20 if value >= 2**20 else value
        return f"{format_binary(rounded)} of {resource}"
    return f"{value} {resource}"


@lru_cache(maxsize=4096)
def _read(resource: str, text: str) -> int:
    try:
        return milli(text) if resource == CPU else whole(text)
    except ValueError:
        return 0


def _container_requests(container: Mapping[str, Any]) -> dict[str, int]:
    resources: Mapping[str, Any] = container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: amount(name, text) for name, text in asked.items()}


def _maximum(one: Amounts, other: Amounts) -> dict[str, int]:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {**one, **other}}
