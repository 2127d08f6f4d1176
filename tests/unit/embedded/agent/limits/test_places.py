"""Where control groups may be made, on directories that look like each kind of machine, and on this one."""

import os
from pathlib import Path

import pytest

from beamhall.embedded.agent.limits.places import Refused, find_place, name_of_root, sweep
from tests.unit.embedded.agent.limits.conftest import needs_cgroups, proc, real_place, v2_group

NAME = "beamhall-x"


@pytest.fixture
def delegate(monkeypatch):
    """Mark directories as delegated, which a temporary directory may not let a test do for real."""
    marked: set[Path] = set()
    monkeypatch.setattr(os, "getxattr", lambda path, _: b"1" if path in marked else b"")
    return marked.add


def v2_proc(tmp_path, top, own):
    return proc(tmp_path / "proc", {top: "cgroup2 nsdelegate"}, f"0::{own}\n")


def test_v2_root_uses_the_top_and_enables_what_is_missing_there(tmp_path, kernel):
    top = v2_group(tmp_path / "cgroup", enabled="memory")
    (top / "cgroup.type").unlink()  # only the real top has none
    v2_group(top / "user.slice" / "session-1.scope", processes="1 2 3")
    where = v2_proc(tmp_path, top, "/user.slice/session-1.scope")
    kernel()
    place = find_place(NAME, proc=where, is_root=True)
    assert place.version == 2
    assert place.controllers == {"cpu", "memory", "pids"}
    (hierarchy,) = place.hierarchies
    assert hierarchy.root == top / NAME
    assert "memory.max" in hierarchy.files
    assert (top / "cgroup.subtree_control").read_text() == "+cpu +pids"


def test_v2_a_delegated_scope_of_ones_own_is_used_and_left_for_a_leaf(tmp_path, kernel, delegate):
    top = v2_group(tmp_path / "cgroup", enabled="cpu memory pids")
    scope = v2_group(top / "run.scope", processes=str(os.getpid()))
    delegate(scope)
    kernel()
    place = find_place(NAME, proc=v2_proc(tmp_path, top, "/run.scope"), is_root=False)
    assert place.hierarchies[0].root == scope / NAME
    assert (scope / f"{NAME}-service" / "cgroup.procs").read_text() == str(os.getpid())
    assert (scope / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"


def test_v2_the_session_of_a_user_is_used_from_a_terminal_in_it(tmp_path, kernel, delegate):
    top = v2_group(tmp_path / "cgroup", enabled="cpu memory pids")
    session = v2_group(top / "user@1.service", enabled="cpu memory pids")
    v2_group(session / "terminal.scope", processes=f"7 {os.getpid()}")
    delegate(session)
    kernel()
    place = find_place(NAME, proc=v2_proc(tmp_path, top, "/user@1.service/terminal.scope"), is_root=False)
    assert place.hierarchies[0].root == session / NAME
    assert not (session / f"{NAME}-service").exists()


@pytest.mark.parametrize(
    ("controllers", "processes", "why"),
    [
        ("io", "", "neither cpu nor memory is delegated to"),
        ("cpu memory", "4711", "other processes (4711) are in"),
    ],
)
def test_v2_a_refusal_says_why_and_what_would_help(tmp_path, controllers, processes, why):
    top = v2_group(tmp_path / "cgroup")
    own = v2_group(top / "a.scope", controllers, processes=f"{processes} {os.getpid()}")
    with pytest.raises(Refused) as refused:
        find_place(NAME, proc=v2_proc(tmp_path, top, "/a.scope"), is_root=False)
    assert why in str(refused.value)
    assert "systemd-run --user --scope -p Delegate=yes beamhall up" in str(refused.value)
    assert sorted(p.name for p in own.iterdir() if p.is_dir()) == []


def v1(tmp_path, **groups):
    """Make v1 hierarchies, cpu and cpuacct mounted together, and a v2 that controls nothing."""
    points = {tmp_path / name: f"cgroup {name.replace('_', ',')}" for name in ("memory", "cpu_cpuacct")}
    for point in points:
        point.mkdir()
    unified = v2_group(tmp_path / "unified", controllers="")
    told = "".join(f"{n}:{name}:{path}\n" for n, (name, path) in enumerate(groups.items(), 1))
    return proc(tmp_path / "proc", {unified: "cgroup2", **points}, told.replace("cpu_", "cpu,") + "0::/\n")


def test_v1_root_uses_the_top_of_each_hierarchy_once(tmp_path):
    place = find_place(NAME, proc=v1(tmp_path, memory="/a", cpu_cpuacct="/b"), is_root=True)
    assert place.version == 1
    assert [h.root for h in place.hierarchies] == [tmp_path / "memory" / NAME, tmp_path / "cpu_cpuacct" / NAME]
    assert [h.controllers for h in place.hierarchies] == [{"memory"}, {"cpu", "cpuacct"}]
    assert not (tmp_path / "memory" / NAME).exists()  # only tried


def test_v1_another_user_uses_the_group_that_it_is_in(tmp_path):
    where = v1(tmp_path, memory="/a", cpu_cpuacct="/b")
    (tmp_path / "memory" / "a").mkdir()
    place = find_place(NAME, proc=where, is_root=False)
    assert [h.root for h in place.hierarchies] == [tmp_path / "memory" / "a" / NAME]  # and no /b is there
    assert place.controllers == {"memory"}


def test_v1_nothing_that_can_be_made_is_a_refusal(tmp_path):
    with pytest.raises(Refused, match=r"memory/a/beamhall-x: No such file or directory.*run as root"):
        find_place(NAME, proc=v1(tmp_path, memory="/a", cpu_cpuacct="/b"), is_root=False)


def test_no_mounts_at_all(tmp_path):
    with pytest.raises(Refused, match="no control groups"):
        find_place(NAME, proc=proc(tmp_path / "proc", {}, "0::/\n"), is_root=True)


def test_services_on_different_data_have_different_names(tmp_path):
    assert name_of_root(tmp_path / "a") != name_of_root(tmp_path / "b")
    assert name_of_root(tmp_path).startswith("beamhall-")


@needs_cgroups
def test_sweeping_removes_what_is_empty_and_only_that():
    place = real_place()
    roots = [hierarchy.root for hierarchy in place.hierarchies]
    try:
        for root in roots:
            (root / "dead" / "main.0").mkdir(parents=True)
        (roots[0] / "alive" / "main.0").mkdir(parents=True)
        pid = os.fork()
        if pid == 0:
            (roots[0] / "alive" / "main.0" / "cgroup.procs").write_text("0")
            os.execvp("sleep", ["sleep", "60"])
        while str(pid) not in (roots[0] / "alive" / "main.0" / "cgroup.procs").read_text():
            assert os.waitpid(pid, os.WNOHANG) == (0, 0)
        sweep(place)
        assert [root.exists() for root in roots] == [True] + [False] * (len(roots) - 1)
        assert [p.name for p in roots[0].iterdir() if p.is_dir()] == ["alive"]
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    finally:
        sweep(place)
    assert not roots[0].exists()
