"""The store alone: a durable write, many at once, and reads, with few objects and with 100,000."""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from beamhall.embedded.store.store import Store
from beamhall.kernel.objects import Object
from benchmarks.figures import figure

RUNS = 300
AT_ONCE = 2_000
MANY = 100_000
FEW = 100


def measure() -> Iterator[dict[str, Any]]:
    """Measure on a store in the current directory: memory file systems would not show what syncing costs."""
    with tempfile.TemporaryDirectory(dir=".") as directory:
        synced_ms = _sync_alone(Path(directory) / "peer")
        few, many = asyncio.run(_measure(Path(directory) / "objects.db"))
    yield figure("store_durable_write", "ms", few["write"], peer_write_and_fdatasync=synced_ms)
    yield figure("store_durable_writes_at_once", "per s", few["rate"])
    for name, values in many.items():
        few_median = sorted(few[name])[len(few[name]) // 2]
        yield figure(
            f"store_{name}_with_{MANY}_objects", "per s" if name == "rate" else "ms", values, peer_few=few_median
        )


def _sync_alone(path: Path) -> float:
    """Give the median time of what no durable write can go below: 4 KiB appended and synced."""
    times = []
    with path.open("wb", buffering=0) as file:
        for _ in range(RUNS):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - began) * 1e3)
    return sorted(times)[RUNS // 2]


async def _measure(path: Path) -> tuple[Mapping[str, list[float]], Mapping[str, list[float]]]:
    store = await Store.open(path)
    await _fill(store, FEW)
    few = await _figures(store, "few")
    await _fill(store, MANY)
    many = await _figures(store, "many")
    await store.close()
    return few, many


async def _figures(store: Store, tag: str) -> dict[str, list[float]]:
    writes = []
    for number in range(RUNS):
        began = time.perf_counter()
        await store.create("writes", _pod(f"{tag}-{number}"))
        writes.append((time.perf_counter() - began) * 1e3)
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(AT_ONCE):
            group.create_task(store.create("rates", _pod(f"{tag}-{number}")))
    rate = AT_ONCE / (time.perf_counter() - began)
    return {
        "write": writes,
        "rate": [rate],
        "get": _times(lambda: store.get("pods", "n0", "p0")),
        "list_of_100": _times(lambda: store.list("pods", "n0", limit=100)),
    }


def _times(call: Callable[[], object]) -> list[float]:
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        call()
        times.append((time.perf_counter() - began) * 1e3)
    return times


async def _fill(store: Store, number: int) -> None:
    """Have so many Pods, 100 or more in namespace n0."""
    have = store.count("pods")
    for first in range(have, number, AT_ONCE):
        async with asyncio.TaskGroup() as group:
            for index in range(first, min(number, first + AT_ONCE)):
                group.create_task(store.create("pods", _pod(f"p{index}", f"n{index // 100}")))


def _pod(name: str, namespace: str = "a") -> Object:
    """Make an object of 1 KiB, about what a small Pod takes."""
    env = [{"name": f"VARIABLE_{number}", "value": "v" * 20} for number in range(16)]
    container = {"name": "main", "image": "python", "env": env}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "uid": name},
        "spec": {"containers": [container]},
    }
