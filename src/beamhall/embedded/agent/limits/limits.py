"""Limits and usage as the agent has them: made once for a node, asked for each container.

Next: ``places`` and ``groups`` for what is enforced, ``watching`` for what is not.
"""

import asyncio
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from beamhall.embedded.agent.events import EventRecorder
from beamhall.embedded.agent.limits.amounts import asks_for_nothing
from beamhall.embedded.agent.limits.bounds import bounds_of
from beamhall.embedded.agent.limits.groups import NICENESS, groups_of
from beamhall.embedded.agent.limits.metering import Metering
from beamhall.embedded.agent.limits.places import Place, Refused, find_place, name_of_root, sweep
from beamhall.embedded.agent.limits.running import Everything
from beamhall.embedded.agent.limits.watching import MemoryWatch
from beamhall.embedded.agent.sandbox import Cgroup, Exit
from beamhall.kernel.objects import ReadOnlyObject

_log = structlog.get_logger(__name__)


class Limits:
    """What containers of this node may use, and how that is kept.

    Attributes:
        place: Where control groups are made; None: limits of memory are watched, those of processors are not kept.
        bounds: What all Pods together may use.

    Args:
        place: As the attribute.
        max_pids: Processes and threads that a Pod may have, where control groups permit that; 0: no limit.
        everything: Gives the containers that run.
        metering: Is told of new containers too.
    """

    def __init__(self, place: Place | None, max_pids: int, everything: Everything, metering: Metering) -> None:
        self.place = place
        self._max_pids = max_pids
        self._metering = metering
        self.bounds = bounds_of(place)
        self._cpus = min(len(os.sched_getaffinity(0)), self.bounds.cpus or math.inf)
        self._watch = MemoryWatch(everything, is_enforced=place is not None and "memory" in place.controllers)

    def groups_of(self, pod: ReadOnlyObject, container: Mapping[str, Any], run: int) -> Sequence[Cgroup]:
        """Give the control groups that a run of a container is to be in."""
        if self.place is None:
            return ()
        return groups_of(self.place, pod, container, run, cpus=self._cpus, max_pids=self._max_pids)

    def niceness_of(self, pod: ReadOnlyObject) -> int:
        """Give how far the programs of a Pod stand back, where others are weighed by what they ask for."""
        return NICENESS if self.place is not None and asks_for_nothing(pod) else 0

    def notice(self, container: Mapping[str, Any]) -> None:
        """Take in that a container was started or adopted."""
        self._watch.notice(container)
        self._metering.notice()

    async def run(self) -> None:
        """Keep what control groups do not keep, and meter usage, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch.run())
            tasks.create_task(self._metering.run())


async def take_place(data: Path, *, is_wanted: bool) -> Place | None:
    """Find where control groups may be made, and remove what a service that was killed left there.

    Args:
        data: The service's data directory.
        is_wanted: Whether control groups are to be used at all.
    """
    if not is_wanted:
        _log.info("limits_watched", why="control groups are switched off")
        return None
    try:
        place = await asyncio.to_thread(find_place, name_of_root(data))
    except Refused as refused:
        _log.info("limits_watched", why=str(refused))
        return None
    await asyncio.to_thread(sweep, place)
    _log.info("limits_enforced", cgroup_version=place.version, controllers=sorted(place.controllers))
    return place


def tell_end(recorder: EventRecorder, pod: ReadOnlyObject, container: Mapping[str, Any], end: Exit | None) -> None:
    """Make an Event where a container ended for want of memory."""
    if end is None or end.reason != "OOMKilled":
        return
    limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
    what = f"its limit of {limit} (resources.limits.memory)" if limit else "the machine has"
    message = f"Container {container['name']} was killed: it needed more memory than {what}"
    recorder.warning(pod, "OOMKilled", message, container=str(container["name"]))
