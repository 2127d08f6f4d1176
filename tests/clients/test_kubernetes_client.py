"""The Python client `kubernetes`, whose models check every answer, against the embedded API."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, watch

from tests.api_server import api_server


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[client.ApiClient]:
    directory: Path = tmp_path_factory.mktemp("client")
    with api_server(directory) as url:
        configuration = client.Configuration()
        configuration.host = url
        with client.ApiClient(configuration) as made:
            yield made


@pytest.fixture
def core(api):
    return client.CoreV1Api(api)


def pod(name: str) -> client.V1Pod:
    container = client.V1Container(name="main", image="python", command=["true"])
    return client.V1Pod(
        api_version="v1",
        kind="Pod",
        metadata=client.V1ObjectMeta(name=name, labels={"app": name}),
        spec=client.V1PodSpec(containers=[container], restart_policy="Never"),
    )


def test_pods(core):
    made = core.create_namespaced_pod("default", pod("py1"))
    assert made.metadata.uid
    assert made.status.phase == "Pending"
    listed = core.list_namespaced_pod("default", label_selector="app=py1")
    assert [item.metadata.name for item in listed.items] == ["py1"]
    events = watch.Watch().stream(core.list_namespaced_pod, "default", label_selector="app=py1", timeout_seconds=20)
    event = next(iter(events))
    events.close()
    assert (event["type"], event["object"].metadata.name) == ("ADDED", "py1")
    core.patch_namespaced_pod("py1", "default", {"metadata": {"labels": {"more": "1"}}})
    assert core.read_namespaced_pod("py1", "default").metadata.labels == {"app": "py1", "more": "1"}
    assert core.read_namespaced_pod_log("py1", "default") == "one\ntwo\nthree\n"
    core.delete_namespaced_pod("py1", "default")
    with pytest.raises(client.ApiException) as caught:
        core.read_namespaced_pod("py1", "default")
    assert caught.value.status == 404
    assert json.loads(str(caught.value.body))["reason"] == "NotFound"


def test_other_core_kinds(core):
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name="py")))
    core.create_namespaced_config_map(
        "py", client.V1ConfigMap(metadata=client.V1ObjectMeta(name="c"), data={"a": "b"})
    )  # fmt: skip
    assert core.list_namespaced_config_map("py").items[0].data == {"a": "b"}
    secret = client.V1Secret(metadata=client.V1ObjectMeta(name="s"), string_data={"k": "v"})
    assert core.create_namespaced_secret("py", secret).data == {"k": "dg=="}
    service = client.V1Service(
        metadata=client.V1ObjectMeta(name="web"),
        spec=client.V1ServiceSpec(selector={"app": "web"}, ports=[client.V1ServicePort(port=80)]),
    )
    assert core.create_namespaced_service("py", service).spec.cluster_ip
    claim = client.V1PersistentVolumeClaim(
        metadata=client.V1ObjectMeta(name="data"),
        spec=client.V1PersistentVolumeClaimSpec(
            access_modes=["ReadWriteOnce"], resources=client.V1VolumeResourceRequirements(requests={"storage": "1Gi"})
        ),
    )
    assert core.create_namespaced_persistent_volume_claim("py", claim).status.phase == "Pending"
    status = core.delete_namespaced_config_map("c", "py")
    assert status.status == "Success"
    assert {item.metadata.name for item in core.list_namespace().items} >= {"default", "py"}


def test_jobs(api):
    batch: Any = client.BatchV1Api(api)
    job = client.V1Job(
        metadata=client.V1ObjectMeta(generate_name="job-"),
        spec=client.V1JobSpec(template=client.V1PodTemplateSpec(spec=pod("x").spec)),
    )
    made = batch.create_namespaced_job("default", job)
    assert made.metadata.name.startswith("job-")
    assert made.spec.backoff_limit == 6
    assert [item.metadata.uid for item in batch.list_namespaced_job("default").items] == [made.metadata.uid]
    batch.delete_namespaced_job(made.metadata.name, "default", propagation_policy="Background")


def test_custom_objects(api):
    extensions = client.ApiextensionsV1Api(api)
    schema = client.V1JSONSchemaProps(type="object", x_kubernetes_preserve_unknown_fields=True)
    extensions.create_custom_resource_definition(
        client.V1CustomResourceDefinition(
            metadata=client.V1ObjectMeta(name="things.example.org"),
            spec=client.V1CustomResourceDefinitionSpec(
                group="example.org",
                scope="Namespaced",
                names=client.V1CustomResourceDefinitionNames(kind="Thing", plural="things"),
                versions=[
                    client.V1CustomResourceDefinitionVersion(
                        name="v1",
                        served=True,
                        storage=True,
                        schema=client.V1CustomResourceValidation(open_apiv3_schema=schema),
                    )
                ],
            ),
        )
    )
    custom: Any = client.CustomObjectsApi(api)
    body = {"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": {"a": [1]}}
    custom.create_namespaced_custom_object("example.org", "v1", "default", "things", body)
    found = custom.get_namespaced_custom_object("example.org", "v1", "default", "things", "t")
    assert found["spec"] == {"a": [1]}
