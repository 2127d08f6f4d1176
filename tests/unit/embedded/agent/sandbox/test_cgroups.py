"""Containers in real control groups: joined before the program runs, removed when it has ended."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from beamhall.embedded.agent.sandbox import Cgroup, WarmStart
from beamhall.embedded.agent.sandbox.child.cgroups import Cgroups
from beamhall.embedded.agent.sandbox.exec import run_command
from tests.unit.embedded.agent.limits.conftest import needs_cgroups, real_place
from tests.unit.embedded.agent.sandbox.conftest import PYTHON, alive, text_of, until

ALLOCATE = "x = bytearray(300 << 20)"
UNIFIED = Path("/sys/fs/cgroup/unified")


@pytest.fixture
def groups(tmp_path):
    """Make control groups of this test, in each hierarchy, with files for the container's own level."""
    roots = []

    def make(name="c", **files):
        made = []
        for hierarchy in real_place().hierarchies:
            root = hierarchy.root.with_name(f"beamhall-test-{os.getpid()}-{tmp_path.name}")
            roots.append(root)
            own = {n.replace("__", "."): v for n, v in files.items() if n.replace("__", ".") in hierarchy.files}
            down = {}
            if real_place().version == 2:
                down["cgroup.subtree_control"] = " ".join(f"+{c}" for c in sorted(hierarchy.controllers))
            levels = [(root, down), (root / "pod", down), (root / "pod" / name, own)]
            events = [n for n in ("memory.events", "memory.oom_control") if n in hierarchy.files]
            made.append(Cgroup(levels, events[0] if events else ""))
        return made

    yield make
    assert [root for root in roots if root.exists()] == []


def limited(groups, **more):
    limit = str(64 << 20)
    files = {"memory__max": limit, "memory__swap__max": "0", "memory__limit_in_bytes": limit}
    return groups(**files, memory__memsw__limit_in_bytes=limit, **more)


@needs_cgroups
async def test_a_program_and_what_it_starts_are_in_the_groups_from_the_first(sandboxes, spec, groups):
    made = groups()
    sandbox = await sandboxes.launch(spec("sh", "-c", "cat /proc/self/cgroup; (sleep 60 &) ; sleep 0.1", cgroups=made))
    await until(lambda: text_of(sandbox.log_path).count("\n") > 1)
    own = [str(group.levels[-1][0]) for group in made]
    assert list(sandbox.cgroups) == own
    assert all(path.split("/beamhall-")[1] in text_of(sandbox.log_path) for path in own)
    await sandbox.wait()
    assert [path for path in own if Path(path).exists()] == []


@needs_cgroups
async def test_a_program_that_needs_too_much_memory_is_killed_for_it(sandboxes, spec, groups):
    ended = await (await sandboxes.launch(spec(PYTHON, "-c", ALLOCATE, cgroups=limited(groups)))).wait()
    assert (ended.code, ended.signal, ended.reason) == (137, signal.SIGKILL, "OOMKilled")


@needs_cgroups
async def test_a_program_that_ends_because_its_child_was_killed_for_memory_says_so(sandboxes, spec, groups):
    script = f"{PYTHON} -c '{ALLOCATE}' || exit 3"
    ended = await (await sandboxes.launch(spec("sh", "-c", script, cgroups=limited(groups)))).wait()
    assert ended.reason == "OOMKilled"
    assert ended.code in (3, 137)  # v2 kills the whole group at once


@needs_cgroups
async def test_a_program_that_goes_on_without_its_child_has_succeeded(sandboxes, spec, groups):
    script = f"{PYTHON} -c '{ALLOCATE}'; exit 0"
    ended = await (await sandboxes.launch(spec("sh", "-c", script, cgroups=limited(groups)))).wait()
    assert (ended.code, ended.reason) == (0, "Completed")


@needs_cgroups
async def test_a_warm_program_is_limited_too(sandboxes, spec, groups):
    warm = WarmStart(Path(PYTHON), ("random",), {})
    fields = {"warm": warm, "env": {"PATH": str(Path(PYTHON).parent)}}
    sandbox = await sandboxes.launch(spec("python", "-c", ALLOCATE, cgroups=limited(groups), **fields))
    assert sandbox.warm
    assert (await sandbox.wait()).reason == "OOMKilled"


@needs_cgroups
async def test_a_command_in_a_container_is_in_its_groups(sandboxes, spec, groups):
    made = groups()
    sandbox = await sandboxes.launch(spec("sleep", "60", cgroups=made))
    result = await run_command(sandboxes, sandbox, ["cat", "/proc/self/cgroup"], timeout_s=20)
    assert str(made[0].levels[-1][0]).split("/beamhall-")[1] in result.output.decode()
    await sandbox.kill(0)


