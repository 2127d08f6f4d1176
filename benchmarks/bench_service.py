"""The service itself: start on an existing data directory, and rest."""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.figures import figure
from tests.service import ServiceProcess

RUNS = 7
REST_S = 20.0


def measure() -> Iterator[dict[str, Any]]:
    """Measure start, memory and processor time at rest. Memory counts the service with all its helper processes."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as directory:
        service = ServiceProcess(Path(directory) / "data", "--stop-pods")
        service.data.mkdir()
        service.start()
        service.stop()
        yield figure("up_to_ready", "s", [_start(service) for _ in range(RUNS)], at_most=1.5)
        service.start()
        try:
            time.sleep(5)
            assert service.process is not None
            pids = _family(service.process.pid)
            before, started = _cpu_s(pids), time.monotonic()
            time.sleep(REST_S)
            used = 100 * (_cpu_s(pids) - before) / (time.monotonic() - started)
            yield figure("idle_memory", "MiB", [sum(map(_pss_mib, pids))], at_most=180)
            yield figure("idle_cpu", "% of a core", [used], at_most=1)
        finally:
            service.stop()


def _start(service: ServiceProcess) -> float:
    started = time.perf_counter()
    service.start()
    taken = time.perf_counter() - started
    service.stop()
    return taken


def _family(pid: int) -> list[int]:
    found = [pid]
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it ended meanwhile
            if entry.name.isdecimal() and _parent(entry) == pid:
                found += _family(int(entry.name))
    return found


def _parent(entry: Path) -> int:
    return int((entry / "stat").read_text().rpartition(")")[2].split()[1])


def _pss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _cpu_s(pids: list[int]) -> float:
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
