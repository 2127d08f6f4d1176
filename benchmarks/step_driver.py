"""A chain and a fan-out of no-op steps in a service of its own, made and followed as the pipeline driver does it.

Usage: ``python -m benchmarks.step_driver DATA ROUNDS``; prints one JSON object. The service runs in this process, so
that its processor time can be told from that of the steps' processes, which a control group counts where one can be
made.
"""

import asyncio
import contextlib
import gc
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import uvloop

from beamhall.app.service import serving
from beamhall.app.settings import load_settings
from beamhall.client.protocol import Client, LogOptions, Selection, WatchEvent
from beamhall.kernel.errors import NotFound
from beamhall.kernel.kinds import POD
from benchmarks.bench_steps import step

CHAIN, FAN_OUT = 50, 200
_PATIENCE_S = 300.0
_GROUPS = Path("/sys/fs/cgroup/cpuacct")


class Steps:
    """Makes Pods of steps and follows them.

    Args:
        client: The cluster.
        directory: Where steps put their outputs.
    """

    def __init__(self, client: Client, directory: Path) -> None:
        self._client = client
        self._directory = directory
        self._ends: dict[str, asyncio.Future[str]] = {}
        self._n = 0

    async def follow(self, changes: AsyncIterator[WatchEvent]) -> None:
        """Take in the ends of Pods, for ever."""
        async for change in changes:
            phase = str((change.object.get("status") or {}).get("phase") or "")
            end = self._ends.get(str(change.object["metadata"].get("name")))
            if end is not None and phase in ("Succeeded", "Failed") and not end.done():
                end.set_result(phase)

    async def run(self) -> None:
        """Run one to its end."""
        self._n += 1
        name, outputs = f"step-{self._n}", self._directory / str(self._n)
        outputs.mkdir(parents=True)
        container = {"name": "main", "image": "python:3.11", "command": step(str(outputs))}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "labels": {"pipeline/runid": "bench"}},
            "spec": {"restartPolicy": "Never", "containers": [container]},
        }
        self._ends[name] = end = asyncio.get_running_loop().create_future()
        await self._client.create(POD, pod)
        async with asyncio.timeout(_PATIENCE_S):
            phase = await end
        assert phase == "Succeeded", f"{name}: {phase}"

    async def clear(self) -> None:
        """Read the logs of all, as the driver does to keep them, and delete them."""
        for name in self._ends:
            async with self._client.logs(name, "default", LogOptions()) as chunks:
                async for _ in chunks:
                    pass
            await self._client.delete(POD, name, "default")
        for name in self._ends:
            with contextlib.suppress(NotFound):
                async with asyncio.timeout(_PATIENCE_S):
                    while True:
                        await self._client.get(POD, name, "default")
                        await asyncio.sleep(0.01)
        self._ends.clear()


async def chain(steps: Steps) -> None:
    """Run one after another."""
    for _ in range(CHAIN):
        await steps.run()


async def fan_out(steps: Steps) -> None:
    """Run all at once."""
    async with asyncio.TaskGroup() as tasks:
        for _ in range(FAN_OUT):
            tasks.create_task(steps.run())


async def measure(data: Path, rounds: int) -> dict[str, Sequence[float]]:
    """Give ms a step by what was done: ``_wall``, ``_service`` and ``_children`` (processor time)."""
    gc.set_threshold(20_000, 20, 20)  # as ``beamhall up``
    settings = load_settings({"data": data, "port": 0, "stop_pods": True, "log_level": "warning"}, {})
    found: dict[str, list[float]] = {}
    all_cpu_s = _group()
    async with serving(settings) as service, asyncio.TaskGroup() as tasks:
        steps = Steps(service.client, data / "outputs")
        there = await service.client.list(POD, Selection(namespace="default"))
        async with service.client.watch(POD, Selection(namespace="default"), revision=there.revision) as changes:
            follower = tasks.create_task(steps.follow(changes))
            for _ in range(4):
                await steps.run()
            for _ in range(rounds):
                for name, n, act in (
                    ("chain", CHAIN, chain(steps)), ("chain_clear", CHAIN, steps.clear()),
                    ("fan_out", FAN_OUT, fan_out(steps)), ("fan_out_clear", FAN_OUT, steps.clear()),
                ):  # fmt: skip
                    before = (time.perf_counter(), time.process_time(), all_cpu_s())
                    await act
                    wall, own, all_ = (
                        1000 * (now - then) / n
                        for now, then in zip(
                            (time.perf_counter(), time.process_time(), all_cpu_s()), before, strict=True
                        )
                    )
                    found.setdefault(f"{name}_wall", []).append(wall)
                    found.setdefault(f"{name}_service", []).append(own)
                    found.setdefault(f"{name}_children", []).append(all_ - own)
            follower.cancel()
    return {name: [round(value, 2) for value in values] for name, values in found.items()}


def _group() -> Callable[[], float]:
    """Enter a control group with all that is started; give what tells its processor time, in seconds."""
    group = _GROUPS / f"beamhall-bench-{os.getpid()}"
    try:
        group.mkdir()
        (group / "cgroup.procs").write_text(str(os.getpid()))
    except OSError:
        return time.process_time
    return lambda: int((group / "cpuacct.usage").read_text()) / 1e9


def main() -> Any:
    """Measure and print."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measure(Path(sys.argv[1]), int(sys.argv[2])))


if __name__ == "__main__":
    print(json.dumps(main(), indent=1))