@needs_cgroups
async def test_groups_shared_with_another_container_stay_until_the_last_has_ended(sandboxes, spec, groups):
    first = await sandboxes.launch(spec("sleep", "60", cgroups=groups("a")))
    second = await sandboxes.launch(spec("sleep", "60", cgroups=groups("b")))
    await first.kill(0)
    pods = [Path(path).parent for path in second.cgroups]
    assert all(pod.exists() for pod in pods)
    await second.kill(0)
    assert not any(pod.exists() for pod in pods)


@needs_cgroups
async def test_whoever_is_in_the_groups_of_a_dead_shim_is_killed(sandboxes, spec, groups, tmp_path):
    escape = (
        "import os, sys, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        f"    os.execve({PYTHON!r}, [{PYTHON!r}, '-c', 'import time; time.sleep(600)'], {{}})\n"
        f"open({str(tmp_path / 'there')!r}, 'w').close(); time.sleep(600)\n"
    )
    made = groups()
    sandbox = await sandboxes.launch(spec(PYTHON, "-c", escape, cgroups=made))
    await until((tmp_path / "there").exists)
    procs = made[0].levels[-1][0] / "cgroup.procs"
    await until(lambda: len(procs.read_text().split()) == 2)
    members = [int(pid) for pid in procs.read_text().split()]
    os.kill(sandbox.shim_pid, signal.SIGKILL)
    assert (await sandbox.wait()).reason == "Vanished"
    assert not any(alive(pid) for pid in members)


@needs_cgroups
async def test_an_adopted_container_keeps_its_groups(sandboxes, spec, groups):
    fields = spec("sleep", "60", cgroups=groups())
    sandbox = await sandboxes.launch(fields)
    found = await sandboxes.adopt(fields.directory)
    assert found is not None
    assert list(found.cgroups) == list(sandbox.cgroups) != []
    await found.kill(0)


async def test_groups_that_cannot_be_made_are_missed_and_that_is_told(sandboxes, spec, tmp_path):
    nowhere = Cgroup([(tmp_path / "no" / "such", {}), (tmp_path / "no" / "such" / "own", {})])
    sandbox = await sandboxes.launch(spec("true", cgroups=[nowhere]))
    assert "No such file or directory" in sandbox.unlimited
    assert list(sandbox.cgroups) == []
    assert (await sandbox.wait()).code == 0


async def test_the_service_can_say_that_a_container_had_too_much_memory(sandboxes, spec):
    sandbox = await sandboxes.launch(spec("sleep", "60"))
    sandbox.kill_out_of_memory()
    async with asyncio.timeout(20):
        ended = await sandbox.wait()
    assert (ended.code, ended.reason) == (137, "OOMKilled")


@pytest.mark.skipif(not os.access(UNIFIED / "cgroup.procs", os.W_OK), reason="no cgroup v2 beside v1 here")
async def test_v2_groups_are_joined_and_left_as_well(sandboxes, spec):
    root = UNIFIED / f"beamhall-test-{os.getpid()}"
    group = Cgroup([(root, {}), (root / "pod", {}), (root / "pod" / "c", {"cgroup.max.depth": "3"})], "memory.events")
    sandbox = await sandboxes.launch(spec("sh", "-c", "cat /proc/self/cgroup; sleep 60", cgroups=[group]))
    await until(lambda: "0::" in text_of(sandbox.log_path))
    assert f"0::/{root.name}/pod/c\n" in text_of(sandbox.log_path)
    assert (root / "pod" / "c" / "cgroup.max.depth").read_text() == "3\n"
    (root / "pod" / "c" / "cgroup.kill").write_text("1")
    async with asyncio.timeout(20):
        assert (await sandbox.wait()).code == 137
    assert not root.exists()


def test_the_counter_of_kills_is_read_as_each_version_writes_it(tmp_path):
    def has_run_out(events, text):
        (tmp_path / events).write_text(text)
        return Cgroups([{"levels": [[str(tmp_path), {}]], "events": events}]).has_run_out_of_memory()

    assert has_run_out("memory.events", "low 0\nhigh 0\nmax 7\noom 3\noom_kill 1\noom_group_kill 1\n")
    assert not has_run_out("memory.events", "low 0\nhigh 0\nmax 7\noom 3\noom_kill 0\noom_group_kill 0\n")
    assert has_run_out("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    assert not has_run_out("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n")
    assert not Cgroups([{"levels": [[str(tmp_path), {}]], "events": ""}]).has_run_out_of_memory()
