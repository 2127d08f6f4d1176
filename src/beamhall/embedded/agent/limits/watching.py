"""Memory limits where no control group keeps them: containers are looked at, and one that holds too much is killed.

The kernel would stop the allocation. This only looks, once a second: a container may be over its limit for as long.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from beamhall.embedded.agent.limits.amounts import amounts_of
from beamhall.embedded.agent.limits.processes import look, memory_bytes, rough_memory_bytes
from beamhall.embedded.agent.limits.running import Everything, Running
from beamhall.kernel.objects import name_of, namespace_of

_PERIOD_S = 1.0
_log = structlog.get_logger(__name__)


class MemoryWatch:
    """Kills containers that hold more memory than they may.

    Args:
        everything: Gives the containers that run.
        is_enforced: Whether control groups limit memory here.
    """

    def __init__(self, everything: Everything, *, is_enforced: bool) -> None:
        self._everything = everything
        self._is_enforced = is_enforced
        self._began = asyncio.Event()

    def notice(self, container: Mapping[str, Any]) -> None:
        """Take in that a container was started or adopted."""
        if amounts_of(container).memory_bytes is not None:
            self._began.set()

    async def run(self) -> None:
        """Watch until cancelled; nothing runs while there is nothing to watch."""
        while True:
            self._began.clear()
            watched = [running for running in self._everything() if self._is_watched(running)]
            if not watched:
                await self._began.wait()
                continue
            for running in await asyncio.to_thread(_beyond_limit, watched):
                _log.info(
                    "container_out_of_memory",
                    namespace=namespace_of(running.pod),
                    pod=name_of(running.pod),
                    container=running.container["name"],
                )
                running.sandbox.kill_out_of_memory()
            await asyncio.sleep(_PERIOD_S)

    def _is_watched(self, running: Running) -> bool:
        if amounts_of(running.container).memory_bytes is None:
            return False
        return not (self._is_enforced and running.sandbox.cgroups)


def _beyond_limit(watched: Sequence[Running]) -> Sequence[Running]:
    processes = look()
    found = []
    for running in watched:
        limit = amounts_of(running.container).memory_bytes or 0
        pids = processes.below(running.sandbox.shim_pid)
        # Exact figures are dear, so they are asked for only where the rough ones, which are never lower, are too high.
        if rough_memory_bytes(pids) > limit and memory_bytes(pids) > limit:
            found.append(running)
    return found
