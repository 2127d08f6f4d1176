"""The definitions of training jobs: names that users and tools use, upstream's fields, and all that planners write."""

from collections.abc import Iterator
from typing import Any

import pytest
from kubeflow.training import models as sdk

from beamhall.training.registry import training_definitions
from tests.unit.training.jobs import Run, tf_job

models: Any = sdk
_V2BETA1_ONLY = {
    "launcherCreationPolicy": "AtStartup",
    "mpiImplementation": "OpenMPI",
    "runLauncherAsWorker": False,
    "sshAuthMountPath": "/root/.ssh",
}
_DEFINITIONS = {d["spec"]["names"]["kind"]: d for d in training_definitions() if d["spec"]["group"] == "kubeflow.org"}


def _schema(kind: str) -> dict[str, Any]:
    schema: dict[str, Any] = _DEFINITIONS[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _unknown(value: Any, schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Give the fields that an API server would prune."""
    if isinstance(value, list):
        for item in value:
            yield from _unknown(item, schema["items"], f"{path}[]")
    if not isinstance(value, dict) or schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    for key, item in value.items():
        inner = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
        if inner is None:
            yield f"{path}.{key}"
        else:
            yield from _unknown(item, inner, f"{path}.{key}")


_PROGRESS = ["status.trainerStatus: only ours"]
"""Progress stands where TrainJobs have it; the SDK's models pass over what they do not know."""


def _differences(model: Any, schema: dict[str, Any], path: str) -> Iterator[str]:
    """Compare the fields of a model of upstream's SDK with ours."""
    names = {model.attribute_map[attribute]: type_ for attribute, type_ in model.openapi_types.items()}
    ours = schema.get("properties") or {}
    for name in sorted(set(names) ^ set(ours)):
        yield f"{path}.{name}: only {'upstream' if name in names else 'ours'}"
    for name in set(names) & set(ours):
        yield from _type_differences(names[name], ours[name], f"{path}.{name}")


_PLAIN = {"str": "string", "int": "integer", "bool": "boolean", "datetime": "string"}


def _type_differences(type_: str, schema: dict[str, Any], path: str) -> Iterator[str]:
    if type_ in _PLAIN:
        if schema.get("type") != _PLAIN[type_]:
            yield f"{path}: {type_} upstream, {schema.get('type')} ours"
    elif type_.startswith("list["):
        if schema.get("type") != "array":
            yield f"{path}: a list upstream"
        yield from _type_differences(type_[5:-1], schema["items"], f"{path}[]")
    elif type_.startswith("dict("):
        if "additionalProperties" not in schema:
            yield f"{path}: a mapping upstream"
        yield from _type_differences(type_[5:-1].split(", ")[1], schema["additionalProperties"], f"{path}.*")
    elif type_.startswith("Kubeflow"):
        yield from _differences(getattr(models, type_), schema, path)
    elif schema.get("type") != "object" and "anyOf" not in schema:
        yield f"{path}: {type_} upstream, {schema.get('type')} ours"


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("TFJob", models.KubeflowOrgV1TFJobSpec),
        ("PyTorchJob", models.KubeflowOrgV1PyTorchJobSpec),
        ("MPIJob", models.KubeflowOrgV1MPIJobSpec),
        ("JAXJob", models.KubeflowOrgV1JAXJobSpec),
        ("XGBoostJob", models.KubeflowOrgV1XGBoostJobSpec),
        ("PaddleJob", models.KubeflowOrgV1PaddleJobSpec),
    ],
)
def test_spec_and_status_are_upstreams_field_by_field(kind: str, spec: Any) -> None:
    schema = _schema(kind)["properties"]
    ours_too = {f"spec.{field}: only ours" for field in _V2BETA1_ONLY} if kind == "MPIJob" else set()
    assert set(_differences(spec, schema["spec"], "spec")) == ours_too
    assert list(_differences(models.KubeflowOrgV1JobStatus, schema["status"], "status")) == _PROGRESS


