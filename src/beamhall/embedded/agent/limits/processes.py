"""The processes of containers, from one look at ``/proc``: who belongs to whom, and what they have used.

A container's processes are the descendants of its shim, which adopts those whose parents died. Blocking: a look costs
some 10 µs for each process of the machine. Source: ``proc_pid_stat(5)``, Linux "/proc/PID/smaps_rollup".
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from beamhall.embedded.agent.sandbox.child import linux

_TICKS = os.sysconf("SC_CLK_TCK")
_SHARED_OUT = (b"Pss_Anon:", b"Pss_Shmem:")


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of a machine at one moment.

    Attributes:
        children: Pids by that of the parent.
        own_ticks: Processor time of each process.
        reaped_ticks: Processor time of those of its children that have ended, and theirs.
    """

    children: Mapping[int, Sequence[int]]
    own_ticks: Mapping[int, int]
    reaped_ticks: Mapping[int, int]

    def below(self, pid: int) -> Sequence[int]:
        """Give all descendants of a process, not itself."""
        found: list[int] = []
        waiting = [pid]
        while waiting:
            below = self.children.get(waiting.pop(), ())
            found += below
            waiting += below
        return found

    def cpu_s(self, shim: int, before: int = 0) -> float:
        """Give the processor time of a container in seconds, of its processes that have ended too.

        Args:
            shim: The process that keeps it.
            before: What the containers that this process kept before have used, in ticks.
        """
        ticks = max(0, self.reaped_ticks.get(shim, 0) - before)
        for pid in self.below(shim):
            ticks += self.own_ticks[pid] + self.reaped_ticks[pid]
        return ticks / _TICKS


def look() -> Processes:
    """Look at all processes that can be seen."""
    children: dict[int, list[int]] = {}
    own: dict[int, int] = {}
    reaped: dict[int, int] = {}
    for pid in linux.processes():
        fields = linux.stat_fields(pid)
        if fields:
            children.setdefault(int(fields[1]), []).append(pid)
            own[pid] = int(fields[11]) + int(fields[12])
            reaped[pid] = int(fields[13]) + int(fields[14])
    return Processes(children, own, reaped)


def rough_memory_bytes(pids: Sequence[int]) -> int:
    """Give the memory of processes, quickly, and never too little: what they share is counted for each of them."""
    return sum(_resident_bytes(pid) for pid in pids)


def memory_bytes(pids: Sequence[int]) -> int:
    """Give the memory of processes: what several share, also with others, is divided among them. Files do not count."""
    return sum(_proportional_bytes(pid) for pid in pids)


def _resident_bytes(pid: int) -> int:
    """Read resident memory that no file backs, with what is shared."""
    found = 0
    try:
        for line in linux.read_file(f"/proc/{pid}/status").splitlines():
            if line.startswith((b"RssAnon:", b"RssShmem:")):
                found += int(line.split()[1]) * 1024
    except OSError:
        pass
    return found


def _proportional_bytes(pid: int) -> int:
    try:
        lines = linux.read_file(f"/proc/{pid}/smaps_rollup").splitlines()
    except OSError:
        return _resident_bytes(pid)
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith(_SHARED_OUT)]
    return sum(found) if found else _resident_bytes(pid)
