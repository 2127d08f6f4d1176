"""The Python client `kubernetes`, typed, on what makes Pods: Deployments, StatefulSets, Jobs, CronJobs."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from kubernetes import client, config, watch

from tests.service import ServiceProcess, wait_for

LABELS = {"app": "web"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[client.ApiClient]:
    service = ServiceProcess(tmp_path_factory.mktemp("python") / "data", "--stop-pods")
    service.data.mkdir()
    content = {"environments": {"small": {"requirements": []}}, "images": [{"image": "small", "environment": "small"}]}
    (service.data / "images.yaml").write_text(yaml.safe_dump(content))
    service.start()
    with config.new_client_from_config(str(service.kubeconfig)) as made:
        yield made
    service.stop()


def _template(*command: str, restart: str = "Always") -> client.V1PodTemplateSpec:
    container = client.V1Container(name="main", image="small", command=list(command))
    spec = client.V1PodSpec(restart_policy=restart, termination_grace_period_seconds=1, containers=[container])
    return client.V1PodTemplateSpec(metadata=client.V1ObjectMeta(labels=LABELS), spec=spec)


def _named(name: str) -> client.V1ObjectMeta:
    return client.V1ObjectMeta(name=name)


def test_deployments_scale(api: client.ApiClient) -> None:
    apps: Any = client.AppsV1Api(api)
    selector = client.V1LabelSelector(match_labels=LABELS)
    spec = client.V1DeploymentSpec(replicas=2, selector=selector, template=_template("sleep", "1000"))
    apps.create_namespaced_deployment("default", client.V1Deployment(metadata=_named("web"), spec=spec))
    wait_for("both", lambda: apps.read_namespaced_deployment("web", "default").status.available_replicas == 2)
    scaled = apps.patch_namespaced_deployment_scale("web", "default", {"spec": {"replicas": 1}})
    assert (scaled.spec.replicas, scaled.status.selector) == (1, "app=web")
    wait_for("one", lambda: apps.read_namespaced_deployment("web", "default").status.replicas == 1)
    (replica_set,) = apps.list_namespaced_replica_set("default").items
    assert replica_set.metadata.owner_references[0].name == "web"


def test_stateful_sets_have_revisions(api: client.ApiClient) -> None:
    apps: Any = client.AppsV1Api(api)
    template: Any = _template("sleep", "1000")
    template.metadata.labels = {"app": "db"}
    selector = client.V1LabelSelector(match_labels={"app": "db"})
    spec = client.V1StatefulSetSpec(replicas=1, service_name="db", selector=selector, template=template)
    apps.create_namespaced_stateful_set("default", client.V1StatefulSet(metadata=_named("db"), spec=spec))
    wait_for("its Pod", lambda: apps.read_namespaced_stateful_set("db", "default").status.ready_replicas == 1)
    (revision,) = apps.list_namespaced_controller_revision("default").items
    assert revision.metadata.name == apps.read_namespaced_stateful_set("db", "default").status.update_revision


def test_jobs_are_watched_to_their_end(api: client.ApiClient) -> None:
    batch: Any = client.BatchV1Api(api)
    spec = client.V1JobSpec(completions=2, template=_template("true", restart="Never"))
    job = client.V1Job(metadata=client.V1ObjectMeta(generate_name="two-"), spec=spec)
    name = batch.create_namespaced_job("default", job).metadata.name
    for event in watch.Watch().stream(batch.list_namespaced_job, "default", timeout_seconds=60):
        if event["object"].metadata.name == name and event["object"].status.completion_time:
            break
    ended = batch.read_namespaced_job(name, "default").status
    assert [condition.type for condition in ended.conditions] == ["SuccessCriteriaMet", "Complete"]
    assert ended.succeeded == 2
    batch.delete_namespaced_job(name, "default", propagation_policy="Foreground")
    core: Any = client.CoreV1Api(api)
    wait_for("its Pods to go", lambda: not core.list_namespaced_pod("default", label_selector=f"job-name={name}").items)


def test_cron_jobs_have_defaults(api: client.ApiClient) -> None:
    batch: Any = client.BatchV1Api(api)
    template = client.V1JobTemplateSpec(spec=client.V1JobSpec(template=_template("true", restart="Never")))
    spec = client.V1CronJobSpec(schedule="@hourly", time_zone="Europe/Zurich", job_template=template)
    made = batch.create_namespaced_cron_job("default", client.V1CronJob(metadata=_named("hourly"), spec=spec))
    assert (made.spec.concurrency_policy, made.spec.successful_jobs_history_limit) == ("Allow", 3)
