"""The real kubectl on the TFJob that users have today: create, watch, describe, logs, wait, delete."""

import json
import subprocess

import pytest
import yaml

from tests.programs import CODE, IMAGE, tfjob
from tests.service import ServiceProcess, needs_kubectl, wait_for

pytestmark = needs_kubectl
NAMESPACE = "your-user-namespace"


@pytest.fixture
def namespaced(service: ServiceProcess) -> ServiceProcess:
    service.add_image(IMAGE, "python", CODE)
    service.kubectl("create", "namespace", NAMESPACE)
    return service


def _events(service: ServiceProcess, word: str) -> str:
    """Give the namespace's events once one of them has this word, else nothing."""
    text = service.kubectl("-n", NAMESPACE, "get", "events")
    return text if word in text else ""


def _create(service: ServiceProcess, **options: float) -> str:
    manifest = yaml.safe_dump(tfjob(NAMESPACE, **options))  # type: ignore[arg-type]
    created = service.kubectl("create", "-f", "-", "-o", "name", stdin=manifest)
    return created.strip().rpartition("/")[2]


def test_the_tfjob_runs_from_create_to_delete(namespaced: ServiceProcess) -> None:
    kubectl = namespaced.kubectl
    name = _create(namespaced, steps=20)
    assert name.startswith("tfjob")
    kubectl("-n", NAMESPACE, "wait", f"tfjob/{name}", "--for=condition=Succeeded", "--timeout=60s")

    job = json.loads(kubectl("-n", NAMESPACE, "get", "tfjob", name, "-o", "json"))
    assert [(c["type"], c["status"]) for c in job["status"]["conditions"]] == [
        ("Created", "True"), ("Running", "False"), ("Succeeded", "True"),
    ]  # fmt: skip
    assert job["status"]["completionTime"] >= job["status"]["startTime"]

    log = kubectl("-n", NAMESPACE, "logs", "-f", f"{name}-worker-0")
    assert log.startswith("worker 0 of ")
    assert "worker 0 step 20/20 total " in log
    hosts = [f"{name}-worker-{i}.{NAMESPACE}.svc:2222" for i in range(3)]
    assert json.loads(log.splitlines()[0].partition(" of ")[2]) == {
        "ps": [f"{name}-ps-0.{NAMESPACE}.svc:2222"],
        "worker": hosts,
    }

    table = kubectl("-n", NAMESPACE, "get", "tfjobs")
    assert table.split()[:3] == ["NAME", "STATE", "AGE"]
    assert "Succeeded" in table

    def described() -> str:
        return kubectl("-n", NAMESPACE, "describe", f"pod/{name}-worker-0")

    reasons = ("Scheduled", "Pulled", "Created", "Started")  # Events are written a moment later
    wait_for("the Pod's events", lambda: all(reason in described() for reason in reasons))
    assert f"training.kubeflow.org/job-name={name}" in described()
    assert "SuccessfulCreatePod" in kubectl("-n", NAMESPACE, "describe", f"tfjob/{name}")

    kubectl("-n", NAMESPACE, "delete", "tfjob", name)
    wait_for(
        "the Pods to be gone",
        lambda: not json.loads(kubectl("-n", NAMESPACE, "get", "pods,services", "-o", "json"))["items"],
    )
    wait_for("the processes to be gone", lambda: not namespaced.processes())


def test_a_watch_shows_the_job_become_running_and_succeeded(namespaced: ServiceProcess) -> None:
    command = ["kubectl", "--kubeconfig", str(namespaced.kubeconfig), "-n", NAMESPACE, "get", "tfjobs", "-w"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
        name = _create(namespaced, workers=1, steps=10, pause_s=0.05)
        assert watch.stdout is not None
        seen = ""
        for line in watch.stdout:
            seen += line
            if "Succeeded" in line:
                break
        watch.kill()
    states = [line.split()[1] for line in seen.splitlines() if line.startswith(name)]
    assert "Running" in states
    assert states[-1] == "Succeeded"


def test_deleting_a_running_job_ends_its_processes(namespaced: ServiceProcess) -> None:
    name = _create(namespaced, workers=2, steps=100000, pause_s=0.05)
    namespaced.kubectl("-n", NAMESPACE, "wait", f"tfjob/{name}", "--for=condition=Running", "--timeout=60s")
    # The job runs as soon as one worker does: the others' processes may come a moment later.
    wait_for("a process of each replica", lambda: len(namespaced.processes()) >= 3)
    namespaced.kubectl("-n", NAMESPACE, "delete", "tfjob", name)
    wait_for("the processes to be gone", lambda: not namespaced.processes(), 60)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {
                "tfReplicaSpecs": {
                    "Worker": {"replicas": 1, "template": {"spec": {"containers": [{"name": "x", "image": "python"}]}}}
                }
            },
            "tensorflow",
        ),
        ({"tfReplicaSpecs": {"Worker": {"replicas": "two", "template": {"spec": {"containers": []}}}}}, "replicas"),
        ({"tfReplicaSpecs": "none"}, "tfReplicaSpecs"),
        ({"tfReplicaSpec": {}}, "tfReplicaSpec"),
    ],
)
def test_a_malformed_job_is_refused_with_the_field(
    namespaced: ServiceProcess, change: dict[str, object], expected: str
) -> None:
    manifest = tfjob(NAMESPACE) | {"spec": change}
    said = namespaced.kubectl("create", "-f", "-", stdin=yaml.safe_dump(manifest), check=False)
    assert expected in said
    assert "created" not in said
    assert "Traceback" not in said


def test_an_unknown_image_says_how_to_add_it_and_adding_it_heals(service: ServiceProcess) -> None:
    service.kubectl("create", "namespace", NAMESPACE)
    name = _create(service, workers=1, steps=3)
    said = wait_for("the event", lambda: _events(service, "beamhall images add"))
    assert IMAGE in said
    service.add_image(IMAGE, "python", CODE)
    service.kubectl("-n", NAMESPACE, "wait", f"tfjob/{name}", "--for=condition=Succeeded", "--timeout=90s")


def test_impossible_resources_are_explained(namespaced: ServiceProcess) -> None:
    manifest = tfjob(NAMESPACE)
    container = manifest["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]["containers"][0]
    container["resources"] = {"limits": {"cpu": "5000"}}
    namespaced.kubectl("create", "-f", "-", stdin=yaml.safe_dump(manifest))
    said = wait_for("the event", lambda: _events(namespaced, "5000"))
    assert "FailedScheduling" in said
    pods = json.loads(namespaced.kubectl("-n", NAMESPACE, "get", "pods", "-o", "json"))["items"]
    assert {pod["status"]["phase"] for pod in pods} == {"Pending"}, "a group starts whole or not at all"
