"""What TFJob adds to training jobs: TF_CONFIG, and when a job has succeeded or failed."""

import json
from typing import Any

import pytest

from beamhall.kernel.kinds import POD, SERVICE
from beamhall.training.frameworks.tfjob import TFJob
from beamhall.training.job import read_job
from tests.unit.training.jobs import Run, tf_job


def tf_config(job: dict[str, Any], type_: str, index: int, domain: str = "") -> str | None:
    framework = TFJob(domain)
    added = framework.environment(read_job(framework, job), type_, index, "tensorflow")
    return added[0]["value"] if added else None


def test_tf_config_is_upstreams_to_the_byte() -> None:
    job = tf_job({"Worker": 2, "PS": 1, "Chief": 1, "Evaluator": 1})
    assert tf_config(job, "Worker", 1) == (
        '{"cluster":{"chief":["j-chief-0.ns.svc:2222"],"evaluator":["j-evaluator-0.ns.svc:2222"],'
        '"ps":["j-ps-0.ns.svc:2222"],"worker":["j-worker-0.ns.svc:2222","j-worker-1.ns.svc:2222"]},'
        '"task":{"type":"worker","index":1},"environment":"cloud"}'
    )


def test_a_single_replica_has_no_tf_config() -> None:
    assert tf_config(tf_job({"Worker": 1}), "Worker", 0) is None


def test_replica_types_are_written_in_any_case() -> None:
    job = tf_job({"worker": 1, "pS": 1})
    assert json.loads(tf_config(job, "PS", 0) or "")["cluster"] == {
        "ps": ["j-ps-0.ns.svc:2222"],
        "worker": ["j-worker-0.ns.svc:2222"],
    }


def test_the_port_and_the_cluster_domain_are_taken() -> None:
    ports = [{"name": "http", "containerPort": 80}, {"name": "tfjob-port", "containerPort": 4000}]
    template = {"spec": {"containers": [{"name": "tensorflow", "image": "i", "ports": ports}]}}
    config = json.loads(tf_config(tf_job({"Worker": 2}, template=template), "Worker", 0, "cluster.local") or "")
    assert config["cluster"]["worker"][1] == "j-worker-1.ns.svc.cluster.local:4000"


@pytest.mark.parametrize(
    ("type_", "index", "cluster"),
    [
        ("Worker", 1, {"worker": {"1": "j-worker-1.ns.svc:2222"}, "ps": ["j-ps-0.ns.svc:2222", "j-ps-1.ns.svc:2222"]}),
        ("PS", 1, {"worker": {}, "ps": ["j-ps-1.ns.svc:2222"]}),
    ],
)
def test_dynamic_workers_know_only_what_never_changes(type_: str, index: int, cluster: dict[str, Any]) -> None:
    config = json.loads(tf_config(tf_job({"PS": 2, "Worker": 2}, enableDynamicWorker=True), type_, index) or "")
    assert config == {"cluster": cluster, "task": {"type": type_.lower(), "index": index}}


