"""How a run is written down, whoever wants it: a user through ``api``, or a schedule.

Functions of one transaction of the history, and pure ones. Knows no HTTP; who carries a run out is ``driver``.

Source: kubeflow/pipelines ``apiserver/resource/resource_manager.go``; reference "KFP", section 1.6.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from beamhall.history.protocol import Reading, Writing
from beamhall.history.queries import Order, Where
from beamhall.history.records import Experiment, JsonObject, Moment, Pipeline, PipelineVersion, Run
from beamhall.kernel.errors import BadRequest, NotFound
from beamhall.pipelines.spec import ir
from beamhall.pipelines.spec.types import run_parameter_problems

NOT_ENDED = ("RUNTIME_STATE_UNSPECIFIED", "PENDING", "RUNNING", "CANCELING", "PAUSED")
"""States of runs that go on."""

PARAMETERS_LIMIT = 1024 * 1024
"""Bytes of the parameters of a run: all lists that show the run read them."""

_TOLD = 5


def version_meant(tx: Reading, pipeline_id: str, version_id: str) -> PipelineVersion:
    """Give the version that a reference means: without a version, the newest.

    Raises:
        NotFound: There is no such pipeline, no such version of it, or none at all.
    """
    if version_id:
        version = tx.get(PipelineVersion, version_id)
        if version is None or pipeline_id not in ("", version.pipeline_id):
            of = f" of pipeline {pipeline_id!r}" if pipeline_id else ""
            raise NotFound(f"PipelineVersion {version_id!r}{of} not found")
        return version
    newest = newest_version(tx, pipeline_id)
    if newest is None:
        is_there = tx.get(Pipeline, pipeline_id) is not None
        raise NotFound(
            f"pipeline {pipeline_id!r} has no version" if is_there else f"Pipeline {pipeline_id!r} not found"
        )
    return newest


def newest_version(tx: Reading, pipeline_id: str) -> PipelineVersion | None:
    """Give the version of a pipeline that was made last."""
    found = tx.find(
        PipelineVersion, Where("pipeline_id", "=", pipeline_id), order=Order("created_at", is_descending=True), limit=1
    )
    return found[0] if found else None


def check_parameters(pipeline: ir.Pipeline, parameters: JsonObject) -> None:
    """Refuse parameters that a pipeline does not take.

    Raises:
        BadRequest: It needs others, or others of these types; each cause names one.
    """
    size = len(msgspec.json.encode(parameters))
    if size > PARAMETERS_LIMIT:
        raise BadRequest(
            f"runtime_config.parameters: they have {size} bytes, and may have {PARAMETERS_LIMIT}: put large values"
            " where steps can fetch them, and give the place"
        )
    problems = run_parameter_problems(pipeline.root.input_definitions, parameters)
    if problems:
        told = "; ".join(each.message for each in problems[:_TOLD])
        rest = f"; and {len(problems) - _TOLD} more" if len(problems) > _TOLD else ""
        raise BadRequest(f"{told}{rest}", causes=problems)


def pending(now: Moment) -> Mapping[str, Any]:
    """Give the fields of a run that waits to be started."""
    return {"created_at": now, "state": "PENDING", "state_history": [{"update_time": now, "state": "PENDING"}]}


def add_run(tx: Writing, run: Run) -> None:
    """Write a new run down; its experiment tells when. The driver is woken after the commit."""
    tx.add(run)
    tx.change(Experiment, Where("id", "=", run.experiment_id), last_run_created_at=run.created_at)
