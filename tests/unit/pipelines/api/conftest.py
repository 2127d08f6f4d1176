from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import httpx2
import pytest
from starlette.requests import Request

from beamhall.client.local import LocalClient
from beamhall.client.protocol import Client
from beamhall.embedded.api.factory import create_resource_api
from beamhall.embedded.store.store import Store
from beamhall.history.history import History
from beamhall.kernel.errors import Forbidden
from beamhall.kernel.identity import ADMIN_GROUP, User
from beamhall.pipelines.api.access import Access
from beamhall.pipelines.api.application import kfp_application
from beamhall.pipelines.signals import Signals
from beamhall.pipelines.specifications import Specifications
from beamhall.storage import Storage

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


class SteadyClock:
    """Each look at it is a second after the one before."""

    def __init__(self) -> None:
        self._looks = 0

    def now(self) -> datetime:
        self._looks += 1
        return BEGAN + timedelta(seconds=self._looks)

    def monotonic(self) -> float:
        return float(self._looks)


async def _authorize(_: Request, verb: str, resource: str, namespace: str) -> None:
    if namespace == "closed" or (namespace == "shown" and verb not in ("get", "list")):
        raise Forbidden(f"you may not {verb} {resource} in {namespace}")


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Client]:
    """The resource API, where the steps of runs are Pods."""
    store = await Store.open(tmp_path / "objects.db")
    yield LocalClient(create_resource_api(store, SteadyClock(), Random(1)), User("tester", (ADMIN_GROUP,)))
    await store.close()


@pytest.fixture
def signals() -> Signals:
    return Signals()


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    """The directory that runs keep their files in."""
    path = tmp_path / "artifacts"
    path.mkdir()
    return path


@pytest.fixture
def access(history: History, cluster: Client, signals: Signals, artifacts: Path) -> Iterator[Access]:
    """What the handlers are given; the namespace ``closed`` is another's, ``shown`` too, but may be read."""
    storage = Storage(local_roots=[artifacts])

    async def storage_of(_: str) -> Storage:
        return storage

    yield Access(
        history, SteadyClock(), _authorize, cluster, signals, storage_of,
        pipeline_root=str(artifacts), readable_roots=[str(artifacts)],
    )  # fmt: skip
    storage.close()


@pytest.fixture
async def api(access: Access) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the API, whose namespace ``closed`` is another's."""
    app = kfp_application(access, Specifications())
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://kfp/apis/v2beta1/") as client:
        yield client
