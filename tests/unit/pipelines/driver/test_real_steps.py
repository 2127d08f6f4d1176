"""Runs on a whole service: real Pods, real Python steps."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from beamhall.app.service import serving
from beamhall.app.settings import Settings
from beamhall.history.history import History, sqlite_url
from beamhall.pipelines.driver.settings import DriverSettings
from tests.models.pipeline_driver import World
from tests.unit.pipelines.dags import task
from tests.unit.pipelines.driver.specs import document

PROGRAM = """
import json, sys
told = json.loads(sys.argv[1])
x = int(told["inputs"]["parameterValues"].get("x", 20))
print("got", x)
if x > 40:
    sys.exit("too much")
with open(told["outputs"]["outputFile"], "w") as file:
    json.dump({"parameterValues": {"out": x + 1, "xs": []}}, file)
with open(told["outputs"]["artifacts"]["art"]["artifacts"][0]["uri"], "w") as file:
    file.write("made")
"""
STEP = {"image": "python:3.11", "command": ["python3", "-c", PROGRAM], "args": ["{{$}}"]}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[World]:
    """A service with a driver."""
    history = History(sqlite_url(tmp_path / "runs.db"))
    async with serving(Settings(data=tmp_path / "data", port=0, log_level="error")) as running:
        settings = DriverSettings(str(tmp_path / "artifacts"))
        world = World(tmp_path, history, settings, client=running.client, namespace="default")
        async with world.driver():
            yield world
    await history.close()


async def test_steps_of_python_hand_on_values_and_fail_with_their_last_words(service: World) -> None:
    chain = document({"a": task(), "b": task(x=("a", "out")), "c": task(x=41, after=("b",))}, executor=STEP)
    run_id = await service.submit(chain)
    async with asyncio.timeout(90):
        run = await service.ended(run_id, 90)
    tasks = await service.tasks(run_id)
    assert tasks["/a"].outputs["parameters"]["out"] == 21
    assert tasks["/b"].outputs["parameters"]["out"] == 22
    assert Path(tasks["/b"].outputs["artifacts"]["art"][0]["uri"]).read_text() == "made"
    assert run.state == "FAILED"
    assert run.error.startswith("/c: it exited with code 1\nThe last lines of its log:\n")
    assert "got 41\ntoo much\n" in run.error
    log = Path(service.settings.pipeline_root) / "p" / run_id / "a" / "0" / "logs" / "main.log"
    await service.until(log.exists)
    assert log.read_text() == "got 20\n"
