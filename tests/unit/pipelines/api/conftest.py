from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from starlette.requests import Request

from beamhall.history.history import History, sqlite_url
from beamhall.kernel.errors import Forbidden
from beamhall.pipelines.api.access import Access
from beamhall.pipelines.api.application import kfp_application

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


@pytest.fixture
async def history(tmp_path: Path) -> AsyncIterator[History]:
    history = History(sqlite_url(tmp_path / "history.db"))
    yield history
    await history.close()


async def _authorize(_: Request, verb: str, resource: str, namespace: str) -> None:
    if namespace == "closed":
        raise Forbidden(f"you may not {verb} {resource} in {namespace}")


@pytest.fixture
async def api(history: History) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the API, whose namespace ``closed`` is another's."""
    app = kfp_application(Access(history, SteadyClock(), _authorize))
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://kfp/apis/v2beta1/") as client:
        yield client