def test_the_comparison_sees_what_is_missing_and_what_is_of_another_type() -> None:
    schema = _schema("PyTorchJob")["properties"]["spec"]
    elastic = {**schema["properties"]["elasticPolicy"]["properties"], "rdzvPort": {"type": "string"}}
    del elastic["rdzvId"]
    changed = {"properties": {**schema["properties"], "elasticPolicy": {"type": "object", "properties": elastic}}}
    assert list(_differences(models.KubeflowOrgV1PyTorchJobSpec, changed, "spec")) == [
        "spec.elasticPolicy.rdzvId: only upstream",
        "spec.elasticPolicy.rdzvPort: int upstream, string ours",
    ]


@pytest.mark.parametrize("kind", _DEFINITIONS)
def test_names_columns_and_subresources(kind: str) -> None:
    definition = _DEFINITIONS[kind]
    version = definition["spec"]["versions"][0]
    assert definition["metadata"]["name"] == f"{kind.lower()}s.kubeflow.org"
    assert definition["spec"]["names"]["singular"] == kind.lower()
    assert [(c["name"], c["jsonPath"]) for c in version["additionalPrinterColumns"]] == [
        ("State", ".status.conditions[-1:].type"),
        ("Age", ".metadata.creationTimestamp"),
    ]
    scaled = {"PyTorchJob": "pytorchReplicaSpecs", "JAXJob": "jaxReplicaSpecs", "PaddleJob": "paddleReplicaSpecs"}
    paths = {
        "specReplicasPath": f".spec.{scaled.get(kind)}.Worker.replicas",
        "statusReplicasPath": ".status.replicaStatuses.Worker.active",
        "labelSelectorPath": ".status.replicaStatuses.Worker.selector",
    }
    assert version["subresources"] == {"status": {}} | ({"scale": paths} if kind in scaled else {})


def test_nothing_that_users_or_the_planner_write_is_pruned() -> None:
    policy = {
        "cleanPodPolicy": "All",
        "ttlSecondsAfterFinished": 1,
        "activeDeadlineSeconds": 9,
        "backoffLimit": 1,
        "suspend": False,
        "managedBy": "kubeflow.org/training-operator",
        "schedulingPolicy": {"minAvailable": 1, "minResources": {"cpu": 1}, "queue": "q", "scheduleTimeoutSeconds": 1},
    }
    run = Run(tf_job(run_policy=policy, successPolicy="AllWorkers", enableDynamicWorker=False))
    run.start()
    run.end("j-worker-1", 1)
    job = {k: v for k, v in run.job.items() if k in ("spec", "status")}
    assert list(_unknown(job, _schema("TFJob"))) == []
    assert list(_unknown({"spec": {"tfReplicaSpec": {}}}, _schema("TFJob"))) == [".spec.tfReplicaSpec"]


def test_every_framework_is_defined() -> None:
    assert set(_DEFINITIONS) == {"TFJob", "PyTorchJob", "MPIJob", "JAXJob", "XGBoostJob", "PaddleJob"}


def test_the_versions_of_mpijob() -> None:
    """The stored one knows all fields of the other, but only the other one has their defaults."""
    v1, v2beta1 = _DEFINITIONS["MPIJob"]["spec"]["versions"]
    assert [(v["name"], v["served"], v["storage"]) for v in (v1, v2beta1)] == [
        ("v1", True, True),
        ("v2beta1", True, False),
    ]
    fields, newer = (v["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"] for v in (v1, v2beta1))
    defaults = {name: schema["default"] for name, schema in newer.items() if "default" in schema}
    assert defaults == _V2BETA1_ONLY | {"slotsPerWorker": 1}
    assert set(newer) == set(_V2BETA1_ONLY) | {"slotsPerWorker", "mpiReplicaSpecs", "runPolicy"}
    assert set(newer) <= set(fields)
    assert not any("default" in fields[name] for name in newer)
