"""The control groups of a container: which directories, and what is written to their files. Pure.

    <root>/<uid of the Pod>/<container>.<run>

Source: Linux "Control Group v2" and "Memory Resource Controller" (v1); KEP-2254 for what a kubelet writes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from beamhall.embedded.agent.limits.amounts import (
    PERIOD_US,
    Amounts,
    amounts_of,
    asks_for_nothing,
    pod_shares,
    shares_of,
    weight_of,
)
from beamhall.embedded.agent.limits.places import CONTROL, Hierarchy, Place, enabling
from beamhall.embedded.agent.sandbox import Cgroup
from beamhall.kernel.objects import ReadOnlyObject, uid_of

Files = dict[str, str]

NICENESS = 10
"""Of the programs of Pods that ask for nothing: each weighs a tenth of what others do. They do not starve on a machine
that is busy otherwise, as they would with the 2 shares that a kubelet gives."""


def groups_of(
    place: Place, pod: ReadOnlyObject, container: Mapping[str, Any], run: int, *, cpus: float, max_pids: int
) -> Sequence[Cgroup]:
    """Give the control groups of one run of a container; none in a hierarchy where nothing is limited or weighed.

    Entering a group takes the kernel some 10 ms, however little is in it, so a Pod that asks for nothing has none: it
    is weighed by ``NICENESS`` instead, which costs nothing.

    Args:
        place: Where they are made.
        pod: The object.
        container: One of its containers.
        run: Which run of it.
        cpus: Processors' worth of time that all Pods together may use.
        max_pids: Processes and threads that the Pod may have; 0: no limit.
    """
    if asks_for_nothing(pod) and not max_pids:
        return ()
    amounts = amounts_of(container)
    shares = pod_shares(pod)
    write = _unified_files if place.version == 2 else _legacy_files
    made = []
    for hierarchy in place.hierarchies:
        root = hierarchy.root
        own = root / uid_of(pod) / f"{container['name']}.{run}"
        every = write(hierarchy, amounts, shares, cpus)
        if max_pids:
            every[1]["pids.max"] = str(max_pids)
        root_files, pod_files, own_files = (_existing(files, hierarchy) for files in every)
        levels = [(root, root_files), (own.parent, pod_files), (own, own_files)]
        if pod_files or own_files:
            made.append(Cgroup(levels, _events(hierarchy)))
    return made


def _events(hierarchy: Hierarchy) -> str:
    return next((name for name in ("memory.events", "memory.oom_control") if name in hierarchy.files), "")


def _existing(files: Files, hierarchy: Hierarchy) -> Files:
    return {name: value for name, value in files.items() if name in hierarchy.files}


def _legacy_files(_: Hierarchy, amounts: Amounts, shares: int, cpus: float) -> tuple[Files, Files, Files]:
    """Give the files of the root, the Pod, and the container, for v1."""
    own = {"cpu.shares": str(amounts.shares)}
    if amounts.cpus is not None and amounts.cpus <= cpus:  # v1 refuses more than a group around it may use
        own |= {"cpu.cfs_period_us": str(PERIOD_US), "cpu.cfs_quota_us": str(amounts.quota_us)}
    if amounts.memory_bytes is not None:
        limit = str(amounts.memory_bytes)
        own |= {"memory.limit_in_bytes": limit, "memory.memsw.limit_in_bytes": limit}  # no swap beyond it
    # All Pods together weigh as much as the machine has processors: at the top, each other process weighs 1024.
    return {"cpu.shares": str(shares_of(cpus))}, {"cpu.shares": str(shares)}, own


def _unified_files(hierarchy: Hierarchy, amounts: Amounts, shares: int, _: float) -> tuple[Files, Files, Files]:
    """Give the files of the root, the Pod, and the container, for v2."""
    passing_on = {CONTROL: enabling(hierarchy.controllers)}
    own = {"cpu.weight": str(weight_of(amounts.shares))}
    if amounts.quota_us is not None:
        own["cpu.max"] = f"{amounts.quota_us} {PERIOD_US}"
    if amounts.memory_bytes is not None:
        own |= {"memory.max": str(amounts.memory_bytes), "memory.swap.max": "0", "memory.oom.group": "1"}
    return passing_on, {**passing_on, "cpu.weight": str(weight_of(shares))}, own
