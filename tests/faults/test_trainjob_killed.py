"""kill -9 of the service in the middle of a TrainJob: it goes on, no node is started twice, and it ends once."""

import json
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.service import ServiceProcess, needs_kubectl, wait_for

pytestmark = needs_kubectl

_PROGRAM = (
    "import os,time; print('begins', os.environ['JOB_COMPLETION_INDEX'], flush=True); time.sleep(4); print('ends')"
)


def _manifests(n_nodes: int) -> str:
    container = {"name": "node", "image": "python:3.11", "command": ["python3", "-c", _PROGRAM]}
    first = {**container, "name": "dataset-initializer"}

    def job(name: str, step: str, main: Any, **more: Any) -> Any:
        template = {
            "metadata": {"labels": {"trainer.kubeflow.org/trainjob-ancestor-step": step}},
            "spec": {"template": {"spec": {"containers": [main]}}},
        }
        return {"name": name, "template": template, **more}

    jobs = [
        job("dataset-initializer", "dataset-initializer", first),
        job("node", "trainer", container, dependsOn=[{"name": "dataset-initializer", "status": "Complete"}]),
    ]
    api = {"apiVersion": "trainer.kubeflow.org/v1alpha1"}
    runtime: Any = {**api, "kind": "TrainingRuntime", "metadata": {"name": "r"}}
    runtime["spec"] = {"mlPolicy": {"numNodes": n_nodes}, "template": {"spec": {"replicatedJobs": jobs}}}
    train: Any = {**api, "kind": "TrainJob", "metadata": {"name": "t"}}
    train["spec"] = {"runtimeRef": {"kind": "TrainingRuntime", "name": "r"}}
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [runtime, train]})


@pytest.mark.parametrize("seed", range(3))
def test_a_trainjob_survives_kills_of_the_service(make_service: Callable[..., ServiceProcess], seed: int) -> None:
    chance = random.Random(seed)
    service = make_service()
    service.start()
    service.kubectl("apply", "-f", "-", stdin=_manifests(2))
    for _ in range(2):
        time.sleep(chance.uniform(0, 3))  # not a wait: the moment of the crash is what is varied
        service.kill()
        service.start()

    def conditions() -> list[str]:
        status = json.loads(service.kubectl("get", "trainjob", "t", "-o", "json")).get("status", {})
        return [condition["type"] for condition in status.get("conditions", [])]

    assert wait_for("its end", conditions, 90) == ["Complete"]
    pods = json.loads(service.kubectl("get", "pods", "-o", "json"))["items"]
    assert sorted(pod["metadata"]["name"].rsplit("-", 1)[0] for pod in pods) == [
        "t-dataset-initializer-0-0", "t-node-0-0", "t-node-0-1",
    ]  # fmt: skip
    logs = service.kubectl("logs", "-l", "jobset.sigs.k8s.io/jobset-name=t", "--tail=-1")
    assert (logs.count("begins"), logs.count("ends")) == (3, 3)
    wait_for("no process to be left", lambda: not service.processes())
