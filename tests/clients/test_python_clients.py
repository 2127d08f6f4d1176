"""The Python clients that people use, each on a running service by its kubeconfig: the same day's work for all.

Create a Pod, list it, watch it run, patch it, read its log, run a command in it, delete it.
"""

from collections.abc import Iterator
from typing import Any

import kr8s
import kubernetes
import kubernetes.stream
import kubernetes_asyncio
import kubernetes_asyncio.stream
import lightkube
import pytest
from kr8s.objects import ConfigMap as Kr8sConfigMap
from kr8s.objects import Pod as Kr8sPod
from lightkube.models.core_v1 import Container, PodSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap, Pod

from tests.service import ServiceProcess, wait_for

# These clients leave connections and streams to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

SCRIPT = "echo one; echo two; sleep 600"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    service = ServiceProcess(tmp_path_factory.mktemp("clients") / "data", "--stop-pods")
    service.data.mkdir()
    service.start()
    yield service
    service.stop()


def manifest(name: str) -> dict[str, Any]:
    container = {"name": "main", "image": "python", "command": ["sh", "-c", SCRIPT]}
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container]}
    metadata = {"name": name, "namespace": "default", "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def test_kubernetes(service: ServiceProcess) -> None:
    configuration = kubernetes.client.Configuration()
    kubernetes.config.load_kube_config(str(service.kubeconfig), client_configuration=configuration)
    with kubernetes.client.ApiClient(configuration) as api:
        core: Any = kubernetes.client.CoreV1Api(api)
        core.create_namespaced_pod("default", manifest("k"))
        watching = kubernetes.watch.Watch()
        for event in watching.stream(core.list_namespaced_pod, "default", label_selector="app=k", timeout_seconds=60):
            if event["object"].status.phase == "Running":
                watching.stop()
        core.patch_namespaced_pod("k", "default", {"metadata": {"labels": {"more": "1"}}})
        assert [p.metadata.name for p in core.list_namespaced_pod("default", label_selector="more=1").items] == ["k"]
        assert core.read_namespaced_pod_log("k", "default") == "one\ntwo\n"
        said = kubernetes.stream.stream(
            core.connect_get_namespaced_pod_exec, "k", "default",
            command=["sh", "-c", "echo $0 in; echo err >&2; exit 3"],
            stdout=True, stderr=True, stdin=False, tty=False, _preload_content=False,
        )  # fmt: skip
        said.run_forever(timeout=30)
        assert (said.read_stdout(), said.read_stderr(), said.returncode) == ("sh in\n", "err\n", 3)
        core.delete_namespaced_pod("k", "default")


def test_kubernetes_server_side_apply(service: ServiceProcess) -> None:
    configuration = kubernetes.client.Configuration()
    kubernetes.config.load_kube_config(str(service.kubeconfig), client_configuration=configuration)
    with kubernetes.client.ApiClient(configuration) as api:
        dynamic = kubernetes.dynamic.DynamicClient(api)
        maps = dynamic.resources.get(api_version="v1", kind="ConfigMap")
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "1"}}
        maps.server_side_apply(body, namespace="default", field_manager="me")
        body["data"] = {"b": "2"}
        maps.server_side_apply(body, namespace="default", field_manager="me")
        assert dict(maps.get(name="applied", namespace="default").data) == {"b": "2"}
        with pytest.raises(kubernetes.client.ApiException) as caught:
            maps.server_side_apply(
                {**body, "data": {"b": "3"}}, namespace="default", field_manager="another", force_conflicts=False
            )
        assert caught.value.status == 409
        maps.delete(name="applied", namespace="default")


