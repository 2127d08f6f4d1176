"""``beamhall operator``: the training planner as a process of its own, over HTTP, against the embedded service."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import yaml

from tests.programs import CODE, IMAGE, tfjob
from tests.service import ServiceProcess, needs_kubectl, wait_for

pytestmark = needs_kubectl


@pytest.fixture
def service(make_service: Callable[..., ServiceProcess]) -> ServiceProcess:
    """Give a service that runs no training planner itself."""
    service = make_service()
    (service.data / "config.yaml").write_text("capabilities: []\n")
    service.start()
    service.add_image(IMAGE, "python", CODE)
    service.kubectl("create", "namespace", "lab")
    return service


@pytest.fixture
def operator(service: ServiceProcess) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Give a starter of operators on the service; they are ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "beamhall", "operator", "--kubeconfig", str(service.kubeconfig)]
        with service.log.open("a") as log:
            started.append(
                subprocess.Popen(
                    [*command, "--gang", "scheduler-plugins"], stdout=subprocess.PIPE, stderr=log, text=True
                )
            )
        return started[-1]

    yield start
    for process in started:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


def _create(service: ServiceProcess) -> str:
    manifest = yaml.safe_dump(tfjob("lab", workers=2, steps=10))
    return service.kubectl("create", "-f", "-", "-o", "name", stdin=manifest).strip()


def test_a_job_is_planned_by_another_process(
    service: ServiceProcess, operator: Callable[[], subprocess.Popen[str]]
) -> None:
    job = _create(service)
    process = operator()
    assert process.stdout is not None
    assert "works on" in process.stdout.readline()
    service.kubectl("-n", "lab", "wait", job, "--for=condition=Succeeded", "--timeout=60s")
    pods = json.loads(service.kubectl("-n", "lab", "get", "pods", "-o", "json"))["items"]
    assert len(pods) == 3
    assert process.poll() is None


def test_a_trainjob_is_planned_by_another_process(
    service: ServiceProcess, operator: Callable[[], subprocess.Popen[str]]
) -> None:
    trainer = {"image": "python:3.11", "command": ["python3", "-c", "print('trained')"]}
    spec = {"runtimeRef": {"name": "xgboost-distributed"}, "trainer": trainer}
    job = {"apiVersion": "trainer.kubeflow.org/v1alpha1", "kind": "TrainJob", "metadata": {"name": "t"}, "spec": spec}
    service.kubectl("-n", "lab", "create", "-f", "-", stdin=yaml.safe_dump(job))
    operator()
    service.kubectl("-n", "lab", "wait", "trainjob/t", "--for=condition=Complete", "--timeout=60s")
    (pod,) = json.loads(service.kubectl("-n", "lab", "get", "pods", "-o", "json"))["items"]
    names = {variable["name"] for variable in pod["spec"]["containers"][0]["env"]}
    assert "DMLC_TRACKER_URI" in names
    assert "KUBEFLOW_TRAINER_SERVER_URL" not in names  # another cluster's API server takes no reports


def test_two_operators_make_nothing_twice_and_one_takes_over(
    service: ServiceProcess, operator: Callable[[], subprocess.Popen[str]]
) -> None:
    first, second = operator(), operator()
    assert first.stdout is not None
    assert second.stdout is not None

    def leader() -> subprocess.Popen[str] | None:
        lease = service.kubectl("-n", "kube-system", "get", "lease", "beamhall-operator", "-o", "json", check=False)
        holder = json.loads(lease)["spec"].get("holderIdentity") or "" if lease.startswith("{") else ""
        return next((p for p in (first, second) if holder.endswith(f"_{p.pid}")), None)

    leading = wait_for("one to lead", leader)
    assert leading is not None
    one = _create(service)
    service.kubectl("-n", "lab", "wait", one, "--for=condition=Succeeded", "--timeout=60s")
    os.kill(leading.pid, signal.SIGINT)
    wait_for("the other to lead", lambda: leader() not in (None, leading))
    two = _create(service)
    service.kubectl("-n", "lab", "wait", two, "--for=condition=Succeeded", "--timeout=60s")
    events = json.loads(service.kubectl("-n", "lab", "get", "events", "-o", "json"))["items"]
    made = [e for e in events if e["reason"] == "SuccessfulCreatePod"]
    assert sorted(e["count"] for e in made) == [1] * 6


def test_a_kubeconfig_that_is_not_there_is_said() -> None:
    command = [sys.executable, "-m", "beamhall", "operator", "--kubeconfig", "/nonexistent/kubeconfig"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "/nonexistent/kubeconfig" in done.stderr
    assert "Traceback" not in done.stderr
