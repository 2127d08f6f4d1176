"""What the machine runs out of, and what is set around the service."""

import shutil
from collections import namedtuple

import pytest

from beamhall.embedded.agent.limits import machine
from beamhall.embedded.agent.limits.bounds import Bounds, bounds_of
from beamhall.embedded.agent.limits.places import Hierarchy, Place
from beamhall.embedded.agent.limits.processes import Processes
from beamhall.embedded.agent.limits.usage import cgroup_cpu_s, cgroup_memory_bytes
from beamhall.embedded.agent.sandbox.child import linux
from tests.unit.embedded.agent.limits.conftest import proc

GIB = 2**30
Disk = namedtuple("Disk", "total used free")


@pytest.mark.parametrize(
    ("total", "free", "is_full"),
    [(1000 * GIB, 6 * GIB, False), (1000 * GIB, 4 * GIB, True), (20 * GIB, 3 * GIB, False), (20 * GIB, GIB, True)],
)
def test_a_disk_is_full_below_5_gib_and_a_tenth(tmp_path, monkeypatch, total, free, is_full):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(total, total - free, free))
    said = machine.pressure(tmp_path).disk
    assert said == (f"{free // 2**20} MiB are free on the disk of {tmp_path}" if is_full else "")


@pytest.mark.parametrize(("kib", "said"), [(101 * 1024, ""), (99 * 1024, "99 MiB of memory are available")])
def test_memory_is_short_below_100_mib(tmp_path, monkeypatch, kib, said):
    text = f"MemTotal:       24683656 kB\nMemFree:  5 kB\nMemAvailable:   {kib} kB\nHugePages_Total:       0\n"
    monkeypatch.setattr(linux, "read_file", lambda _: text.encode())
    assert machine.pressure(tmp_path).memory == said


def test_this_machine_uses_something():
    assert machine.busy_s() > 0
    assert machine.memory_used_bytes() > 10 * 2**20


def test_bounds_around_a_place_of_v2_are_the_narrowest_up_to_the_top(tmp_path):
    unit = tmp_path / "a.slice" / "b.service"
    unit.mkdir(parents=True)
    for group, memory, cpu in ((tmp_path / "a.slice", "max", "150000 100000"), (unit, str(4 * GIB), "max 100000")):
        (group / "cgroup.procs").touch()
        (group / "memory.max").write_text(memory + "\n")
        (group / "cpu.max").write_text(cpu + "\n")
    place = Place(2, [Hierarchy(unit / "beamhall-x", frozenset({"cpu"}), frozenset())])
    assert bounds_of(place) == Bounds(1.5, 4 * GIB)


def test_bounds_around_this_process_on_v1(tmp_path):
    for controller, files in (
        ("memory", {"memory.limit_in_bytes": "1000"}),
        ("cpu", {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}),
    ):
        group = tmp_path / controller / "own"
        group.mkdir(parents=True)
        for name, value in {**files, "cgroup.procs": ""}.items():
            (group / name).write_text(value)
    mounts = {tmp_path / "memory": "cgroup memory", tmp_path / "cpu": "cgroup cpu"}
    where = proc(tmp_path / "proc", mounts, "2:memory:/own\n1:cpu:/own\n")
    assert bounds_of(None, proc=where) == Bounds(None, 1000)
    (tmp_path / "cpu" / "own" / "cpu.cfs_quota_us").write_text("250000")
    assert bounds_of(None, proc=where) == Bounds(2.5, 1000)


def group(directory, **files):
    directory.mkdir()
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)
    return str(directory)


def test_usage_of_groups_of_v2(tmp_path):
    stat = "anon 5\ninactive_file 300\nactive_file 1\n"
    made = group(
        tmp_path / "c", cpu__stat="usage_usec 2500000\nuser_usec 1\n", memory__current="1000\n", memory__stat=stat
    )
    assert cgroup_cpu_s([made]) == 2.5
    assert cgroup_memory_bytes([made]) == 700


def test_usage_of_groups_of_v1(tmp_path):
    memory = group(tmp_path / "m", memory__usage_in_bytes="1000\n", memory__stat="cache 9\ntotal_inactive_file 300\n")
    cpu = group(tmp_path / "c", cpu__stat="nr_periods 4\n", cpuacct__usage="1500000000\n")
    assert cgroup_cpu_s([memory, cpu]) == 1.5
    assert cgroup_memory_bytes([memory, cpu]) == 700
    assert (cgroup_cpu_s([memory]), cgroup_memory_bytes([cpu])) == (None, None)


def test_a_containers_processes_are_the_descendants_of_its_shim():
    children = {1: [10, 20], 10: [11], 11: [12, 13]}
    processes = Processes(children, {11: 100, 12: 50, 13: 25, 20: 9}, dict.fromkeys(range(30), 1))
    assert sorted(processes.below(10)) == [11, 12, 13]
    assert processes.below(99) == []
    ticks = 1 + (100 + 1) + (50 + 1) + (25 + 1)
    assert processes.cpu_s(10) * 100 == pytest.approx(ticks)
