"""Usage of the node and of its containers over time: what ``kubectl top`` shows.

Processor time is looked at from time to time while containers run, and when somebody asks. Usage is what was used since
a look that lies far enough back, or since the container's start. Nothing is looked at while nothing runs and nobody
asks.

Source: ``metrics.k8s.io/v1beta1`` for the form of the answers.
"""

import asyncio
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from beamhall.embedded.agent.limits.machine import busy_s, memory_used_bytes
from beamhall.embedded.agent.limits.processes import look
from beamhall.embedded.agent.limits.running import Everything, Running
from beamhall.embedded.agent.limits.usage import Reading, read_usage
from beamhall.kernel.clock import Clock, format_time
from beamhall.kernel.objects import uid_of

_SHORTEST_S = 5.0
_LONGEST_S = 60.0
_MOMENT_S = 1.0

Figures = Mapping[str, Any]
"""``timestamp``, ``window``, and ``usage`` or ``containers``, as the API has them."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What had been used at one moment.

    Attributes:
        at: When, in seconds of the monotonic clock.
        busy_s: Processor time that the machine had spent.
        used: What each container that ran had used, by the directory of its sandbox.
    """

    at: float
    busy_s: float
    used: Mapping[Path, Reading]


class Metering:
    """Meters one node.

    Args:
        node: The node's name.
        clock: The time.
        everything: Gives the containers that run.
        period_s: How often to look while containers run.
    """

    def __init__(self, node: str, clock: Clock, everything: Everything, period_s: float) -> None:
        self._period_s = period_s
        self._node = node
        self._clock = clock
        self._everything = everything
        self._samples: deque[Sample] = deque(maxlen=2)
        self._began = asyncio.Event()
        self._asking = asyncio.Lock()
        self._answer: tuple[float, Mapping[str, Figures]] = (-math.inf, {})

    def notice(self) -> None:
        """Take in that a container was started or adopted."""
        self._began.set()

    async def run(self) -> None:
        """Look from time to time while containers run, until cancelled."""
        while True:
            self._samples.append(await self._sample(self._everything()))
            await asyncio.sleep(self._period_s)
            self._began.clear()
            if not self._everything():
                await self._began.wait()

    async def pods(self) -> Mapping[str, Figures]:
        """Give the usage of each Pod that has running containers, by its uid. For 1 s, all are told the same."""
        async with self._asking:
            at, answer = self._answer
            if self._clock.monotonic() - at >= _MOMENT_S:
                answer = await self._pods()
                self._answer = (self._clock.monotonic(), answer)
        return answer

    async def _pods(self) -> Mapping[str, Figures]:
        running = self._everything()
        now = await self._sample(running)
        found: dict[str, dict[str, Any]] = {}
        for one in running:
            reading = now.used[one.sandbox.directory]
            window_s, cpu_s = self._since(now, one, reading)
            entry = found.setdefault(uid_of(one.pod), {**self._stamp(window_s), "containers": []})
            usage = usage_of(cpu_s / window_s, reading.memory_bytes)
            entry["containers"].append({"name": one.container["name"], "usage": usage})
        return found

    async def nodes(self) -> Mapping[str, Figures]:
        """Give the usage of this node, by its name."""
        now = await self._sample(())
        before = self._before(now)
        if before is None:
            before = now
            await asyncio.sleep(_MOMENT_S)
            now = await self._sample(())
        window_s = now.at - before.at
        usage = usage_of((now.busy_s - before.busy_s) / window_s, await asyncio.to_thread(memory_used_bytes))
        return {self._node: {**self._stamp(window_s), "usage": usage}}

    def latest(self) -> Sequence[tuple[Running, Reading]]:
        """Give the last readings of the containers that run, without looking."""
        used = self._samples[-1].used if self._samples else {}
        known = ((one, used.get(one.sandbox.directory)) for one in self._everything())
        return [(one, reading) for one, reading in known if reading is not None]

    async def _sample(self, running: Sequence[Running]) -> Sample:
        at = self._clock.monotonic()
        return await asyncio.to_thread(_read, at, running)

    def _since(self, now: Sample, one: Running, reading: Reading) -> tuple[float, float]:
        """Give the length of the window in seconds, and the processor time that was spent in it."""
        sample = self._before(now, one)
        if sample is not None:
            spent_s = reading.cpu_s - sample.used[one.sandbox.directory].cpu_s
            return now.at - sample.at, max(0.0, spent_s)
        age_s = (self._clock.now() - one.started_at).total_seconds()
        return max(age_s, 0.1), reading.cpu_s

    def _before(self, now: Sample, one: Running | None = None) -> Sample | None:
        """Give the newest sample that lies far enough back, of those with a container if one is given."""
        for shortest_s in (_SHORTEST_S, _MOMENT_S):
            for sample in reversed(self._samples):
                is_known = one is None or one.sandbox.directory in sample.used
                if is_known and shortest_s <= now.at - sample.at <= _LONGEST_S:
                    return sample
        return None

    def _stamp(self, window_s: float) -> dict[str, Any]:
        return {"timestamp": format_time(self._clock.now()), "window": f"{window_s:.3f}s"}


def _read(at: float, running: Sequence[Running]) -> Sample:
    processes = cache(look)  # once, and only if a container has no control group
    return Sample(at, busy_s(), {one.sandbox.directory: read_usage(one.sandbox, processes) for one in running})


def usage_of(cpus: float, memory_bytes: int) -> Mapping[str, str]:
    """Write usage as the API has it: ``cpu`` in billionths of a processor, ``memory`` in KiB."""
    return {"cpu": f"{round(cpus * 1e9)}n", "memory": f"{memory_bytes // 1024}Ki"}
