"""What Pods ask for and what nodes have, as integers: cpu in thousandths, everything else in whole units.

Read on in ``scheduling``.

Source: Kubernetes "Resource Management for Pods and Containers".
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from beamhall.kernel.amounts import add, pod_total
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
    overhead = {name: amount(name, text) for name, text in (spec.get("overhead") or {}).items()}
    return add((pod_total(pod, _container_requests), overhead, {PODS: 1}))


def allocatable_of(node: ReadOnlyObject) -> dict[str, int]:
    """Give what a node has for Pods; a node that says nothing has nothing."""
    status: Mapping[str, Any] = node.get("status") or {}
    resources = status.get("allocatable") or status.get("capacity") or {}
    return {name: amount(name, text) for name, text in resources.items()}


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
