"""What the machine as a whole has, uses, and has left: processors, memory, disk. Blocking, but for some 50 µs.

Source: ``proc_stat(5)``, ``proc_meminfo(5)``; kubelet's eviction signals for when a node is under pressure.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from beamhall.embedded.agent.limits.usage import numbers
from beamhall.embedded.agent.sandbox.child import linux

_TICKS = os.sysconf("SC_CLK_TCK")
_KEPT_MEMORY_BYTES = 100 * 2**20
_KEPT_DISK_BYTES = 5 * 2**30
_KEPT_DISK_PART = 0.1


def busy_s() -> float:
    """Give the processor time that the machine has spent since it was started, in seconds."""
    user, nice, system, _idle, _waiting, irq, softirq, steal = map(int, _first_line("/proc/stat").split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICKS


def memory_used_bytes() -> int:
    """Give the memory that cannot be had without taking it from somebody."""
    memory = _memory()
    return memory.get("MemTotal", 0) - memory.get("MemAvailable", 0)


@dataclass(frozen=True, slots=True)
class Pressure:
    """What the machine runs out of; each a message for a person, or empty.

    Attributes:
        memory: There is less than 100 MiB.
        disk: There is less than 5 GiB, and less than a tenth, where the data directory is.
    """

    memory: str = ""
    disk: str = ""


def pressure(directory: Path) -> Pressure:
    """Look what the machine runs out of.

    Args:
        directory: On the disk that matters.
    """
    available = _memory().get("MemAvailable")
    disk = shutil.disk_usage(directory)
    is_full = disk.free < min(_KEPT_DISK_BYTES, _KEPT_DISK_PART * disk.total)
    return Pressure(
        f"{available // 2**20} MiB of memory are available"
        if available is not None and available < _KEPT_MEMORY_BYTES
        else "",
        f"{disk.free // 2**20} MiB are free on the disk of {directory}" if is_full else "",
    )


def _memory() -> Mapping[str, int]:
    """Read ``/proc/meminfo``, in bytes."""
    text = linux.read_file("/proc/meminfo").decode()
    return {name: kibibytes * 1024 for name, kibibytes in numbers(text).items()}


def _first_line(path: str) -> str:
    with Path(path).open(encoding="ascii") as file:
        return file.readline()
