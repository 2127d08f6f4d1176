"""The API over HTTP on a whole service: gets, durable creates, long lists, many watchers, many objects."""

import asyncio
import json
import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from beamhall.embedded.store.store import Store
from benchmarks.figures import figure
from benchmarks.load import cpu_s
from tests.service import ServiceProcess, wait_for

MAPS = "/k8s/api/v1/namespaces/default/configmaps"
PODS = "/k8s/api/v1/namespaces/default/pods"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
MANY = 100_000
LISTED = 10_000
WATCHERS = 200
RUNS = 5


def measure() -> Iterator[dict[str, Any]]:
    """Measure with a load generator in another process; processor time is that of the service alone."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory(dir=".") as directory:
        synced = _synced_inserts(Path(directory) / "peer.db")
        service = ServiceProcess(Path(directory) / "data", "--stop-pods")
        service.data.mkdir()
        service.start()
        try:
            load = Load(service)
            yield from _gets(load)
            yield from _creates(load, synced)
            yield from _watchers(load)
            yield from _lists(load)
            yield from _many_objects(service)
        finally:
            service.stop()


class Load:
    """Starts the load generator against a service."""

    def __init__(self, service: ServiceProcess) -> None:
        assert service.process is not None
        self.url = service.url
        self.pid = service.process.pid
        self.headers = {"Authorization": f"Bearer {service.token}", "Content-Type": "application/json"}

    def run(self, **task: Any) -> dict[str, Any]:
        """Run a task of ``benchmarks.load``; the answer gets the service's processor time as ``cpu_s``."""
        task = {"task": "many", "method": "GET", "clients": 1, "url": self.url, "headers": self.headers} | task
        before = cpu_s(self.pid)
        command = [sys.executable, "-m", "benchmarks.load"]
        done = subprocess.run(command, input=json.dumps(task), stdout=subprocess.PIPE, text=True, check=True)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer | {"cpu_s": cpu_s(self.pid) - before}

    def rate(self, number: int, **task: Any) -> tuple[float, float]:
        """Give requests a second, and microseconds of the service's processor time for each."""
        answer = self.run(number=number, **task)
        return number / answer["seconds"], 1e6 * answer["cpu_s"] / number

    def times_ms(self, number: int, **task: Any) -> list[float]:
        """Give how long each request took."""
        return [1e3 * each for each in self.run(number=number, each=True, **task)["each"]]


def _gets(load: Load) -> Iterator[dict[str, Any]]:
    load.run(number=1, method="POST", path=MAPS, body=_map("one"))
    found = [load.rate(6_000, clients=4, path=f"{MAPS}/one") for _ in range(RUNS)]
    with _bare_app() as url:
        bare = load.run(number=6_000, clients=4, url=url, path="/one")
    yield figure("api_get", "per s", [rate for rate, _ in found], at_least=2_000, peer_bare_app=6_000 / bare["seconds"])
    yield figure("api_get_cpu", "us", [cpu for _, cpu in found])


def _creates(load: Load, synced: float) -> Iterator[dict[str, Any]]:
    for name, path, body in (("config_map", MAPS, _map), ("pod", PODS, _pod)):
        found = [
            load.rate(1_600, clients=16, method="POST", path=path, body=body(f"{name.replace('_', '-')}-{run}-{{n}}"))
            for run in range(RUNS)
        ]
        rates = [rate for rate, _ in found]
        yield figure(f"api_durable_create_{name}_16_clients", "per s", rates, at_least=500, peer_sqlite_insert=synced)
        yield figure(f"api_durable_create_{name}_cpu", "us", [cpu for _, cpu in found])


def _watchers(load: Load) -> Iterator[dict[str, Any]]:
    answer = load.run(
        task="watch", watchers=WATCHERS, number=40, method="POST", path=MAPS, body=_map("watched-{n}"),
        watch=f"{MAPS}?watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan",
    )  # fmt: skip
    seconds = [1e3 * each for each in answer["each"]]
    yield figure(f"api_event_seen_by_{WATCHERS}_watchers", "ms", seconds, at_most=100)


