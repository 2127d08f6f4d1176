"""How a run is written down, whoever wants it: a user through ``api``, or a schedule.

Functions of one transaction of the history, and pure ones. Knows no HTTP; who carries a run out is ``driver``.

Source: kubeflow/pipelines ``apiserver/resource/resource_manager.go``; reference "KFP", section 1.6.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from beamhall.history.protocol import Reading, Writing
from beamhall.history.queries import Order, Where
from beamhall.history.records import Experiment, Moment, Pipeline, PipelineVersion, Run, Specification
from beamhall.kernel.errors import BadRequest, NotFound
from beamhall.pipelines.spec import ir
from beamhall.pipelines.spec.reading import read_pipeline
from beamhall.pipelines.spec.sources import Json
from beamhall.pipelines.spec.types import run_parameter_problems

ENDED = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")
"""States of runs that nothing happens to any more."""

NOT_ENDED = ("RUNTIME_STATE_UNSPECIFIED", "PENDING", "RUNNING", "CANCELING", "PAUSED")
"""The other states of runs."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a run runs.

    Attributes:
        spec_digest: Names the ``Specification``.
        pipeline_name: As the specification has it.
        pipeline_id: Of the pipeline that it is a version of; empty: the specification came with the run.
        pipeline_version_id: The version.
    """

    spec_digest: str
    pipeline_name: str
    pipeline_id: str = ""
    pipeline_version_id: str = ""


def specification_of(namespace: str, document: Json) -> Specification:
    """Give what a document is kept as: the same document is kept once."""
    body = msgspec.json.encode(document)
    return Specification(id=hashlib.sha256(body).hexdigest(), namespace=namespace, body=body.decode())


def document_of(tx: Reading, spec_digest: str) -> Json:
    """Give a document that is kept. Raises ``NotFound``."""
    found = tx.get(Specification, spec_digest)
    if found is None:
        raise NotFound(f"the specification {spec_digest[:12]} is not kept any more")
    return msgspec.json.decode(found.body)


def version_meant(tx: Reading, pipeline_id: str, version_id: str) -> PipelineVersion:
    """Give the version that a reference means: without a version, the newest.

    Raises:
        NotFound: There is no such pipeline, or no such version of it.
        BadRequest: The pipeline has no version.
    """
    if version_id:
        version = tx.get(PipelineVersion, version_id)
        if version is None or (pipeline_id and version.pipeline_id != pipeline_id):
            of = f" of pipeline {pipeline_id}" if pipeline_id else ""
            raise NotFound(f"PipelineVersion {version_id}{of} not found")
        return version
    if tx.get(Pipeline, pipeline_id) is None:
        raise NotFound(f"Pipeline {pipeline_id} not found")
    newest = tx.find(PipelineVersion, Where("pipeline_id", "=", pipeline_id), order=Order("created_at", True), limit=1)
    if not newest:
        raise BadRequest(f"Pipeline {pipeline_id} has no version: upload one")
    return newest[0]


def source_of(version: PipelineVersion, document: Json) -> Source:
    """Give what a run of a version runs."""
    return Source(version.spec_digest, pipeline_name(document), version.pipeline_id, version.id)


def pipeline_name(document: Json) -> str:
    """Give the name of the pipeline in a document that was checked."""
    spec: Mapping[str, Any] = document.get("pipeline_spec") or document.get("pipelineSpec") or document
    info = spec.get("pipelineInfo") or spec.get("pipeline_info") or {}
    return str(info.get("name") or "")


def check_parameters(pipeline: ir.Pipeline, given: Mapping[str, Json]) -> None:
    """Raise ``BadRequest`` where a pipeline cannot run with these parameters; all that is wrong is told."""
    found = run_parameter_problems(pipeline.root.input_definitions, given)
    if found:
        raise BadRequest("; ".join(each.message for each in found), causes=found)


def check_document_parameters(document: Json, given: Mapping[str, Json]) -> None:
    """Do as ``check_parameters`` with a document that was checked."""
    check_parameters(read_pipeline(document), given)


def begin(now: Moment) -> Mapping[str, Any]:
    """Give the fields that every new run has."""
    return {"created_at": now, "state": "PENDING", "state_history": [{"update_time": now, "state": "PENDING"}]}


def add_run(tx: Writing, run: Run) -> None:
    """Add a run to its experiment."""
    tx.add(run)
    tx.change(Experiment, Where("id", "=", run.experiment_id), last_run_created_at=run.created_at)