async def test_kubernetes_asyncio(service: ServiceProcess) -> None:
    configuration = kubernetes_asyncio.client.Configuration()
    await kubernetes_asyncio.config.load_kube_config(
        str(service.kubeconfig), client_configuration=configuration, persist_config=False
    )
    async with kubernetes_asyncio.client.ApiClient(configuration) as api:
        core: Any = kubernetes_asyncio.client.CoreV1Api(api)
        await core.create_namespaced_pod("default", manifest("ka"))
        async with kubernetes_asyncio.watch.Watch().stream(
            core.list_namespaced_pod, "default", label_selector="app=ka", timeout_seconds=60
        ) as events:
            async for event in events:
                if event["object"].status.phase == "Running":
                    break
        await core.patch_namespaced_pod("ka", "default", {"metadata": {"labels": {"more": "2"}}})
        found = await core.list_namespaced_pod("default", label_selector="more=2")
        assert [pod.metadata.name for pod in found.items] == ["ka"]
        assert await core.read_namespaced_pod_log("ka", "default") == "one\ntwo\n"
    async with kubernetes_asyncio.stream.WsApiClient(configuration) as sockets:
        streams: Any = kubernetes_asyncio.client.CoreV1Api(sockets)
        said = await streams.connect_get_namespaced_pod_exec(
            "ka", "default", command=["echo", "inside"], stdout=True, stderr=True, stdin=False, tty=False
        )
        assert said == "inside\n"
    async with kubernetes_asyncio.client.ApiClient(configuration) as api:
        await kubernetes_asyncio.client.CoreV1Api(api).delete_namespaced_pod("ka", "default")


def test_lightkube(service: ServiceProcess) -> None:
    config = lightkube.KubeConfig.from_file(str(service.kubeconfig))
    client = lightkube.Client(config=config, field_manager="lightkube")
    container = Container("main", image="python", command=["sh", "-c", SCRIPT])
    spec = PodSpec([container], restartPolicy="Never", terminationGracePeriodSeconds=0)
    client.create(Pod(metadata=ObjectMeta(name="l", namespace="default", labels={"app": "l"}), spec=spec))
    client.wait(Pod, "l", for_conditions=["Ready"], namespace="default")
    for _, pod in client.watch(Pod, namespace="default", labels={"app": "l"}):
        if pod.status is not None and pod.status.phase == "Running":
            break
    client.patch(Pod, "l", {"metadata": {"labels": {"more": "3"}}}, namespace="default")
    names = [pod.metadata.name for pod in client.list(Pod, namespace="default", labels={"more": "3"}) if pod.metadata]
    assert names == ["l"]
    assert list(client.log("l", namespace="default")) == ["one\n", "two\n"]
    made = client.apply(ConfigMap(metadata=ObjectMeta(name="l", namespace="default"), data={"a": "1"}))
    assert made.metadata is not None
    assert [entry.manager for entry in made.metadata.managedFields or ()] == ["lightkube"]
    client.delete(ConfigMap, "l", namespace="default")
    client.delete(Pod, "l", namespace="default")
    wait_for(
        "its end", lambda: "l" not in [p.metadata.name for p in client.list(Pod, namespace="default") if p.metadata]
    )


def test_kr8s(service: ServiceProcess) -> None:
    api: Any = kr8s.api(kubeconfig=str(service.kubeconfig))
    pod = Kr8sPod(manifest("kr"), api=api)
    pod.create()
    pod.wait("condition=Ready", timeout=60)
    for event, seen in api.watch("pods", namespace="default", label_selector={"app": "kr"}):
        if event in ("ADDED", "MODIFIED") and seen.status.phase == "Running":
            break
    pod.label({"more": "4"})
    assert [found.name for found in api.get("pods", namespace="default", label_selector={"more": "4"})] == ["kr"]
    assert list(pod.logs()) == ["one", "two"]
    assert pod.exec(["echo", "inside"]).stdout == b"inside\n"
    settings = Kr8sConfigMap({"metadata": {"name": "kr", "namespace": "default"}, "data": {"a": "1"}}, api=api)
    settings.create()
    settings.patch({"data": {"b": "2"}})
    assert dict(settings.data) == {"a": "1", "b": "2"}
    settings.delete()
    pod.delete()
    pod.wait("delete", timeout=60)
    assert not pod.exists()
