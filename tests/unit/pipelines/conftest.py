"""What tests of pipelines share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from beamhall.history.history import History, sqlite_url
from tests.postgresql import Server


@pytest.fixture
async def history(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[History]:
    """An empty history: in SQLite, unless a test names ``postgresql`` (see ``tests.postgresql.BOTH``)."""
    if getattr(request, "param", "sqlite") == "sqlite":
        url = sqlite_url(tmp_path / "history.db")
    else:
        server: Server = request.getfixturevalue("postgresql")
        url = server.database()
    history = History(url)
    yield history
    await history.close()
