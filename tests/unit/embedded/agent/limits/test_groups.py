"""What is written to the files of a container's control groups."""

from pathlib import Path

import pytest

from beamhall.embedded.agent.limits.groups import groups_of
from beamhall.embedded.agent.limits.places import Hierarchy, Place
from beamhall.embedded.agent.sandbox.child.cgroups import Cgroups
from tests.unit.embedded.agent.limits.conftest import V2_FILES

V2 = Place(2, [Hierarchy(Path("/cg/b"), frozenset({"cpu", "memory", "pids"}), frozenset(V2_FILES))])
V1 = Place(
    1,
    [
        Hierarchy(Path("/m/b"), frozenset({"memory"}), frozenset({"memory.limit_in_bytes", "memory.oom_control"})),
        Hierarchy(Path("/c/b"), frozenset({"cpu"}), frozenset({"cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us"})),
        Hierarchy(Path("/p/b"), frozenset({"pids"}), frozenset({"pids.max"})),
    ],
)
CONTAINER = {"name": "main", "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "250m"}}}
OPEN = {"name": "main"}
ASKING = {"name": "main", "resources": {"requests": {"memory": "1Mi"}}}


def written(place, container, **options):
    pod = {"metadata": {"uid": "u"}, "spec": {"containers": [container]}}
    groups = groups_of(place, pod, container, 3, **{"cpus": 4, "max_pids": 0} | options)
    return [({str(path): files for path, files in group.levels}, group.events) for group in groups]


def test_v2_limits_and_weights_are_written_and_control_is_passed_on():
    on = {"cgroup.subtree_control": "+cpu +memory +pids"}
    assert written(V2, CONTAINER) == [
        (
            {
                "/cg/b": on,
                "/cg/b/u": on | {"cpu.weight": "10"},
                "/cg/b/u/main.3": {
                    "cpu.weight": "10",
                    "cpu.max": "50000 100000",
                    "memory.max": "67108864",
                    "memory.swap.max": "0",
                    "memory.oom.group": "1",
                },
            },
            "memory.events",
        )
    ]


def test_v1_limits_and_shares_go_to_their_own_hierarchies():
    limit = {"memory.limit_in_bytes": "67108864"}  # a machine without accounting of swap has no memory.memsw files
    quota = {"cpu.shares": "256", "cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000"}
    assert written(V1, CONTAINER) == [
        ({"/m/b": {}, "/m/b/u": {}, "/m/b/u/main.3": limit}, "memory.oom_control"),
        ({"/c/b": {"cpu.shares": "4096"}, "/c/b/u": {"cpu.shares": "256"}, "/c/b/u/main.3": quota}, ""),
    ]


def test_v1_a_limit_that_is_more_than_all_may_use_is_no_limit():
    (_, (levels, _)) = written(V1, CONTAINER, cpus=0.25)
    assert levels["/c/b/u/main.3"] == {"cpu.shares": "256"}


@pytest.mark.parametrize("place", [V1, V2])
def test_without_limits_there_are_only_weights(place):
    (group,) = written(place, ASKING)  # and where nothing is weighed either, there is no group
    assert list(group[0].values())[-1] == ({"cpu.shares": "102"} if place is V1 else {"cpu.weight": "4"})


@pytest.mark.parametrize("place", [V1, V2])
def test_a_pod_that_asks_for_nothing_has_no_group(place):
    assert list(written(place, OPEN)) == []


@pytest.mark.parametrize(("place", "pod"), [(V1, "/p/b/u"), (V2, "/cg/b/u")])
def test_the_number_of_processes_is_limited_for_the_whole_pod(place, pod):
    levels = {path: files for levels, _ in written(place, OPEN, max_pids=99) for path, files in levels.items()}
    assert {path for path, files in levels.items() if files.get("pids.max")} == {pod}
    assert levels[pod]["pids.max"] == "99"


def test_v2_the_shim_makes_the_levels_and_writes_them_in_an_order_that_the_kernel_takes(tmp_path, kernel):
    hierarchy = Hierarchy(tmp_path / "b", frozenset({"cpu", "memory", "pids"}), frozenset(V2_FILES))
    pod = {"metadata": {"uid": "u"}, "spec": {"containers": [CONTAINER]}}
    groups = groups_of(Place(2, [hierarchy]), pod, CONTAINER, 0, cpus=4, max_pids=50)
    kernel()
    made = Cgroups([{"levels": [(str(p), dict(f)) for p, f in g.levels], "events": g.events} for g in groups])
    made.make()
    made.join()
    assert made.problem == ""
    own = tmp_path / "b" / "u" / "main.0"
    assert made.levels == [[str(tmp_path / "b"), str(own.parent), str(own)]]

    def text(path):
        return (tmp_path / "b" / path).read_text()

    assert text("cgroup.subtree_control") == text("u/cgroup.subtree_control") == "+cpu +memory +pids"
    assert text("u/pids.max") == "50"
    wanted = {"cpu.max": "50000 100000", "memory.max": "67108864", "memory.swap.max": "0", "cgroup.procs": "0"}
    assert {name: text(f"u/main.0/{name}") for name in wanted} == wanted


def test_what_the_kernel_refuses_is_told_with_the_file(tmp_path, kernel):
    kernel()
    made = Cgroups([{"levels": [(str(tmp_path / "b"), {"memory.most": "1"})], "events": ""}])
    made.make()
    assert made.problem == f"{tmp_path / 'b' / 'memory.most'}: No such file or directory"
