"""The driver on each database: texts that one of them refuses, a crash, a retry, the cache."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from beamhall.history.history import History, sqlite_url
from beamhall.pipelines.driver.settings import DriverSettings
from tests.models.pipeline_driver import FOREVER, Act, World
from tests.postgresql import BOTH, Server
from tests.unit.pipelines.dags import task
from tests.unit.pipelines.driver.specs import document


@pytest.fixture(params=BOTH)
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A history on each database, a cluster and an agent."""
    url = sqlite_url(tmp_path / "history.db")
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("postgresql")
        url = server.database()
    history = History(url)
    settings = DriverSettings(str(tmp_path / "artifacts"), steps_at_once=4, calm_s=0.0, failed_pods_kept_s=0.0)
    made = World(tmp_path, history, settings)
    async with made.agent():
        yield made
    await history.close()


async def test_a_run_fails_crashes_is_retried_and_is_found_in_the_cache(world: World) -> None:
    def behave(path: str, given: Mapping[str, Any]) -> Act:
        count = world.begun.count(path)
        if path == "/b" and count == 1:
            return Act({"phase": "Failed", "reason": "Evicted", "message": "a NUL \0 in it"})
        if path == "/c" and count == 1:
            return FOREVER
        return Act(parameters={"out": count, "xs": []})

    world.behave = behave
    cached = task()
    cached["cachingOptions"] = {"enableCache": True}
    pipeline = document({"a": cached, "b": task(x=("a", "out")), "c": task(after=("b",))})
    async with world.driver():
        run_id = await world.submit(pipeline)
        run = await world.ended(run_id)
        assert run.state == "FAILED"
        assert "a NUL \N{REPLACEMENT CHARACTER} in it" in run.error
        await world.ask(run_id, "RETRY", "PENDING")
        await world.until(lambda: "/c" in world.begun)
    pod = next(pod for pod in world.pods() if "-c-" in pod["metadata"]["name"])
    (world.directory / "artifacts/p" / run_id / "c/1000").mkdir(parents=True, exist_ok=True)
    output = world.directory / "artifacts/p" / run_id / "c/1000/executor_output.json"
    output.write_text('{"parameterValues": {"out": 5, "xs": []}}')
    world.end_pod(pod, {"phase": "Succeeded"})
    async with world.driver():
        run = await world.ended(run_id)
        assert run.state == "SUCCEEDED", run.error
        assert world.begun == ["/a", "/b", "/b", "/c"]
        assert (await world.tasks(run_id))["/c"].outputs["parameters"]["out"] == 5
        made = world.directory / "artifacts/p" / run_id / "a/0/art"
        made.write_text("x")
        again = await world.submit(pipeline)
        assert (await world.ended(again)).state == "SUCCEEDED"
        assert (await world.tasks(again))["/a"].cached
