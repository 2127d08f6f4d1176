"""Services for those who use them: by name and by address, with other ports than the Pods', over all Pods in turn."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.service import ServiceProcess, needs_kubectl, wait_for

pytestmark = needs_kubectl

SERVER = """
import http.server, os
class Who(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(os.environ["HOSTNAME"].encode())
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Who).serve_forever()
"""
CLIENT = """
import time, urllib.request
seen = set()
for _ in range(200):
    try: seen.add(urllib.request.urlopen("http://who.default.svc:8000", timeout=5).read().decode())
    except OSError: time.sleep(0.1)
    if len(seen) == 2: break
print(*sorted(seen))
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    service = ServiceProcess(tmp_path_factory.mktemp("services") / "data", "--stop-pods")
    service.data.mkdir()
    service.start()
    yield service
    service.stop()


def pod(name: str, script: str, labels: dict[str, str] | None = None, **fields: Any) -> str:
    container = {"name": "main", "image": "python", "command": ["python", "-c", script], "env": [
        {"name": "HOSTNAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}], **fields}  # fmt: skip
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container]}
    return json.dumps(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels or {}}, "spec": spec}
    )


def fetch(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def test_a_service_is_one_address_for_many_pods(service: ServiceProcess, tmp_path: Path) -> None:
    for name in ("a", "b"):
        service.kubectl("create", "-f", "-", stdin=pod(name, SERVER, {"app": "who"}))
    service.kubectl("expose", "pod", "a", "--name=who", "--port=8000", "--target-port=8080", "--selector=app=who")
    address = json.loads(service.kubectl("get", "service", "who", "-o", "json"))["spec"]["clusterIP"]
    assert wait_for("an answer", lambda: fetch(f"http://{address}:8000")) in ("a", "b")

    service.kubectl("create", "-f", "-", stdin=pod("client", CLIENT))
    service.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/client", "--timeout=60s")
    assert service.kubectl("logs", "client").split() == ["a", "b"]
    assert ":8080" in service.kubectl("describe", "service", "who")
    assert "8080" in service.kubectl("get", "endpointslices", "-l", "kubernetes.io/service-name=who")

    service.kubectl("patch", "service", "who", "-p", '{"spec": {"type": "NodePort"}}')
    port = json.loads(service.kubectl("get", "service", "who", "-o", "json"))["spec"]["ports"][0]["nodePort"]
    assert wait_for("an answer on the node's port", lambda: fetch(f"http://127.0.0.1:{port}")) in ("a", "b")

    # While the service is down, Pods reach each other; and the next one goes on with the same proxy.
    service.kill()
    assert fetch(f"http://{address}:8000") in ("a", "b")
    service.start()
    service.kubectl("delete", "pod", "a")
    wait_for("b alone", lambda: {fetch(f"http://{address}:8000") for _ in range(6)} == {"b"})
    service.kubectl("delete", "service", "who")
    wait_for("nobody listens", lambda: not fetch(f"http://{address}:8000"))
    service.kubectl("delete", "pod", "b", "client")
