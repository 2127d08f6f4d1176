from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from beamhall.history.history import History, sqlite_url
from tests.postgresql import BOTH, Server


@pytest.fixture(params=BOTH)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "history.db")
    server: Server = request.getfixturevalue("postgresql")
    return server.database()


@pytest.fixture
async def history(url: str) -> AsyncIterator[History]:
    history = History(url)
    yield history
    await history.close()
