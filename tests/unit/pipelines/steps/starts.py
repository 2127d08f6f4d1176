"""Started tasks to make steps of: of a small pipeline whose one component a test describes."""

from datetime import UTC, datetime
from typing import Any

from beamhall.embedded.api.builtin.defaults import apply_defaults
from beamhall.embedded.api.builtin.fields import check_fields
from beamhall.embedded.api.builtin.validation import validate_create
from beamhall.kernel.kinds import PERSISTENT_VOLUME_CLAIM, POD
from beamhall.kernel.objects import Object
from beamhall.pipelines.engine.decisions import Start
from beamhall.pipelines.engine.events import Options
from beamhall.pipelines.engine.values import ArtifactRef, Outputs
from beamhall.pipelines.spec.checking import checked_pipeline
from beamhall.pipelines.spec.executors import ArtifactType
from beamhall.pipelines.steps.facts import RunFacts
from beamhall.pipelines.steps.step import Steps
from beamhall.pipelines.steps.values import Step
from tests.models.pipeline_runs import Play

Document = dict[str, Any]

DATASET: Document = {"artifactType": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}}


class OneTask:
    """A run of a pipeline whose task ``/train`` is to be made into a step; keywords go into its specification.

    Args:
        container: The container, or with ``importer=`` another executor.
        more: More of the task's specification: ``{"cachingOptions": …}``.
        inputs: Parameters of the component by name: a type, or a whole specification.
        given: Constants that the task gives to them; ``task_inputs`` are its other inputs as they are specified.
        gave: Parameters that the earlier task gave, all of them text.
        artifacts: Artifacts that an earlier task gives, by name of the input.
        component: More of the component's specification.
        outputs: Parameters that it gives, by name and type.
        makes: Artifacts that it gives, by name.
        kubernetes: Its platform configuration.
        config: That of the pipeline.
        facts: More of ``RunFacts``.
    """

    def __init__(self, container: Document | None = None, **what: Any) -> None:
        facts = {"pipeline_root": "/data/artifacts", **what.get("facts", {})}
        self.pipeline = checked_pipeline(_documents(container or {"image": "python:3.11"}, what))
        self.facts = RunFacts(
            namespace="lab",
            run_id="8c1d9f1e-33aa-4f34-9a2c-9d7be7f00c11",
            pipeline=self.pipeline,
            created_at=datetime(2026, 11, 25, 12, 30, 45, tzinfo=UTC),
            **{"display_name": "Run of today", **facts},
        )
        self.steps = Steps(self.facts)
        self.play = Play(
            self.pipeline, parameters=what.get("run", {}), options=Options(fail_fast=False, job=self.steps.job)
        ).begin()
        if "/before" in self.play.pending:
            refs = {name: (ref,) for name, ref in what.get("artifacts", {}).items()} | what.get("refs", {})
            event = self.play.behave("/before", self.play.inputs["/before"])
            self.play.finish("/before", _with(event, Outputs(what.get("gave", {}), refs)))

    @property
    def start(self) -> Start:
        assert "/train" in self.play.starts, self.play.states()
        return self.play.starts["/train"]

    def step(self, attempt: int = 0) -> Step:
        return self.steps.step_of(self.start, attempt)

    def pod(self) -> Object:
        pod = self.step().pod
        assert pod is not None
        return pod

    def container(self) -> Object:
        found: Object = self.pod()["spec"]["containers"][0]
        return found

    def outputs(self, **files: bytes | None) -> Outputs:
        """Give what it gave when its files held this: ``told`` the ExecutorOutput, others the parameters."""
        step = self.step()
        names = ["told", *self.start.component.output_definitions.parameters]
        read = {uri: files.get(name) for name, uri in zip(names, step.result_files, strict=True)}
        return self.steps.outputs_of(self.start, step, read)


def _with(event: Any, outputs: Outputs) -> Any:
    return type(event)(event.path, event.state, outputs)


def _documents(container: Document, what: Document) -> Any:
    inputs = {name: _typed(one) for name, one in what.get("inputs", {}).items()}
    artifacts = dict.fromkeys(what.get("artifacts", {}), DATASET)
    executor = {"importer": what["importer"]} if "importer" in what else {"container": container}
    component = {
        "executorLabel": "exec-train",
        "inputDefinitions": {"parameters": inputs, "artifacts": artifacts},
        "outputDefinitions": {
            "parameters": {name: _typed(one) for name, one in what.get("outputs", {}).items()},
            "artifacts": what.get("makes", {}),
        },
        **what.get("component", {}),
    }
    constants = {name: {"runtimeValue": {"constant": value}} for name, value in what.get("given", {}).items()}
    taken = {name: {"taskOutputArtifact": {"producerTask": "before", "outputArtifactKey": name}} for name in artifacts}
    train = {
        "componentRef": {"name": "comp-train"},
        "inputs": {"parameters": {**constants, **what.get("task_inputs", {})}, "artifacts": taken},
        **what.get("more", {}),
    }
    gave = {name: {"parameterType": "STRING"} for name in what.get("gave", {})}
    before = {"executorLabel": "exec-before", "outputDefinitions": {"artifacts": artifacts, "parameters": gave}}
    tasks = {"train": train}
    if artifacts or gave:
        tasks["before"] = {"componentRef": {"name": "comp-before"}}
    spec = {
        "pipelineInfo": {"name": what.get("pipeline", "digits")},
        "schemaVersion": "2.1.0",
        "deploymentSpec": {"executors": {"exec-train": executor, "exec-before": {"container": {"image": "python"}}}},
        "components": {"comp-train": component, "comp-before": before},
        "root": {"dag": {"tasks": tasks}, "inputDefinitions": {"parameters": what.get("root", {})}},
    }
    executors = {"executors": {"exec-train": what.get("kubernetes", {})}}
    kubernetes = {"deploymentSpec": executors, "pipelineConfig": what.get("config", {})}
    return [spec, {"platforms": {"kubernetes": kubernetes}}]


def _typed(one: Any) -> Document:
    return {"parameterType": one} if isinstance(one, str) else one


def dataset(uri: str, **more: Any) -> ArtifactRef:
    """Give a data set at a place."""
    found = {"name": "data", "type": ArtifactType(schema_title="system.Dataset", schema_version="0.0.1"), **more}
    return ArtifactRef(uri=uri, **found)


def problems_of(obj: Object) -> list[str]:
    """Say what the embedded API finds wrong with a Pod or claim that is made as it is."""
    kind = POD if obj["kind"] == "Pod" else PERSISTENT_VOLUME_CLAIM
    found = check_fields(kind, obj)
    apply_defaults(kind, obj)
    wrong = [*found.causes, *validate_create(kind, obj)]
    return [f"unknown field {path}" for path in found.unknown] + [f"{one.field}: {one.message}" for one in wrong]
