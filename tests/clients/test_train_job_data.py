"""Initializers of TrainJobs, by the ``kubeflow`` SDK: what they fetch is there when the nodes train."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from kubeflow.common.types import KubernetesBackendConfig
from kubeflow.trainer import CustomTrainer, TrainerClient
from kubeflow.trainer.types.types import (
    HuggingFaceDatasetInitializer,
    HuggingFaceModelInitializer,
    Initializer,
    S3DatasetInitializer,
    S3ModelInitializer,
)
from kubernetes import config

from tests.environments import share_environments
from tests.hub_server import hub_server
from tests.s3_server import REGION, S3Server, s3_server
from tests.service import ServiceProcess, needs_kubectl

pytestmark = [needs_kubectl, pytest.mark.heavy, pytest.mark.timeout(240)]
_TIMEOUT_S = 200
_IMAGES = "ghcr.io/kubeflow/trainer"
_SHARED = {"name": "initializer", "mountPath": "/workspace"}


def _job(name: str, step: str, image: str, hub: str, **more: Any) -> dict[str, Any]:
    endpoint = {"name": "HF_ENDPOINT", "value": hub}
    container = {"name": name, "image": image, "volumeMounts": [_SHARED], "env": [endpoint]}
    pod = {"containers": [container], "restartPolicy": "Never"}
    labels = {"trainer.kubeflow.org/trainjob-ancestor-step": step}
    template = {"metadata": {"labels": labels}, "spec": {"backoffLimit": 0, "template": {"spec": pod}}}
    return {"name": name, "template": template, **more}


def _runtime(name: str, hub: str) -> dict[str, Any]:
    """Make a runtime whose node trains when both initializers have fetched what is asked for."""
    steps = ("dataset-initializer", "model-initializer")
    first = [{"name": step, "status": "Complete"} for step in steps]
    claim = {
        "metadata": {"name": "initializer"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    jobs = [
        *(_job(step, step, f"{_IMAGES}/{step}", hub) for step in steps),
        _job("node", "trainer", "python:3.11", hub, dependsOn=first),
    ]
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainingRuntime",
        "metadata": {"name": name, "labels": {"trainer.kubeflow.org/framework": "plain"}},
        "spec": {
            "mlPolicy": {"numNodes": 1},
            "template": {"spec": {"volumeClaimPolicies": [{"templates": [claim]}], "replicatedJobs": jobs}},
        },
    }


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        server.client().create_bucket(Bucket="lab")
        for key in ("set/rows.csv", "model/weights.bin", "model/config.json"):
            server.client().put_object(Bucket="lab", Key=key, Body=f"of {key}".encode())
        yield server


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    rows = {"data/rows.csv": b"of the hub", "README.md": b"about"}
    net = {"config.json": b"{}", "net.safetensors": b"weights", "net.bin": b"the same again"}
    with hub_server({"datasets/lab/rows": rows, "models/lab/net": net}) as url:
        yield url


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, hub: str) -> Iterator[ServiceProcess]:
    running = ServiceProcess(tmp_path_factory.mktemp("data") / "data", "--stop-pods")
    share_environments(running.data)
    running.start()
    try:
        running.kubectl("create", "namespace", "lab")
        for name, endpoint in (("fetching", "http://127.0.0.1:9"), ("fetching-from-hub", hub)):
            running.kubectl("apply", "-n", "lab", "-f", "-", stdin=json.dumps(_runtime(name, endpoint)))
        yield running
    finally:
        running.stop()


@pytest.fixture
def trainer(service: ServiceProcess) -> Iterator[TrainerClient]:
    with config.new_client_from_config(str(service.kubeconfig)) as connection:
        yield TrainerClient(KubernetesBackendConfig(client_configuration=connection.configuration, namespace="lab"))


def _show() -> None:
    from pathlib import Path  # noqa: PLC0415  what is packed is this function alone

    for path in sorted(Path("/workspace").rglob("*")):
        if path.is_file():
            print(f"{path}: {path.read_text()}")


def test_dataset_and_model_from_s3(trainer: TrainerClient, s3: S3Server) -> None:
    reached: dict[str, Any] = {
        "endpoint": s3.url, "region": REGION, "access_key_id": s3.key, "secret_access_key": s3.secret,
    }  # fmt: skip
    name = trainer.train(
        runtime=trainer.get_runtime("fetching"),
        initializer=Initializer(
            dataset=S3DatasetInitializer("s3://lab/set", **reached),
            model=S3ModelInitializer("s3://lab/model", **reached),
        ),
        trainer=CustomTrainer(func=_show),
    )
    trainer.wait_for_job_status(name, timeout=_TIMEOUT_S, polling_interval=1)
    assert list(trainer.get_job_logs(name, step="dataset-initializer")) == [
        "1 file of s3://lab/set in /workspace/dataset"
    ]
    assert list(trainer.get_job_logs(name)) == [
        "/workspace/dataset/rows.csv: of set/rows.csv",
        "/workspace/model/config.json: of model/config.json",
    ], "and none of what the SDK leaves out of models"


def test_dataset_and_model_from_a_hub(trainer: TrainerClient) -> None:
    name = trainer.train(
        runtime=trainer.get_runtime("fetching-from-hub"),
        initializer=Initializer(
            dataset=HuggingFaceDatasetInitializer("hf://lab/rows"), model=HuggingFaceModelInitializer("hf://lab/net")
        ),
        trainer=CustomTrainer(func=_show),
    )
    trainer.wait_for_job_status(name, timeout=_TIMEOUT_S, polling_interval=1)
    files = [line for line in trainer.get_job_logs(name) if line.startswith("/workspace/")]
    shown = [line for line in files if "/.cache/" not in line]  # where hf keeps what it knows of them
    assert shown == [
        "/workspace/dataset/README.md: about",
        "/workspace/dataset/data/rows.csv: of the hub",
        "/workspace/model/config.json: {}",
        "/workspace/model/net.safetensors: weights",
    ], "and none of what the SDK leaves out of models"


def test_a_hub_that_cannot_be_reached_is_said(trainer: TrainerClient, s3: S3Server) -> None:
    hub = HuggingFaceDatasetInitializer("hf://owner/name")
    model = S3ModelInitializer("s3://lab/model", endpoint=s3.url, access_key_id=s3.key, secret_access_key=s3.secret)
    name = trainer.train(
        runtime=trainer.get_runtime("fetching"),
        initializer=Initializer(dataset=hub, model=model),
        trainer=CustomTrainer(func=_show),
    )
    with pytest.raises(RuntimeError, match=f"TrainJob {name} is Failed"):
        trainer.wait_for_job_status(name, timeout=_TIMEOUT_S, polling_interval=1)
    said = list(trainer.get_job_logs(name, step="dataset-initializer"))
    assert any("Error: " in line for line in said[:-1]), said
    assert said[-1] == "beamhall: cannot download hf://owner/name: hf ended with 1; what it says stands above"
