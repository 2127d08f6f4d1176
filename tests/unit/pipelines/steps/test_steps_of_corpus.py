"""Every task of every pipeline of the corpus becomes a step, and its Pod is one that the API takes.

Runs are played: each task gives values of the types that it declares. Skipped without the corpus.
"""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from beamhall.kernel.errors import ApiError
from beamhall.pipelines.engine.decisions import Start, State
from beamhall.pipelines.engine.events import Finished, Options
from beamhall.pipelines.engine.values import NO_OUTPUTS, Outputs
from beamhall.pipelines.packages import documents_of
from beamhall.pipelines.spec.checking import checked_pipeline
from beamhall.pipelines.spec.ir import ParameterType, Pipeline
from beamhall.pipelines.steps.facts import RunFacts
from beamhall.pipelines.steps.step import Steps
from beamhall.pipelines.steps.values import Step
from tests.models.pipeline_runs import Play
from tests.unit.pipelines.steps.starts import problems_of
from tests.unit.pipelines.test_corpus import CORPUS, rows

pytestmark = pytest.mark.skipif(not (CORPUS / "index.tsv").exists(), reason="there is no corpus beside the checkout")

_VALUES: dict[ParameterType, Any] = {
    ParameterType.NUMBER_INTEGER: 3,
    ParameterType.NUMBER_DOUBLE: 0.5,
    ParameterType.BOOLEAN: True,
    ParameterType.LIST: [1, 2],
    ParameterType.STRUCT: {"a": [1], "A_a": "1", "B_b": "2"},
}
MAX_STEPS = 500


def value_of(pipeline: Pipeline, kind: ParameterType) -> Any:
    """Give a value of a type; text that may be a quantity, or a place where there are importers."""
    has_importer = any(one.importer is not None for one in pipeline.spec.deployment_spec.executors.values())
    return _VALUES.get(kind, "/data/file" if has_importer else "1")


def outputs_of(steps: Steps, start: Start, step: Step) -> Outputs:
    """Give what a step gave, as its program would have written it."""
    if step.imported is not None:
        return Outputs({}, {step.imported.output: (step.imported.artifact,)})
    if start.path.endswith("accelerator-type"):
        return Outputs({"Output": "NVIDIA_TESLA_P4"})
    if step.pod is None:
        return Outputs({"name": step.name}) if step.claim is not None else NO_OUTPUTS
    outputs = start.component.output_definitions.parameters
    pipeline = steps.facts.pipeline
    told = {"parameterValues": {name: value_of(pipeline, one.parameter_type) for name, one in outputs.items()}}
    return steps.outputs_of(start, step, {step.result_files[0]: json.dumps(told).encode()})


def played(pipeline: Pipeline, facts: RunFacts) -> list[tuple[Start, Step]]:
    steps = Steps(facts)
    made: list[tuple[Start, Step]] = []
    declared = pipeline.root.input_definitions.parameters
    given = {name: value_of(pipeline, one.parameter_type) for name, one in declared.items() if one.is_required}
    play = Play(pipeline, parameters=given, options=Options(fail_fast=False, job=steps.job)).begin()
    while play.pending and len(made) < MAX_STEPS:
        path, start = next(iter(play.pending.items()))
        assert start is not None
        step = steps.step_of(start, 0)
        made.append((start, step))
        assert steps.fingerprint_of(start) == Steps(facts).fingerprint_of(start)
        play.finish(path, Finished(path, State.SUCCEEDED, outputs_of(steps, start, step)))
    return made


@pytest.mark.parametrize("file", [file for file, outcome in rows() if not outcome.startswith("REJECTED")])
def test_the_steps_of_a_pipeline_of_the_corpus(file: str) -> None:
    try:
        pipeline = checked_pipeline(documents_of((CORPUS / file).read_bytes(), file))
    except ApiError:
        return
    facts = RunFacts(
        namespace="lab", run_id="8c1d9f1e-33aa-4f34-9a2c-9d7be7f00c11", pipeline=pipeline,
        created_at=datetime(2026, 11, 25, tzinfo=UTC), pipeline_root="/data/artifacts",
    )  # fmt: skip
    made = played(pipeline, facts)
    assert made or pipeline.root.input_definitions.artifacts  # which nobody can give
    pods = [step.name for _, step in made if step.pod is not None]
    assert len(set(pods)) == len(pods)
    assert len({step.root for _, step in made}) == len(made)
    for _, step in made:
        for obj in (step.pod, step.claim):
            assert obj is None or problems_of(obj) == []
