"""How runs are written down."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from beamhall.history.history import History, sqlite_url
from beamhall.history.protocol import Writing
from beamhall.history.records import Experiment, Pipeline, PipelineVersion, Run
from beamhall.kernel.errors import BadRequest, NotFound
from beamhall.pipelines.runs import add_run, check_parameters, pending, version_meant
from beamhall.pipelines.spec.reading import read_pipeline
from tests.unit.pipelines.specs import spec


@pytest.fixture
async def history(tmp_path: Path) -> AsyncIterator[History]:
    history = History(sqlite_url(tmp_path / "history.db"))
    yield history
    await history.close()


def _fill(tx: Writing) -> None:
    for name, versions in (("p", ("v1", "v2")), ("q", ("w",)), ("empty", ())):
        tx.add(Pipeline(id=name, namespace="default", name=name, display_name=name, created_at=1))
        for number, version in enumerate(versions):
            tx.add(
                PipelineVersion(
                    id=version, namespace="default", pipeline_id=name, name=version, display_name=version,
                    created_at=number + 1, spec_digest="d",
                )
            )  # fmt: skip


async def test_a_reference_means_a_version_or_the_newest(history: History) -> None:
    await history.write(_fill)

    async def meant(pipeline: str, version: str = "") -> str:
        return (await history.read(lambda tx: version_meant(tx, pipeline, version))).id

    assert await meant("p") == "v2"
    assert await meant("p", "v1") == "v1"
    assert await meant("", "v1") == "v1"
    for pipeline, version, error, part in (
        ("p", "w", NotFound, "PipelineVersion 'w' of pipeline 'p' not found"),
        ("p", "x", NotFound, "PipelineVersion 'x' of pipeline 'p' not found"),
        ("x", "", NotFound, "Pipeline 'x' not found"),
        ("empty", "", NotFound, "pipeline 'empty' has no version"),
    ):
        with pytest.raises(error, match=part):
            await meant(pipeline, version)


def test_parameters_are_checked_all_at_once() -> None:
    pipeline = read_pipeline(spec())
    check_parameters(pipeline, {"lr": 1})
    with pytest.raises(BadRequest, match=r"lr requires type double .*; parameter\(s\) provided are not required"):
        check_parameters(pipeline, {"lr": "much", "rl": 1})
    with pytest.raises(BadRequest, match="bytes, and may have 1048576"):
        check_parameters(pipeline, {"lr": "x" * 2**20})


async def test_a_run_begins_pending_and_its_experiment_tells_when(history: History) -> None:
    experiment = Experiment(id="e", namespace="default", display_name="e", created_at=1)
    run = Run(id="r", namespace="default", experiment_id="e", display_name="r", **pending(7))
    await history.write(lambda tx: tx.add(experiment))
    await history.write(lambda tx: add_run(tx, run))
    found = await history.read(lambda tx: (tx.get(Run, "r"), tx.get(Experiment, "e")))
    assert found[0] == run
    assert (run.created_at, run.state, run.state_history) == (7, "PENDING", [{"update_time": 7, "state": "PENDING"}])
    assert found[1] is not None
    assert found[1].last_run_created_at == 7
