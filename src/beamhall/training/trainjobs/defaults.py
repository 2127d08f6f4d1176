"""The ClusterTrainingRuntimes that are there from the start: upstream's, but for the user whom those of MPI name.

The catalog says which local environment stands for an image. A runtime that users changed stays as they made it.

Source: kubeflow/trainer v2.3, ``manifests/base/runtimes``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from beamhall.kernel.kinds import CLUSTER_TRAINING_RUNTIME
from beamhall.kernel.objects import Object
from beamhall.training.trainjobs.runtime import (
    DATASET_INITIALIZER,
    FRAMEWORK_LABEL,
    LAUNCHER,
    MODEL_INITIALIZER,
    NODE,
    STEP_LABEL,
    TRAINER,
)

TRAINER_VERSION = "2.3.0"
"""The release of Kubeflow Trainer whose API is served, as it is told to clients."""

_IMAGES = "ghcr.io/kubeflow/trainer"
_TORCH = "pytorch/pytorch:2.13.0-cuda13.0-cudnn9-runtime"
_WORKSPACE = {"mountPath": "/workspace", "name": "initializer"}
_SET_NAME = "metadata.labels['jobset.sigs.k8s.io/jobset-name']"


def default_runtimes() -> Sequence[Object]:
    """Give the runtimes."""
    return (
        _simple("torch-distributed", "torch", _TORCH),
        _simple("jax-distributed", "jax", "nvcr.io/nvidia/jax:25.10-py3"),
        _simple("xgboost-distributed", "xgboost", f"{_IMAGES}/xgboost-runtime"),
        _mpi("deepspeed-distributed", "deepspeed", f"{_IMAGES}/deepspeed-runtime"),
        _mpi("mlx-distributed", "mlx", f"{_IMAGES}/mlx-runtime"),
        _tune("torchtune-llama3.2-1b", "meta-llama/Llama-3.2-1B-Instruct", "original/tokenizer.model"),
        _tune("torchtune-llama3.2-3b", "meta-llama/Llama-3.2-3B-Instruct", "original/tokenizer.model"),
        _tune("torchtune-qwen2.5-1.5b", "Qwen/Qwen2.5-1.5B-Instruct", "vocab.json"),
        _with_cache(),
    )


def _runtime(name: str, framework: str, policy: Mapping[str, Any], spec: Mapping[str, Any]) -> Object:
    return {
        "apiVersion": CLUSTER_TRAINING_RUNTIME.api_version,
        "kind": CLUSTER_TRAINING_RUNTIME.kind,
        "metadata": {"name": name, "labels": {FRAMEWORK_LABEL: framework}},
        "spec": {"mlPolicy": {"numNodes": 1, **policy}, "template": {"spec": dict(spec)}},
    }


def _job(name: str, container: Mapping[str, Any], step: str = "", **more: Any) -> Object:
    """Make a replicated Job with one container, and ``pod`` for its Pods."""
    pod = {**more.pop("pod", {}), "containers": [dict(container)]}
    template: Object = {"spec": {"template": {"spec": pod}}}
    if step:
        template = {"metadata": {"labels": {STEP_LABEL: step}}, **template}
    return {"name": name, **more, "template": template}


def _simple(name: str, framework: str, image: str) -> Object:
    node = _job(NODE, {"name": NODE, "image": image}, TRAINER)
    return _runtime(name, framework, {framework: {}}, {"replicatedJobs": [node]})


def _mpi(name: str, framework: str, image: str) -> Object:
    # Upstream's name user 1000, whom its images have for SSH; daemons come through the API, as whoever runs the Pods.
    container = {"name": NODE, "image": image}
    daemon = {
        "command": ["/usr/sbin/sshd"],
        "args": ["-De", "-f", "/home/mpiuser/.sshd_config"],
        "readinessProbe": {"tcpSocket": {"port": 2222}, "initialDelaySeconds": 5},
    }
    policy = {
        "mpi": {
            "numProcPerNode": 1,
            "mpiImplementation": "OpenMPI",
            "sshAuthMountPath": "/home/mpiuser/.ssh",
            "runLauncherAsNode": True,
        }
    }
    nodes = _job(NODE, {**container, **daemon})
    launcher = _job(LAUNCHER, container, TRAINER, dependsOn=[{"name": NODE, "status": "Ready"}])
    spec = {
        "network": {"publishNotReadyAddresses": True},
        "successPolicy": {"operator": "All", "targetReplicatedJobs": [LAUNCHER]},
        "replicatedJobs": [nodes, launcher],
    }
    return _runtime(name, framework, policy, spec)


def _tune(name: str, model: str, tokenizer: str) -> Object:
    def fetch(step: str, uri: str) -> Object:
        variables = [{"name": "STORAGE_URI", "value": uri}]
        container = {"name": step, "image": f"{_IMAGES}/{step}", "env": variables, "volumeMounts": [_WORKSPACE]}
        return _job(step, container, step)

    merges = ["tokenizer.merges_file=/workspace/model/merges.txt"] if tokenizer == "vocab.json" else []
    family, size = name.removeprefix("torchtune-").split("-")
    command = [
        "tune", "run", "--rdzv_endpoint=localhost:29500", "full_finetune_distributed",
        "--config", f"{family.replace('.', '_')}/{size.upper()}_full",
        "dataset=torchtune.datasets.instruct_dataset", "dataset.source=parquet",
        "dataset.data_dir=/workspace/dataset/data", "output_dir=/workspace/output",
        f"tokenizer.path=/workspace/model/{tokenizer}", *merges,
        "checkpointer.checkpoint_dir=/workspace/model",
    ]  # fmt: skip
    node = {
        "name": NODE,
        "image": f"{_IMAGES}/torchtune-trainer",
        "command": command,
        "resources": {"limits": {"nvidia.com/gpu": 2}},
        "volumeMounts": [_WORKSPACE],
    }
    claim = {
        "metadata": {"name": "initializer"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "20Gi"}}},
    }
    first = [{"name": step, "status": "Complete"} for step in (DATASET_INITIALIZER, MODEL_INITIALIZER)]
    jobs = [
        fetch(DATASET_INITIALIZER, "hf://tatsu-lab/alpaca"),
        fetch(MODEL_INITIALIZER, f"hf://{model}"),
        _job(NODE, node, TRAINER, dependsOn=first),
    ]
    spec = {"volumeClaimPolicies": [{"templates": [claim]}], "replicatedJobs": jobs}
    return _runtime(name, "torchtune", {"torch": {}}, spec)


def _with_cache() -> Object:
    own_name = {
        "name": "TRAIN_JOB_NAME",
        "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": _SET_NAME}},
    }
    cache = {"name": "CACHE_IMAGE", "value": f"{_IMAGES}/data-cache:v{TRAINER_VERSION}"}
    fetcher = {
        "name": DATASET_INITIALIZER,
        "image": f"{_IMAGES}/{DATASET_INITIALIZER}",
        "env": [cache, own_name],
    }
    account = {"serviceAccountName": "kubeflow-trainer-cache-initializer"}
    first = [{"name": DATASET_INITIALIZER, "status": "Complete"}]
    jobs = [
        _job(DATASET_INITIALIZER, fetcher, DATASET_INITIALIZER, replicas=1, pod=account),
        _job(NODE, {"name": NODE, "image": _TORCH, "env": [own_name]}, TRAINER, dependsOn=first),
    ]
    runtime = _runtime("torch-distributed-with-cache", "torch", {"torch": {}}, {"replicatedJobs": jobs})
    runtime["metadata"]["labels"]["trainer.kubeflow.org/webhook-validation"] = "disabled"
    return runtime
