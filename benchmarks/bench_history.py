"""The history with 10,000 stored runs: a page of them, filtered and sorted; and what a driver writes."""

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from beamhall.history.history import History, sqlite_url
from beamhall.history.protocol import Writing
from beamhall.history.queries import Order, Where
from beamhall.history.records import Run, Task, task_id
from benchmarks.figures import figure

RUNS = 10_000
TASKS = 10_000
BATCHES = 200
REPEATS = 30
PAGE_SIZE = 200
AIM_MS = 50
SECOND = 1_000_000
BEGAN = 1_700_000_000 * SECOND
NEWEST = Order("created_at", is_descending=True)

QUERIES: Mapping[str, tuple[Sequence[Where], Order]] = {
    "newest": ((), NEWEST),
    "newest_of_namespace": ((Where("namespace", "=", "ns-1"),), NEWEST),
    "failed": ((Where("state", "=", "FAILED"), Where("storage_state", "!=", "ARCHIVED")), NEWEST),
    "name_contains": ((Where("display_name", "contains", "77"),), NEWEST),
    "since": ((Where("created_at", ">=", BEGAN + RUNS // 2 * SECOND),), Order("created_at")),
    "by_name": ((), Order("display_name")),
    "by_finished": ((Where("namespace", "=", "ns-1"),), Order("finished_at", is_descending=True)),
}


def measure() -> Iterator[dict[str, Any]]:
    """Measure on SQLite in the current directory, or on the database that BENCH_HISTORY_URL names (an empty one)."""
    with tempfile.TemporaryDirectory(dir=".") as directory:
        url = os.environ.get("BENCH_HISTORY_URL") or sqlite_url(Path(directory) / "history.db")
        found = asyncio.run(_measure(url))
    for name, values in found.items():
        aim = {"at_most": AIM_MS} if name.startswith("page") else {}
        yield figure(f"history_{name}", "ms", values, **aim)


async def _measure(url: str) -> Mapping[str, list[float]]:
    history = History(url)
    began = time.perf_counter()
    await history.open()
    found = {"open_first_time": [(time.perf_counter() - began) * 1e3]}
    runs = [_run(number) for number in range(RUNS)]
    await history.write(lambda tx: tx.add(*runs))
    for name, (where, order) in QUERIES.items():
        found[f"page_of_{PAGE_SIZE}_{name}_in_{RUNS}_runs"] = await _page(history, where, order)
    found |= await _writes(history)
    await history.close()
    return found


async def _page(history: History, where: Sequence[Where], order: Order) -> list[float]:
    """Take the second page, as someone who looks through them does."""
    times = []
    first = await history.read(lambda tx: tx.page(Run, where, order, PAGE_SIZE))
    for _ in range(REPEATS):
        began = time.perf_counter()
        await history.read(lambda tx: tx.page(Run, where, order, PAGE_SIZE, first.end))
        times.append((time.perf_counter() - began) * 1e3)
    return times


async def _writes(history: History) -> Mapping[str, list[float]]:
    tasks = [_task(number) for number in range(TASKS)]
    began = time.perf_counter()
    await history.write(lambda tx: tx.put(*tasks))
    whole = [(time.perf_counter() - began) * 1e3]
    began = time.perf_counter()
    await history.read(lambda tx: tx.find(Task, Where("run_id", "=", tasks[0].run_id)))
    read = [(time.perf_counter() - began) * 1e3]
    batches = []
    for first in range(BATCHES):
        done = [msgspec.structs.replace(task, state="SUCCEEDED") for task in tasks[first * 10 : first * 10 + 10]]
        began = time.perf_counter()
        await history.write(partial(_put, done))
        batches.append((time.perf_counter() - began) * 1e3)
    return {f"put_{TASKS}_tasks": whole, f"read_{TASKS}_tasks": read, "put_batch_of_10_tasks": batches}


def _put(tasks: Sequence[Task], tx: Writing) -> None:
    tx.put(*tasks)


def _run(number: int) -> Run:
    """Make a run with the parameters and the history of a usual one, about 1 KiB."""
    began = BEGAN + number * SECOND
    return Run(
        id=f"{number * 7919 % RUNS:08}-0000-4000-8000-000000000000", namespace=f"ns-{number % 5}", experiment_id="e",
        display_name=f"train {number * 31 % 9973}", created_at=began, finished_at=began + number * 104_729 % 10**10,
        state=("SUCCEEDED", "FAILED", "RUNNING")[number % 3], description="what it is for",
        parameters={f"parameter_{each}": "value" * 5 for each in range(10)}, tasks={"SUCCEEDED": 20, "FAILED": 1},
        state_history=[{"update_time": began, "state": state} for state in ("PENDING", "RUNNING", "SUCCEEDED")],
    )  # fmt: skip


def _task(number: int) -> Task:
    run_id = _run(0).id
    path = f"/for-loop-1[{number}]/train"
    return Task(
        id=task_id(run_id, path), namespace="ns-0", run_id=run_id, path=path, name="train", created_at=number,
        inputs={"parameters": {"lr": 0.1, "epochs": 3}},
        outputs={"artifacts": {"model": ["00000000-0000-4000-8000-000000000000"]}},
    )  # fmt: skip
