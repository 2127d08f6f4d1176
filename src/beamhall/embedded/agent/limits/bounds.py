"""What the control groups around the Pods let all of them together use: limits of a container or unit, if it has any.

Source: Linux "Control Group v2" (``cpu.max``, ``memory.max``); for v1 ``cpu.cfs_quota_us``, ``memory.limit_in_bytes``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from beamhall.embedded.agent.limits.places import PROCESSES, Place, mounts_of, own_groups


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may be used.

    Attributes:
        cpus: Processors' worth of time; None: all.
        memory_bytes: Memory; None: all.
    """

    cpus: float | None = None
    memory_bytes: int | None = None


def bounds_of(place: Place | None, *, proc: Path = Path("/proc/self")) -> Bounds:
    """Read the bounds around the groups of a place, or around this process where there is none. Blocking."""
    directories = [h.root.parent for h in place.hierarchies] if place is not None else list(_own(proc))
    cpus: list[float] = []
    memory: list[int] = []
    for group in (group for directory in directories for group in (directory, *directory.parents)):
        if (group / PROCESSES).exists():
            cpus += _cpus(group)
            memory += _numbers(group / "memory.max") + _numbers(group / "memory.limit_in_bytes")
    return Bounds(min(cpus, default=None), min(memory, default=None))


def _own(proc: Path) -> Iterator[Path]:
    groups = own_groups(proc)
    for mount in mounts_of(proc):
        controllers = [""] if mount.fstype == "cgroup2" else [c for c in groups if c in mount.options]
        yield from {mount.path_of(groups[controller]) for controller in controllers if controller in groups}


def _cpus(directory: Path) -> list[float]:
    numbers = _numbers(directory / "cpu.max")
    if not numbers:
        numbers = _numbers(directory / "cpu.cfs_quota_us") + _numbers(directory / "cpu.cfs_period_us")
    return [numbers[0] / numbers[1]] if len(numbers) == 2 and numbers[1] else []


def _numbers(path: Path) -> list[int]:
    """Read the numbers of a file; what says that there is no limit, or no file, gives none."""
    try:
        words = path.read_text(encoding="ascii").split()
    except OSError:
        return []
    return [int(word) for word in words if word.isdigit()] if "max" not in words else []
