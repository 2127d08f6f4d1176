"""`kubectl top` of the real kubectl, limits as a user sees them, and the metrics of Pods."""

import json

import httpx2
import pytest

from tests.programs import CODE, IMAGE
from tests.service import ServiceProcess, needs_kubectl, wait_for

pytestmark = needs_kubectl

PODS = f"""
apiVersion: v1
kind: Pod
metadata: {{name: works, labels: {{app: top}}}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: holds
    image: {IMAGE}
    command: [python, -c, "import time; held = bytearray(100 << 20); time.sleep(600)"]
    resources: {{limits: {{cpu: 500m, memory: 400Mi}}}}
  - name: burns
    image: {IMAGE}
    command: [sh, -c, "while :; do :; done"]
    resources: {{limits: {{cpu: 200m, memory: 100Mi}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: hungry}}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: {IMAGE}
    command: [python, -c, "import time; held = [time.sleep(0.05) or bytearray(20 << 20) for _ in range(300)]"]
    resources: {{limits: {{memory: 64Mi}}}}
"""


@pytest.fixture
def ready(service: ServiceProcess) -> ServiceProcess:
    service.add_image(IMAGE, "python", CODE)
    return service


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def amount(text: str) -> int:
    return int(text.removesuffix("m").removesuffix("Mi"))


def test_top_shows_what_runs_and_describe_what_was_killed(ready: ServiceProcess) -> None:
    kubectl = ready.kubectl
    kubectl("apply", "-f", "-", stdin=PODS)
    kubectl("wait", "pod/works", "--for=condition=Ready", "--timeout=60s")

    def used() -> dict[str, list[str]]:
        text = kubectl("top", "pods", "--containers", "--no-headers", "-l", "app=top", check=False)
        found = {row[1]: row[2:] for row in rows(text) if row[0] == "works"}
        is_there = len(found) == 2 and amount(found["holds"][1]) >= 100 and amount(found["burns"][0]) > 0
        return found if is_there else {}

    found = wait_for("the usage of both containers", used)
    assert 100 <= amount(found["holds"][1]) < 200
    ((name, _, memory),) = rows(kubectl("top", "pod", "works", "--no-headers"))
    assert name == "works"
    assert amount(memory) >= 100
    assert rows(kubectl("top", "pods", "--sort-by=memory", "-A"))[0] == [
        "NAMESPACE",
        "NAME",
        "CPU(cores)",
        "MEMORY(bytes)",
    ]

    ((_, cpu, cpu_part, _, memory_part),) = rows(kubectl("top", "nodes", "--no-headers"))
    assert cpu.endswith("m")
    assert cpu_part.endswith("%")
    assert memory_part.endswith("%")

    kubectl("wait", "pod/hungry", "--for=jsonpath={.status.phase}=Failed", "--timeout=60s")
    (status,) = json.loads(kubectl("get", "pod", "hungry", "-o", "json"))["status"]["containerStatuses"]
    assert status["state"]["terminated"]["reason"] == "OOMKilled"
    assert status["state"]["terminated"]["exitCode"] == 137
    assert kubectl("get", "pod", "hungry", "--no-headers").split()[2] == "OOMKilled"
    events = wait_for("the event", lambda: kubectl("events", "--for", "pod/hungry", "--types=Warning"))
    assert "needed more memory than its limit of 64Mi" in events
    gone = 'podmetrics.metrics.k8s.io "default/hungry" not found'
    wait_for("its usage to be forgotten", lambda: gone in kubectl("top", "pod", "hungry", check=False))

    headers = {"authorization": f"Bearer {ready.token}"}
    metrics = httpx2.get(f"{ready.url}/metrics", headers=headers, trust_env=False).text
    assert "# TYPE container_cpu_usage_seconds_total counter" in metrics
    assert "# TYPE container_memory_working_set_bytes gauge" in metrics
    kubectl("delete", "pod", "works", "hungry", "--wait=false")