def test_pods_and_services_are_upstreams() -> None:
    run = Run(tf_job({"PS": 1, "Worker": 2}, restart="OnFailure"))
    pod = run.pod("j-worker-0")
    assert pod["metadata"]["labels"] == {
        "training.kubeflow.org/operator-name": "tfjob-controller",
        "training.kubeflow.org/job-name": "j",
        "training.kubeflow.org/replica-type": "worker",
        "training.kubeflow.org/replica-index": "0",
        "training.kubeflow.org/job-role": "master",
    }
    assert pod["spec"]["restartPolicy"] == "OnFailure"
    assert pod["spec"]["containers"][0]["ports"] == [{"name": "tfjob-port", "containerPort": 2222}]
    assert [env["name"] for env in pod["spec"]["containers"][0]["env"]] == ["TF_CONFIG"]
    assert "training.kubeflow.org/job-role" not in run.pod("j-worker-1")["metadata"]["labels"]
    service = run.world.get(SERVICE, "j-worker-1", "ns")
    assert service is not None
    assert service["spec"] == {
        "clusterIP": "None",
        "selector": run.pod("j-worker-1")["metadata"]["labels"],
        "ports": [{"name": "tfjob-port", "port": 2222}],
    }
    assert (
        [o["metadata"]["name"] for o in run.world.list(SERVICE)] == run.pods == ["j-ps-0", "j-worker-0", "j-worker-1"]
    )
    assert run.world.list(POD)[0]["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "kubeflow.org/v1",
            "kind": "TFJob",
            "name": "j",
            "uid": "job-uid",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def test_what_users_wrote_in_the_template_stays_and_ours_wins() -> None:
    template = {
        "metadata": {"annotations": {"sidecar.istio.io/inject": "false"}, "labels": {"team": "a"}},
        "spec": {
            "restartPolicy": "Always",
            "containers": [
                {"name": "logger", "image": "l"},
                {"name": "tensorflow", "image": "i", "env": [{"name": "TF_CONFIG", "value": "mine"}]},
            ],
        },
    }
    run = Run(tf_job({"Worker": 2}, template=template, restart="ExitCode"))
    pod = run.pod("j-worker-0")
    assert pod["metadata"]["annotations"] == {"sidecar.istio.io/inject": "false"}
    assert pod["metadata"]["labels"]["team"] == "a"
    assert pod["spec"]["restartPolicy"] == "Never"
    assert "env" not in pod["spec"]["containers"][0]
    assert [env["value"][:5] for env in pod["spec"]["containers"][1]["env"]] == ["mine", '{"clu']
    warnings = [event for event in run.world.events if event.type == "Warning"]
    assert [warning.reason for warning in warnings] == ["SetPodTemplateRestartPolicy"]
    assert "env" in run.job["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]["containers"][1]
    assert run.job["spec"]["tfReplicaSpecs"]["Worker"]["template"] == template


@pytest.mark.parametrize(
    ("replicas", "spec", "ends", "last"),
    [
        # without a chief worker 0 decides
        ({"PS": 1, "Worker": 2}, {}, ["j-worker-0"], "Succeeded"),
        ({"PS": 1, "Worker": 2}, {}, ["j-worker-1"], "Running"),
        ({"PS": 1, "Worker": 2}, {"successPolicy": "AllWorkers"}, ["j-worker-0"], "Running"),
        ({"PS": 1, "Worker": 2}, {"successPolicy": "AllWorkers"}, ["j-worker-0", "j-worker-1"], "Succeeded"),
        # with one, only it
        ({"Chief": 1, "Worker": 2}, {}, ["j-worker-0", "j-worker-1"], "Running"),
        ({"Chief": 1, "Worker": 2}, {}, ["j-chief-0"], "Succeeded"),
        ({"Master": 1, "Worker": 2}, {}, ["j-master-0"], "Succeeded"),
        # upstream would never end this one
        ({"Evaluator": 2}, {}, ["j-evaluator-0"], "Running"),
        ({"Evaluator": 2}, {}, ["j-evaluator-0", "j-evaluator-1"], "Succeeded"),
    ],
)
def test_success(replicas: dict[str, int], spec: dict[str, Any], ends: list[str], last: str) -> None:
    run = Run(tf_job(replicas, **spec))
    run.start()
    for name in ends:
        run.end(name, 0)
    assert run.conditions[-1] == f"{last}=True"


@pytest.mark.parametrize(
    ("replicas", "spec", "fails", "message"),
    [
        ({"PS": 1, "Worker": 2}, {}, ["j-worker-1"], "TFJob ns/j has failed because 1 Worker replica(s) failed."),
        ({"PS": 1, "Worker": 2}, {}, ["j-ps-0"], "TFJob ns/j has failed because 1 PS replica(s) failed."),
        ({"Chief": 1, "Worker": 1}, {}, ["j-worker-0"], "TFJob ns/j has failed because 1 Worker replica(s) failed."),
        ({"PS": 1, "Worker": 2}, {"enableDynamicWorker": True}, ["j-worker-1"], ""),
        (
            {"PS": 1, "Worker": 2},
            {"enableDynamicWorker": True},
            ["j-worker-1", "j-worker-0"],
            "TFJob ns/j has failed because 2 Worker replica(s) failed.",
        ),
    ],
)
def test_failure(replicas: dict[str, int], spec: dict[str, Any], fails: list[str], message: str) -> None:
    run = Run(tf_job(replicas, **spec))
    run.start()
    for name in fails:
        run.end(name, 1)
    assert run.conditions[-1] == ("Failed=True" if message else "Running=True")
    assert not message or run.message == message
