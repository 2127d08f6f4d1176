"""Directories that look like the file systems of control groups, and the real ones where this user may use them."""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from beamhall.embedded.agent.limits.places import Place, Refused, find_place

V2_FILES = (
    "cgroup.controllers", "cgroup.events", "cgroup.kill", "cgroup.procs", "cgroup.subtree_control", "cgroup.type",
    "cpu.max", "cpu.stat", "cpu.weight", "memory.current", "memory.events", "memory.max", "memory.oom.group",
    "memory.stat", "memory.swap.max", "pids.max",
)  # fmt: skip


def v2_group(path: Path, controllers: str = "cpu memory pids", enabled: str = "", processes: str = "") -> Path:
    """Make what a group of cgroup v2 looks like; the kernel fills in the files of groups that are made in it."""
    path.mkdir(parents=True, exist_ok=True)
    for name in V2_FILES:
        (path / name).touch()
    (path / "cgroup.controllers").write_text(controllers)
    (path / "cgroup.subtree_control").write_text(enabled)
    (path / "cgroup.procs").write_text(processes)
    return path


def proc(directory: Path, mounts: Mapping[Path, str], groups: str) -> Path:
    """Make what ``/proc/self`` tells: mounts with type and options (``cgroup cpu,cpuacct``), and the own groups."""
    directory.mkdir()
    lines = []
    for number, (point, what) in enumerate(mounts.items()):
        kind, _, options = what.partition(" ")
        lines.append(f"{30 + number} 24 0:{number} / {point} rw,relatime shared:9 - {kind} {kind} rw,{options}\n")
    (directory / "mountinfo").write_text("22 28 0:20 / /proc rw - proc proc rw\n" + "".join(lines))
    (directory / "cgroup").write_text(groups)
    return directory


@pytest.fixture
def kernel(monkeypatch):
    """Fill in what the kernel does in a group of v2 that is made."""
    real = os.mkdir

    def mkdir(path, *rest, **named):
        real(path, *rest, **named)
        v2_group(Path(path))

    return lambda: monkeypatch.setattr(os, "mkdir", mkdir)


@cache
def real_place() -> Place:
    """Give where the tests may make control groups. Raises ``Refused``."""
    return find_place("beamhall-tests")


def can_limit_memory() -> bool:
    """Tell whether the tests may limit memory by control groups."""
    try:
        return "memory" in real_place().controllers
    except Refused:
        return False


needs_cgroups = pytest.mark.skipif(not can_limit_memory(), reason="this user may not make control groups")
