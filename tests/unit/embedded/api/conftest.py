"""An API on a store of the test's own, with a clock that stands still."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import pytest

from beamhall.client.local import LocalClient
from beamhall.embedded.api.factory import Api, create_app, create_resource_api
from beamhall.embedded.store.store import Store
from beamhall.kernel.errors import NotFound
from beamhall.kernel.identity import ADMIN_GROUP, User
from beamhall.kernel.kinds import CUSTOM_RESOURCE_DEFINITION, Kind
from beamhall.kernel.objects import Object
from tests.api_server import as_admin

ADMIN = User("tester", (ADMIN_GROUP,))
TOY = Kind("example.org", "v1", "Toy", "toys")


class StandingClock:
    """Time moves only by hand."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@asynccontextmanager
async def running_api(directory: Path, clock: StandingClock) -> AsyncIterator[Api]:
    """Run an API on the store in a directory; when this begins, what every cluster has is there."""
    store = await Store.open(directory / "objects.db")
    try:
        api = create_resource_api(store, clock, Random(1))
        async with asyncio.TaskGroup() as parts:
            running = parts.create_task(api.run())
            try:
                async with asyncio.timeout(20):
                    await api.begun.wait()
                yield api
            finally:
                running.cancel()
    finally:
        await store.close()


async def until(condition: Callable[[], Any], timeout_s: float = 20) -> Any:
    """Wait until something holds; give it."""
    async with asyncio.timeout(timeout_s):
        while not (found := condition()):
            await asyncio.sleep(0.001)
    return found


async def until_gone(client: LocalClient, kind: Kind, name: str, namespace: str = "") -> None:
    """Wait until an object is gone."""
    async with asyncio.timeout(20):
        while True:
            try:
                await client.get(kind, name, namespace)
            except NotFound:
                return
            await asyncio.sleep(0.001)


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
async def api(tmp_path: Path, clock: StandingClock) -> AsyncIterator[Api]:
    async with running_api(tmp_path, clock) as made:
        yield made


@pytest.fixture
def client(api: Api) -> LocalClient:
    return LocalClient(api, ADMIN)


@pytest.fixture
async def http(api: Api) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=as_admin(create_app(api)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://api") as made:
        yield made


def pod(name: str = "p", **metadata: Any) -> Object:
    return {
        "metadata": {"name": name, "namespace": "default", **metadata},
        "spec": {"containers": [{"name": "main", "image": "python"}]},
    }


def config_map(name: str = "c", **metadata: Any) -> Object:
    return {"metadata": {"name": name, "namespace": "default", **metadata}, "data": {"a": "1"}}


TOY_SCHEMA: Object = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1},
                "colour": {"type": "string", "default": "red"},
                "replicas": {"type": "integer"},
            },
        },
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}


def toy_definition(**version: Any) -> Object:
    return {
        "metadata": {"name": TOY.resource},
        "spec": {
            "group": TOY.group,
            "scope": "Namespaced",
            "names": {"kind": "Toy", "plural": "toys"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": TOY_SCHEMA},
                    **version,
                }
            ],
        },
    }


def toy(name: str = "t", size: int = 1) -> Object:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"size": size}}


@pytest.fixture
async def toys(client: LocalClient) -> Kind:
    """Serve the custom kind Toy."""
    await client.create(CUSTOM_RESOURCE_DEFINITION, toy_definition())
    return TOY
