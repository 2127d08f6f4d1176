"""Programs in Pods reach the API where the Python client looks for it, as the service account of their Pod."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from beamhall.embedded.agent.sandbox import detect_capabilities
from tests.service import ServiceProcess, needs_kubectl, wait_for

pytestmark = needs_kubectl
HAS_MOUNTS = detect_capabilities().mounts.works

LOOK = """
import json, socket
from pathlib import Path
from kubernetes import client, config
if Path("/var/run/secrets/kubernetes.io/serviceaccount/token").exists():
    config.load_incluster_config()
else:
    config.load_kube_config()
try:
    names = [pod.metadata.name for pod in client.CoreV1Api().list_namespaced_pod("NAMESPACE").items]
    print(json.dumps({"pods": names}))
except client.ApiException as error:
    print(json.dumps({"code": error.status, "message": json.loads(error.body)["message"]}))
"""

FOLLOW = """
import time
from kubernetes import client, config
while True:
    try:
        config.load_incluster_config()
        print(len(client.CoreV1Api().list_namespaced_pod("NAMESPACE").items), time.time(), flush=True)
    except Exception as error:
        print(type(error).__name__, flush=True)
    time.sleep(0.2)
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    service = ServiceProcess(tmp_path_factory.mktemp("reach") / "data")
    service.start()
    try:
        yield service
    finally:
        service.kubectl("delete", "pods", "--all", "-A", "--grace-period=0", "--force", check=False)
        service.stop()


def run(service: ServiceProcess, namespace: str, name: str, code: str, **spec: object) -> None:
    container = {
        "name": "main",
        "image": "busybox",
        "command": [sys.executable, "-c", code.replace("NAMESPACE", namespace)],
        # The program's own modules are all it needs; the image's are for another interpreter.
        "env": [{"name": "PYTHONPATH", "value": ""}],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container], **spec},
    }
    service.kubectl("create", "-f", "-", stdin=json.dumps(pod))


def output(service: ServiceProcess, namespace: str, name: str) -> str:
    service.kubectl("wait", f"pod/{name}", "-n", namespace, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=80s")
    return service.kubectl("logs", name, "-n", namespace)


def test_a_pod_may_do_what_its_account_may(service: ServiceProcess) -> None:
    service.kubectl("create", "namespace", "lab")
    run(service, "lab", "first", LOOK)
    assert json.loads(output(service, "lab", "first")) == {
        "code": 403,
        "message": 'pods is forbidden: User "system:serviceaccount:lab:default" cannot list resource "pods" in API '
        'group "" in the namespace "lab"',
    }
    service.kubectl("create", "role", "reader", "--verb=list", "--resource=pods", "-n", "lab")
    service.kubectl("create", "rolebinding", "r", "--role=reader", "--serviceaccount=lab:default", "-n", "lab")
    run(service, "lab", "second", LOOK)
    assert sorted(json.loads(output(service, "lab", "second"))["pods"]) == ["first", "second"]


def test_a_pod_without_a_token_has_none(service: ServiceProcess) -> None:
    code = "import os; print(os.path.exists('/var/run/secrets/kubernetes.io'), os.environ['KUBERNETES_SERVICE_HOST'])"
    run(service, "default", "without", code, automountServiceAccountToken=False)
    exists, address = output(service, "default", "without").split()
    assert exists == "False"
    assert address == service.kubectl("get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}")


@pytest.mark.skipif(not HAS_MOUNTS, reason="names of Services need mounts of a Pod's own")
def test_the_api_has_its_name_in_pods_and_nothing_is_made_on_the_host(service: ServiceProcess) -> None:
    code = """
import ssl, urllib.request
from pathlib import Path
where = Path("/var/run/secrets/kubernetes.io/serviceaccount")
trust = ssl.create_default_context(cafile=where / "ca.crt")
for path in ("api", "version", "apis/apps/v1"):
    request = urllib.request.Request(f"https://kubernetes.default.svc:PORT/{path}")
    request.add_header("Authorization", "Bearer " + (where / "token").read_text())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
    print(opener.open(request).status, (where / "namespace").read_text())
"""
    port = service.kubectl("get", "service", "kubernetes", "-o", "jsonpath={.spec.ports[0].port}")
    run(service, "default", "named", code.replace("PORT", port))
    assert output(service, "default", "named").splitlines() == ["200 default"] * 3
    assert not Path("/var/run/secrets/kubernetes.io").exists()


@pytest.mark.skipif(not HAS_MOUNTS, reason="the program looks where only a mount can put a token")
def test_a_pod_reaches_the_api_after_the_service_was_started_again(service: ServiceProcess) -> None:
    service.kubectl("create", "rolebinding", "v", "--clusterrole=view", "--serviceaccount=default:default")
    run(service, "default", "follows", FOLLOW)

    def has_reached(since: float) -> bool:
        words = service.kubectl("logs", "follows", "--tail=1", check=False).split()
        return len(words) == 2 and words[0].isdigit() and float(words[1]) > since

    wait_for("the Pod to reach the API", lambda: has_reached(0), 60)
    service.stop()
    service.start()
    started = time.time()
    wait_for("the Pod to reach it again", lambda: has_reached(started), 60)
    service.kubectl("delete", "pod", "follows")
