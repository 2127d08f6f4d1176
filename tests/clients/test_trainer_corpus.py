"""The manifests of Trainer's own examples, with `kubectl`, as the corpus's index says of them. Skipped without it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.environments import share_environments
from tests.service import ServiceProcess, needs_kubectl, wait_for

_PLACES = [parent / "shared/corpus/training/trainer-v2" for parent in Path(__file__).resolve().parents]
_CORPUS = next((place for place in _PLACES if place.is_dir()), Path("/nowhere"))
_PATIENCE_S = 240.0

pytestmark = [
    needs_kubectl,
    pytest.mark.skipif(not _CORPUS.is_dir(), reason="there is no corpus beside the checkout"),
    pytest.mark.heavy,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("trainer-corpus"),
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """Give a running service."""
    running = ServiceProcess(tmp_path_factory.mktemp("corpus") / "data", "--stop-pods")
    share_environments(running.data)
    running.start()
    yield running
    running.stop()


def _example(name: str) -> dict[str, Any]:
    (found,) = [obj for obj in yaml.safe_load_all((_CORPUS / "examples/yaml" / name).read_text()) if obj]
    return dict(found)


def _status(service: ServiceProcess, name: str) -> dict[str, Any]:
    return dict(json.loads(service.kubectl("get", "trainjob", name, "-o", "json")).get("status", {}))


def _complete(service: ServiceProcess, name: str) -> None:
    def ended() -> bool:
        return any(c["type"] in ("Complete", "Failed") for c in _status(service, name).get("conditions", []))

    wait_for("its end", ended, _PATIENCE_S)
    log = service.kubectl("logs", "-l", f"jobset.sigs.k8s.io/jobset-name={name}", "--tail=-1", check=False)
    assert _status(service, name)["conditions"][-1]["type"] == "Complete", log


def _apply(service: ServiceProcess, job: dict[str, Any]) -> str:
    """Make a TrainJob: first one that asks for more than any machine has, to see that this is told; then as it fits."""
    name = str(job["metadata"]["name"])
    if resources := job["spec"]["trainer"].pop("resourcesPerNode", None):
        much = {kind: values | {"cpu": "100000"} for kind, values in resources.items()}
        trainer = job["spec"]["trainer"] | {"resourcesPerNode": much}
        service.kubectl("apply", "-f", "-", stdin=json.dumps(job | {"spec": job["spec"] | {"trainer": trainer}}))
        if job["spec"].get("suspend"):
            service.kubectl("patch", "trainjob", name, "--type=merge", "-p", '{"spec":{"suspend":false}}')
        selector = f"jobset.sigs.k8s.io/jobset-name={name}"
        wait_for(
            "the reason", lambda: "so it can never start here" in service.kubectl("describe", "pods", "-l", selector)
        )
        service.kubectl("delete", "trainjob", name)
    service.kubectl("apply", "-f", "-", stdin=json.dumps(job))
    return name


def test_01_torch_on_three_nodes(service: ServiceProcess) -> None:
    name = _apply(service, _example("01-multi-node.yaml"))
    _complete(service, name)
    log = service.kubectl("logs", "-l", f"jobset.sigs.k8s.io/jobset-name={name}", "--tail=-1")
    n = 3 * (os.cpu_count() or 1)
    assert {f"RANK: {rank}" for rank in range(n)} <= set(log.splitlines())
    assert log.count(f"WORLD_SIZE: {n}") == n


def test_02_patches_are_tolerated_where_the_machine_has_what_they_ask_for(service: ServiceProcess) -> None:
    node = service.kubectl("get", "nodes", "-o", "name").strip()
    service.kubectl("label", node, "node-type=training", "--overwrite")
    service.kubectl("create", "serviceaccount", "training-sa")
    name = _apply(service, _example("02-runtime-patches.yaml"))
    _complete(service, name)
    log = service.kubectl("logs", "-l", f"jobset.sigs.k8s.io/jobset-name={name}", "--tail=-1")
    assert "CUSTOM_VAR: custom-value" in log
    made = json.loads(service.kubectl("get", "jobset", name, "-o", "json"))
    assert made["metadata"]["labels"] == {"team": "ml-platform", "cost-center": "research"}


def test_03_it_waits_suspended_until_its_queue_lets_it_go(service: ServiceProcess) -> None:
    name = _apply(service, _example("03-kueue-integration.yaml"))
    service.kubectl("wait", f"trainjob/{name}", "--for=condition=Suspended", "--timeout=30s")
    assert service.kubectl("get", "pods", "-l", f"jobset.sigs.k8s.io/jobset-name={name}", "-o", "name") == ""
    service.kubectl("patch", "trainjob", name, "--type=merge", "-p", '{"spec":{"suspend":false}}')
    _complete(service, name)
    conditions = {c["type"]: c["status"] for c in _status(service, name)["conditions"]}
    assert conditions == {"Suspended": "False", "Complete": "True"}


def test_every_runtime_is_there_already_or_can_be_made(service: ServiceProcess) -> None:
    for file in sorted((_CORPUS / "runtimes").rglob("*.yaml")):
        if file.name != "kustomization.yaml":
            service.kubectl("apply", "-f", str(file))


@pytest.mark.parametrize(
    ("runtime", "reason"),
    [
        ("deepspeed-distributed", "ghcr.io/kubeflow/trainer/deepspeed-runtime"),
        ("mlx-distributed", "ghcr.io/kubeflow/trainer/mlx-runtime"),
        ("torchtune-llama3.2-1b", "ghcr.io/kubeflow/trainer/model-initializer"),
        ("torch-distributed-with-cache", 'serviceaccount "kubeflow-trainer-cache-initializer" not found'),
    ],
)
def test_what_cannot_run_here_waits_and_says_why(service: ServiceProcess, runtime: str, reason: str) -> None:
    name = runtime.replace(".", "-")
    job = {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": name},
        "spec": {"runtimeRef": {"name": runtime}},
    }
    service.kubectl("apply", "-f", "-", stdin=json.dumps(job))
    wait_for("the reason", lambda: reason in service.kubectl("get", "events", "-o", "wide"))
    assert "conditions" not in _status(service, name)
    service.kubectl("delete", "trainjob", name)
