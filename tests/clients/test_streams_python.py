"""The Python clients in Pods: exec and port forwarding of `kubernetes`, `kubernetes_asyncio` and `kr8s`."""

import gc
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import kr8s
import kubernetes_asyncio
import pytest
from kr8s.objects import Pod
from kubernetes import client, config
from kubernetes.stream import portforward, stream
from kubernetes_asyncio.stream import WsApiClient

from tests.programs import CODE, IMAGE
from tests.service import ServiceProcess, wait_for

# The clients leave sockets for the garbage collector to close.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
ASKED = {"stderr": True, "stdin": False, "stdout": True, "tty": False}


@dataclass
class Running:
    """A Pod that serves a page on port 8000, and how to reach it."""

    service: ServiceProcess
    core: Any

    def exec(self, *command: str, **options: Any) -> Any:
        asked = ASKED | options
        return stream(self.core.connect_get_namespaced_pod_exec, "p", "default", command=list(command), **asked)


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Have them closed while that is passed over."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    service = ServiceProcess(tmp_path_factory.mktemp("streams") / "data", "--stop-pods")
    service.data.mkdir()
    service.start()
    service.add_image(IMAGE, "python", CODE)
    configuration = client.Configuration()
    config.load_kube_config(str(service.kubeconfig), client_configuration=configuration)
    core: Any = client.CoreV1Api(client.ApiClient(configuration))
    command = ["sh", "-c", "cd; echo page > page; exec python -m http.server 8000"]
    probe = {"httpGet": {"port": 8000, "path": "/page"}, "periodSeconds": 1}
    container = {"name": "main", "image": IMAGE, "command": command, "readinessProbe": probe}
    core.create_namespaced_pod("default", {"metadata": {"name": "p"}, "spec": {"containers": [container]}})

    def is_ready() -> bool:
        status = core.read_namespaced_pod("p", "default").status
        return bool(status.container_statuses and status.container_statuses[0].ready)

    wait_for("the Pod", is_ready, 80)
    yield Running(service, core)
    service.stop()


def test_kubernetes_runs_a_command(running: Running) -> None:
    assert running.exec("sh", "-c", "echo out; echo err >&2") == "out\nerr\n"
    assert running.exec("head", "-c", "3000000", "/dev/zero", binary=True) == bytes(3_000_000)


def test_kubernetes_talks_to_a_command(running: Running) -> None:
    process = running.exec("sh", stdin=True, _preload_content=False)
    process.write_stdin("echo got word\n")
    assert process.readline_stdout(timeout=60) == "got word"
    process.write_stdin("exit 4\n")
    process.run_forever(timeout=60)
    assert process.returncode == 4


def test_kubernetes_resizes_a_terminal(running: Running) -> None:
    process = running.exec("sh", stdin=True, tty=True, stderr=False, _preload_content=False)
    process.write_channel(4, '{"Width": 120, "Height": 40}')
    process.write_stdin("stty size; exit\n")
    process.run_forever(timeout=60)
    assert "40 120" in process.read_all()


def test_kubernetes_is_told_what_is_wrong(running: Running) -> None:
    with pytest.raises(client.ApiException, match='pods \\\\"nobody\\\\" not found'):
        stream(running.core.connect_get_namespaced_pod_exec, "nobody", "default", command=["ls"], **ASKED)
    process = running.exec("no-such-command", _preload_content=False)
    process.run_forever(timeout=60)
    assert process.returncode == 127


def test_kubernetes_forwards_ports(running: Running) -> None:
    ports = portforward(running.core.connect_get_namespaced_pod_portforward, "p", "default", ports="8000,9")
    connection = ports.socket(8000)
    connection.setblocking(True)
    connection.sendall(b"GET /page HTTP/1.0\r\n\r\n")
    answer = b""
    while part := connection.recv(65536):
        answer += part
    assert answer.endswith(b"\r\n\r\npage\n")
    assert ports.error(8000) is None
    assert "unable to forward port: connection refused" in wait_for("the refusal", lambda: ports.error(9))


async def test_kubernetes_asyncio_runs_a_command(running: Running) -> None:
    configuration = kubernetes_asyncio.client.Configuration()
    await kubernetes_asyncio.config.load_kube_config(
        str(running.service.kubeconfig), client_configuration=configuration
    )
    async with WsApiClient(configuration) as api:
        core: Any = kubernetes_asyncio.client.CoreV1Api(api)
        command = ["sh", "-c", "echo out; echo err >&2"]
        assert await core.connect_get_namespaced_pod_exec("p", "default", command=command, **ASKED) == "out\nerr\n"
        opened = await core.connect_get_namespaced_pod_exec(
            "p", "default", command=["sh"], _preload_content=False, **(ASKED | {"stdin": True})
        )
        async with opened as websocket:
            await websocket.send_bytes(b"\x00echo word; exit 2\n")
            messages = [message.data async for message in websocket]
            assert b"\x01word\n" in messages
            assert api.parse_error_data(messages[-1][1:].decode()) == 2


def test_kr8s_runs_a_command_and_forwards_ports(running: Running) -> None:
    api: Any = kr8s.api(kubeconfig=str(running.service.kubeconfig))
    pod: Any = Pod.get("p", "default", api=api)
    done = pod.exec(["sh", "-c", "echo out; echo err >&2; exit 3"], check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")
    with pod.portforward(8000) as port:
        for _ in range(2):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/page", timeout=60) as answer:
                assert answer.read() == b"page\n"
