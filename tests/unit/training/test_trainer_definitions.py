"""The definitions of Trainer and JobSet: upstream's fields, what planners write, and the runtimes that are there."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from kubeflow_trainer_api import models as sdk
from pydantic import BaseModel

from beamhall.kernel.kinds import CLUSTER_TRAINING_RUNTIME, JOB_SET, TRAIN_JOB
from beamhall.kernel.schema import Schema
from beamhall.training.trainjobs.defaults import default_runtimes
from beamhall.training.trainjobs.registry import job_set_definitions, trainer_definitions
from tests.models.trainer import Trainer, job_set, runtime, train_job

_DEFINITIONS = {d["spec"]["names"]["kind"]: d for d in (*trainer_definitions(), *job_set_definitions())}
_PLACES = [parent / "shared/corpus/training/trainer-v2" for parent in Path(__file__).resolve().parents]
_CORPUS = next((place for place in _PLACES if place.is_dir()), None)
_SET_COLUMNS = ["TerminalState", "Restarts", "Completed", "Suspended", "Age"]
_QUANTITY = sdk.IoK8sApimachineryPkgApiResourceQuantity
_OF_RELEASES_BEFORE = {"numProcPerNode", "elasticPolicy"}  # of mlPolicy.torch


def _schema(kind: str) -> dict[str, Any]:
    schema: dict[str, Any] = _DEFINITIONS[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


@pytest.mark.parametrize(
    ("kind", "name", "scope", "columns"),
    [
        ("TrainJob", "trainjobs.trainer.kubeflow.org", "Namespaced", ["State", "Age"]),
        ("TrainingRuntime", "trainingruntimes.trainer.kubeflow.org", "Namespaced", []),
        ("ClusterTrainingRuntime", "clustertrainingruntimes.trainer.kubeflow.org", "Cluster", []),
        ("JobSet", "jobsets.jobset.x-k8s.io", "Namespaced", _SET_COLUMNS),
    ],
)  # fmt: skip
def test_how_users_and_tools_address_them(kind: str, name: str, scope: str, columns: list[str]) -> None:
    definition = _DEFINITIONS[kind]
    assert (definition["metadata"]["name"], definition["spec"]["scope"]) == (name, scope)
    version = definition["spec"]["versions"][0]
    assert [column["name"] for column in version.get("additionalPrinterColumns", [])] == columns
    assert ("subresources" in version) == (kind in ("TrainJob", "JobSet"))


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """Give the SDK's model in an annotation such as ``Optional[List[Model]]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_of(part))), None)


def _differences(model: type[BaseModel], schema: Mapping[str, Any], path: str) -> Iterator[str]:
    """Give the fields that only one of the SDK's model and a schema has."""
    if schema.get("x-kubernetes-preserve-unknown-fields") or path.endswith(".metadata") or model is _QUANTITY:
        return
    known = schema.get("properties", {})
    fields = {str(field.alias or name): field for name, field in model.model_fields.items()}
    for name in sorted(known.keys() ^ fields.keys()):
        if not (path.endswith(".torch") and name in _OF_RELEASES_BEFORE):
            yield f"{path}.{name}"
    for name in known.keys() & fields.keys():
        inner = _model_of(fields[name].annotation)
        if inner is not None:
            yield from _differences(inner, known[name].get("items", known[name]), f"{path}.{name}")


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("TrainJob", sdk.TrainerV1alpha1TrainJob),
        ("TrainingRuntime", sdk.TrainerV1alpha1TrainingRuntime),
        ("ClusterTrainingRuntime", sdk.TrainerV1alpha1ClusterTrainingRuntime),
        ("JobSet", sdk.JobsetV1alpha2JobSet),
    ],
)
def test_every_field_of_upstream_and_no_other(kind: str, model: type[BaseModel]) -> None:
    assert list(_differences(model, _schema(kind), kind)) == []


def test_what_is_left_out_is_filled_in_as_upstream_does() -> None:
    made = job_set()
    assert made["spec"]["network"] == {"enableDNSHostnames": True, "publishNotReadyAddresses": True}
    assert made["spec"]["successPolicy"] == {"operator": "All"}
    assert made["spec"]["startupPolicy"] == {"startupPolicyOrder": "AnyOrder"}
    assert (made["spec"]["replicatedJobs"][0]["replicas"], made["spec"]["replicatedJobs"][0]["groupName"]) == (
        1,
        "default",
    )
    job: Any = train_job()
    Schema(_schema("TrainJob")).default(job)
    assert job["spec"] == {
        "runtimeRef": {"name": "r", "apiGroup": "trainer.kubeflow.org", "kind": "ClusterTrainingRuntime"},
        "managedBy": "trainer.kubeflow.org/trainjob-controller",
        "suspend": False,
    }


def test_nothing_that_planners_write_is_pruned() -> None:
    over = (CLUSTER_TRAINING_RUNTIME, runtime(policy={"torch": {}}))
    run = Trainer(over, (TRAIN_JOB, train_job(trainer={"numNodes": 2})), gang="scheduler-plugins")
    run.start()
    run.end()
    for kind in (TRAIN_JOB, JOB_SET):
        obj = run.get(kind)
        assert Schema(_schema(kind.kind)).unknown_fields(obj) == []
        assert list(Schema(_schema(kind.kind)).validate(obj)) == []


@pytest.mark.parametrize("default", default_runtimes(), ids=lambda runtime: str(runtime["metadata"]["name"]))
def test_the_default_runtimes_fit_and_are_upstreams(default: dict[str, Any]) -> None:
    stored = {**default}
    assert Schema(_schema("ClusterTrainingRuntime")).unknown_fields(stored) == []
    assert list(Schema(_schema("ClusterTrainingRuntime")).validate(stored)) == []
    if _CORPUS is None:
        pytest.skip("needs the corpus")
    files = (_CORPUS / "runtimes").rglob("*.yaml")
    theirs = [obj for file in files for obj in yaml.safe_load_all(file.read_text()) if obj["kind"] != "Kustomization"]
    for obj in theirs:
        for job in obj["spec"]["template"]["spec"]["replicatedJobs"] if "mpi" in obj["spec"]["mlPolicy"] else ():
            pod = job["template"]["spec"]["template"]["spec"]
            del pod["securityContext"]  # the user of upstream's images, whom no image here has
            del pod["containers"][0]["securityContext"]
    assert stored in theirs
