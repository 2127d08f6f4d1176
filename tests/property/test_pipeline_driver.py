"""Random pipelines, carried by a driver that is lost at random moments: they end as the engine alone would have it."""

import asyncio
import random
import tempfile
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beamhall.history.history import History, sqlite_url
from beamhall.history.records import Run
from beamhall.pipelines.driver.settings import DriverSettings
from beamhall.pipelines.engine.decisions import State
from beamhall.pipelines.engine.events import Finished
from beamhall.pipelines.engine.values import ArtifactRef, Inputs, Outputs
from beamhall.pipelines.spec.ir import Pipeline
from beamhall.pipelines.specifications import Checked, Specifications
from tests.models.pipeline_driver import Act, World, exits
from tests.models.pipeline_runs import Interpreter
from tests.property.test_pipeline_engine import pipelines


class Known(Specifications):
    """Knows one pipeline, whatever it is asked for."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__()
        self._pipeline = pipeline

    async def stored(self, history: History, digest: str) -> Checked:
        return Checked(digest, "", self._pipeline)


def fate(seed: int, path: str) -> int:
    """Give the outcome of a step, whatever its inputs: -1 is failure, else a number that it gives."""
    found = zlib.crc32(f"{seed}{path}".encode())
    return -1 if found % 9 == 0 else found // 100 % 4


def acts(seed: int) -> Any:
    def behave(path: str, given: Mapping[str, Any]) -> Act:
        number = fate(seed, path)
        return exits(1) if number < 0 else Act(parameters={"out": number, "xs": list(range(number))})

    return behave


def expected(pipeline: Pipeline, seed: int) -> Interpreter:
    def behave(path: str, inputs: Inputs) -> Finished:
        number = fate(seed, path)
        if number < 0:
            return Finished(path, State.FAILED)
        given = Outputs({"out": number, "xs": list(range(number))}, {"art": [ArtifactRef(uri=path)]})
        return Finished(path, State.SUCCEEDED, given)

    found = Interpreter(pipeline, behave)
    found.run({})
    return found


async def carried(pipeline: Pipeline, seed: int, crashes: int, where: Path) -> tuple[World, Run]:
    """Carry a run to its end through so many lost drivers; one may be lost wherever it waits."""
    rng = random.Random(seed)
    history = History(sqlite_url(where / "history.db"))
    chosen = DriverSettings(
        str(where / "artifacts"), fail_fast=False, steps_at_once=3, calm_s=0.0, failed_pods_kept_s=0.0, loop_window=5
    )
    world = World(where, history, chosen, behave=acts(seed), specifications=Known(pipeline))
    run_id = await world.submit({})
    async with world.agent():
        for _ in range(crashes):
            async with world.driver():
                for _ in range(rng.randrange(200)):
                    await asyncio.sleep(0)
            await history.write(lambda tx: None)  # what was being written when the driver was lost is there now, or not
        async with world.driver():
            run = await world.ended(run_id)
            await world.until(lambda: not world.pods())
    world.tasks_of = await world.tasks(run_id)
    await history.close()
    return world, run


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(pipelines(), st.integers(0, 10_000), st.integers(0, 6))
def test_a_driver_that_is_lost_anywhere_changes_nothing(pipeline: Pipeline, seed: int, crashes: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        world, run = asyncio.run(carried(pipeline, seed, crashes, Path(directory)))
    wanted = expected(pipeline, seed)
    assert run.state == wanted.rows[""].state
    assert {path: task.state for path, task in world.tasks_of.items()} == {
        path: row.state for path, row in wanted.rows.items()
    }
    for path, task in world.tasks_of.items():
        row = wanted.rows[path]
        if task.type == "RUNTIME" and row.outputs:
            assert task.outputs["parameters"] == row.outputs.parameters, path
    made = Counter(name for (_, name, _), number in world.cluster.creations.items() for _ in range(number))
    assert all(number == 1 for number in made.values()), made
    assert sum(run.tasks.values()) == sum(task.type == "RUNTIME" for task in world.tasks_of.values())
