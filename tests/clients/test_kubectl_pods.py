"""What `kubectl` shows of Pods that state more than a command: probes, hooks, volumes."""

import json

import pytest

from tests.programs import CODE, IMAGE
from tests.service import ServiceProcess, needs_kubectl, wait_for

pytestmark = needs_kubectl

PROBED = f"""
apiVersion: v1
kind: Pod
metadata: {{name: web}}
spec:
  terminationGracePeriodSeconds: 5
  containers:
  - name: main
    image: {IMAGE}
    command: [sh, -c, "cd; touch alive; exec python -m http.server 8080"]
    ports: [{{name: web, containerPort: 8080}}]
    startupProbe: {{tcpSocket: {{port: web}}, periodSeconds: 1, failureThreshold: 60}}
    readinessProbe: {{httpGet: {{path: /alive, port: web}}, periodSeconds: 1}}
    livenessProbe: {{exec: {{command: [sh, -c, test -e $HOME/alive]}}, periodSeconds: 1, failureThreshold: 1}}
"""


@pytest.fixture
def ready(service: ServiceProcess) -> ServiceProcess:
    service.add_image(IMAGE, "python", CODE)
    return service


def test_probes_make_a_pod_ready_and_restart_it(ready: ServiceProcess) -> None:
    kubectl = ready.kubectl
    kubectl("apply", "-f", "-", stdin=PROBED)
    kubectl("wait", "pod/web", "--for=condition=Ready", "--timeout=60s")
    assert kubectl("get", "pod", "web", "--no-headers").split()[1:3] == ["1/1", "Running"]

    (own,) = (ready.data / "pods").iterdir()
    (own / ".home" / "alive").unlink()

    def restarted() -> str:
        status = json.loads(kubectl("get", "pod", "web", "-o", "json"))["status"]["containerStatuses"][0]
        return status["lastState"].get("terminated", {}).get("reason", "") if status["restartCount"] else ""

    assert wait_for("the restart", restarted) == "Error"
    kubectl("wait", "pod/web", "--for=condition=Ready", "--timeout=60s")
    described = wait_for(
        "the events", lambda: text if "will be restarted" in (text := kubectl("describe", "pod", "web")) else ""
    )
    assert "Container main failed liveness probe, will be restarted" in described
    assert "Unhealthy" in described
