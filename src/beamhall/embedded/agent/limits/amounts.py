"""From the resources of containers to what control groups are told: shares, quotas, bytes. Pure.

Source: Kubernetes ``pkg/kubelet/cm/helpers_linux.go`` (shares, quota), KEP-2254 (weights of cgroup v2).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from beamhall.embedded.agent.facts import containers, init_containers, is_sidecar
from beamhall.kernel.objects import ReadOnlyObject
from beamhall.kernel.quantities import parse_quantity

PERIOD_US = 100_000
_MIN_QUOTA_US = 1000
_MIN_SHARES, _MAX_SHARES = 2, 262_144
_UNASKED_SHARES = 102
"""Of who asks for memory but for no processor: a tenth of a processor's, as Pods that ask for nothing weigh here. With
the 2 that a kubelet gives they would starve on a busy machine."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """What one container may use.

    Attributes:
        cpus: Processors' worth of time; None: no limit.
        memory_bytes: Memory; None: no limit.
        shares: Weight against others when processors are busy, 1024 for each processor that was requested.
    """

    cpus: float | None
    memory_bytes: int | None
    shares: int

    @property
    def quota_us(self) -> int | None:
        """Time on processors in each period of ``PERIOD_US``, in microseconds; None: no limit."""
        return None if self.cpus is None else max(_MIN_QUOTA_US, math.ceil(self.cpus * PERIOD_US))


def amounts_of(container: Mapping[str, Any]) -> Amounts:
    """Read what a container may use."""
    limits = (container.get("resources") or {}).get("limits") or {}
    cpu, memory = limits.get("cpu"), limits.get("memory")
    return Amounts(
        cpus=float(parse_quantity(str(cpu))) or None if cpu is not None else None,
        memory_bytes=math.floor(parse_quantity(str(memory))) or None if memory is not None else None,
        shares=shares_of(_requested_cpus(container)),
    )


def asks_for_nothing(pod: ReadOnlyObject) -> bool:
    """Tell whether no container of a Pod asks for processors or memory, nor is limited in them (``BestEffort``)."""
    for container in (*containers(pod), *init_containers(pod)):
        resources = container.get("resources") or {}
        for part in ("requests", "limits"):
            if {"cpu", "memory"} & (resources.get(part) or {}).keys():
                return False
    return True


def pod_shares(pod: ReadOnlyObject) -> int:
    """Give the weight of a Pod: of all containers that run together, or of its largest init container."""
    inits = init_containers(pod)
    together = sum(_requested_cpus(c) for c in (*containers(pod), *filter(is_sidecar, inits)))
    return shares_of(max([together, *(_requested_cpus(c) for c in inits)]))


def shares_of(cpus: float) -> int:
    """Give the weight of so many processors, as cgroup v1 counts: 2 to 262144; that of none is a tenth of one's."""
    if not cpus:
        return _UNASKED_SHARES
    return min(_MAX_SHARES, max(_MIN_SHARES, int(cpus * 1024)))


def weight_of(shares: int) -> int:
    """Give the weight as cgroup v2 counts: 1 to 10000."""
    return 1 + (shares - _MIN_SHARES) * 9999 // (_MAX_SHARES - _MIN_SHARES)


def _requested_cpus(container: Mapping[str, Any]) -> float:
    resources = container.get("resources") or {}
    asked = (resources.get("requests") or {}).get("cpu", (resources.get("limits") or {}).get("cpu"))
    return float(parse_quantity(str(asked or "0")))
