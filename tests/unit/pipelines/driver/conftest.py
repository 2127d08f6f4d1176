from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from beamhall.history.history import History, sqlite_url
from beamhall.pipelines.driver.settings import DriverSettings
from tests.models.pipeline_driver import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A history and a cluster with an agent; tests make the driver."""
    history = History(sqlite_url(tmp_path / "history.db"))
    settings = DriverSettings(
        str(tmp_path / "artifacts"), steps_at_once=8, poll_s=0.5, calm_s=0.0, failed_pods_kept_s=0.0
    )
    made = World(tmp_path, history, settings)
    async with made.agent():
        yield made
    await history.close()
