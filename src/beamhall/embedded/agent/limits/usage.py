"""What a container has used so far: read from its control groups, or from ``/proc`` where it has none. Blocking.

Source: Kubernetes' "working set", which is memory in use less the pages of files that were not used lately.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from beamhall.embedded.agent.limits.processes import Processes, memory_bytes
from beamhall.embedded.agent.sandbox import Sandbox
from beamhall.embedded.agent.sandbox.child import linux


@dataclass(frozen=True, slots=True)
class Reading:
    """What a container had used at one moment.

    Attributes:
        cpu_s: Processor time since it started, in seconds.
        memory_bytes: Memory that it holds and that cannot be taken from it at once.
    """

    cpu_s: float
    memory_bytes: int


def read_usage(sandbox: Sandbox, processes: Callable[[], Processes]) -> Reading:
    """Read what a running container uses.

    Args:
        sandbox: The container.
        processes: Gives the machine's processes, where they must be looked at.
    """
    cpu_s = cgroup_cpu_s(sandbox.cgroups)
    memory = cgroup_memory_bytes(sandbox.cgroups)
    if cpu_s is None:
        cpu_s = processes().cpu_s(sandbox.shim_pid, sandbox.cpu_ticks_before)
    if memory is None:
        memory = memory_bytes(processes().below(sandbox.shim_pid))
    return Reading(cpu_s, memory)


def cgroup_cpu_s(groups: Sequence[str]) -> float | None:
    """Read processor time in seconds from control groups; None if they do not count it."""
    for group in groups:
        if (text := _text(group, "cpuacct.usage")).strip().isdigit():
            return int(text) / 1e9
        if used := numbers(_text(group, "cpu.stat")).get("usage_usec"):
            return used / 1e6
    return None


def cgroup_memory_bytes(groups: Sequence[str]) -> int | None:
    """Read the working set in bytes from control groups; None if they do not count it."""
    for group in groups:
        for name, unused in (("memory.current", "inactive_file"), ("memory.usage_in_bytes", "total_inactive_file")):
            if (text := _text(group, name)).strip().isdigit():
                return max(0, int(text) - numbers(_text(group, "memory.stat")).get(unused, 0))
    return None


def numbers(text: str) -> Mapping[str, int]:
    """Read lines of a name and a number."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0].rstrip(":"): int(pair[1]) for pair in pairs if len(pair) > 1 and pair[1].isdigit()}


def _text(group: str, name: str) -> str:
    try:
        return linux.read_file(f"{group}/{name}").decode()
    except OSError:
        return ""