def _lists(load: Load) -> Iterator[dict[str, Any]]:
    have = 1_600 * RUNS
    load.run(number=LISTED - have, clients=8, method="POST", path=PODS, body=_pod("listed-{n}"))
    for name, accept in (("json", "application/json"), ("table", TABLE)):
        headers = load.headers | {"Accept": accept}
        seconds = [each / 1e3 for each in load.times_ms(RUNS, path=PODS, headers=headers)]
        yield figure(f"api_list_{LISTED}_pods_{name}", "s", seconds, at_most=0.5)


def _many_objects(service: ServiceProcess) -> Iterator[dict[str, Any]]:
    """Measure on a store as it is, and again when 100,000 objects more lie in it: put there while the service rests."""
    load = Load(service)
    for name in ("few", "many"):
        load.run(number=1, method="POST", path="/k8s/api/v1/namespaces", body=json.dumps({"metadata": {"name": name}}))
    few = _figures(load, "few")
    service.stop()
    asyncio.run(_fill(service.data / "objects.db"))
    service.start()
    many = _figures(Load(service), "many")
    for name, values in many.items():
        peer = statistics.median(few[name])
        yield figure(f"api_{name}_with_{MANY}_objects", "ms", values, at_most=1.5 * peer, peer_few=peer)


async def _fill(path: Path) -> None:
    store = await Store.open(path)
    obj = json.loads(_map("m"))
    for first in range(0, MANY, 2_000):
        async with asyncio.TaskGroup() as tasks:
            for number in range(first, first + 2_000):
                metadata = {"name": f"m{number}", "namespace": "many", "uid": f"uid-{number}"}
                filled = obj | {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata}
                tasks.create_task(store.create("configmaps", filled))
    await store.close()


def _figures(load: Load, namespace: str) -> dict[str, list[float]]:
    path = f"/k8s/api/v1/namespaces/{namespace}/configmaps"
    create = load.times_ms(300, method="POST", path=path, body=_map("x{n}"))
    patch = load.headers | {"Content-Type": "application/merge-patch+json"}
    return {
        "create": create,
        "update": load.times_ms(
            300, method="PATCH", path=f"{path}/x{{n}}", body='{"data":{"c":"changed"}}', headers=patch
        ),
        "get": load.times_ms(300, path=f"{path}/x{{n}}"),
        "list_of_100": load.times_ms(100, path=f"{path}?limit=100"),
        "list_of_100_everywhere": load.times_ms(100, path="/k8s/api/v1/configmaps?limit=100"),
    }


def _map(name: str) -> str:
    return json.dumps({"metadata": {"name": name}, "data": {"a": "b" * 400}})


def _pod(name: str) -> str:
    """Give a Pod of some 2 KiB as it is stored, of which no scheduler takes notice."""
    env = [{"name": f"VARIABLE_{number}", "value": "v" * 20} for number in range(8)]
    container = {"name": "main", "image": "python", "command": ["python", "-c", "pass"], "env": env}
    spec = {"schedulerName": "nobody", "containers": [container]}
    return json.dumps({"metadata": {"name": name, "labels": {"app": "bench", "tier": "none"}}, "spec": spec})


def _synced_inserts(path: Path) -> float:
    """Give how many single inserts a second are durable in bare SQLite, one after another."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB)")
    began = time.perf_counter()
    for number in range(500):
        connection.execute("INSERT INTO t VALUES (?, ?)", (number, b"x" * 600))
    connection.close()
    return 500 / (time.perf_counter() - began)


@contextmanager
def _bare_app() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([sys.executable, "-m", "benchmarks.bare_app", str(port)]) as process:
        wait_for("the bare app", lambda: not socket.socket().connect_ex(("127.0.0.1", port)))
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
