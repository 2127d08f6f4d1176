"""The Python client ``kubernetes`` on the TFJob that users have today: create, watch, logs, delete."""

from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client, config, watch

from tests.programs import CODE, IMAGE, tfjob
from tests.service import ServiceProcess, wait_for

WHERE: dict[str, Any] = {"group": "kubeflow.org", "version": "v1", "namespace": "lab", "plural": "tfjobs"}


@pytest.fixture
def api(service: ServiceProcess) -> Iterator[Any]:
    """Give the client's connection to a running service that has the namespace and the image."""
    service.add_image(IMAGE, "python", CODE)
    with config.new_client_from_config(str(service.kubeconfig)) as connection:
        namespace = client.V1Namespace(metadata=client.V1ObjectMeta(name="lab"))
        client.CoreV1Api(connection).create_namespace(namespace)
        yield connection


def test_the_tfjob_from_create_to_delete(api: Any, service: ServiceProcess) -> None:
    jobs, core = client.CustomObjectsApi(api), client.CoreV1Api(api)
    made: Any = jobs.create_namespaced_custom_object(
        **WHERE, body=tfjob("lab", workers=2, steps=10, success_policy="AllWorkers")
    )
    name = made["metadata"]["name"]

    seen = []
    stream = watch.Watch()
    since = made["metadata"]["resourceVersion"]
    events: Any = stream.stream(jobs.list_namespaced_custom_object, **WHERE, resource_version=since, timeout_seconds=60)
    for event in events:
        conditions = event["object"].get("status", {}).get("conditions", [])
        seen += [c["type"] for c in conditions if c["type"] not in seen]
        if "Succeeded" in seen:
            stream.stop()
    assert seen == ["Created", "Running", "Succeeded"]

    pods: list[Any] = core.list_namespaced_pod("lab", label_selector=f"training.kubeflow.org/job-name={name}").items
    workers = [pod for pod in pods if pod.metadata.labels["training.kubeflow.org/replica-type"] == "worker"]
    assert [pod.status.phase for pod in workers] == ["Succeeded", "Succeeded"]
    assert [pod.metadata.labels["training.kubeflow.org/replica-index"] for pod in workers] == ["0", "1"]
    log = core.read_namespaced_pod_log(f"{name}-worker-0", "lab")
    assert "worker 0 step 10/10" in log
    assert core.read_namespaced_pod_log(f"{name}-worker-0", "lab", tail_lines=1) == log.splitlines(keepends=True)[-1]

    service.processes()  # takes down whose processes to look for
    jobs.delete_namespaced_custom_object(**WHERE, name=name)
    wait_for("the Pods to be gone", lambda: not core.list_namespaced_pod("lab").items)
    wait_for("the Services to be gone", lambda: not core.list_namespaced_service("lab").items)
    wait_for("the processes to be gone", lambda: not service.processes())


@pytest.mark.parametrize("token", [None, "wrong"])
def test_a_wrong_token_is_refused_in_kubernetes_shape(api: Any, token: str | None) -> None:
    settings = client.Configuration()
    settings.host = api.configuration.host
    settings.ssl_ca_cert = api.configuration.ssl_ca_cert
    if token:
        settings.api_key = {"authorization": f"Bearer {token}"}
    with client.ApiClient(settings) as stranger, pytest.raises(client.ApiException) as raised:
        client.CoreV1Api(stranger).list_namespaced_pod("lab")
    assert raised.value.status == 401
    assert '"reason":"Unauthorized"' in str(raised.value.body)
