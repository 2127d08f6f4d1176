"""PyTorchJob, JAXJob, XGBoostJob, PaddleJob: what each process is told, when a job ends, and what is said of it."""

from typing import Any

import pytest

from beamhall.kernel.kinds import POD_GROUP, SERVICE
from beamhall.training.frameworks.jaxjob import JAXJob
from beamhall.training.frameworks.paddlejob import PaddleJob
from beamhall.training.frameworks.pytorchjob import PyTorchJob
from beamhall.training.frameworks.xgboostjob import XGBoostJob
from beamhall.training.job import Framework
from beamhall.training.validation import validate
from tests.planning import said
from tests.unit.training.jobs import Run, job_of

TORCH, JAX, XGB, PADDLE = PyTorchJob(), JAXJob(), XGBoostJob(), PaddleJob()
_MASTER = {
    "MASTER_ADDR": "j-master-0",
    "MASTER_PORT": "23456",
    "PET_MASTER_ADDR": "j-master-0",
    "PET_MASTER_PORT": "23456",
}


@pytest.mark.parametrize(
    ("framework", "replicas", "spec", "pod", "expected"),
    [
        (
            TORCH, {"Master": 1, "Worker": 2}, {}, "j-worker-1",
            {**_MASTER, "WORLD_SIZE": "3", "RANK": "2", "PET_NODE_RANK": "2", "PET_NPROC_PER_NODE": "auto",
             "PET_NNODES": "3"},
        ),
        (
            TORCH, {"Master": 1, "Worker": 1}, {"nprocPerNode": "4"}, "j-master-0",
            {**_MASTER, "WORLD_SIZE": "8", "RANK": "0", "PET_NODE_RANK": "0", "PET_NPROC_PER_NODE": "4",
             "PET_NNODES": "2"},
        ),
        (TORCH, {"Worker": 2}, {"nprocPerNode": "gpu"}, "j-worker-0",
         {"PET_NPROC_PER_NODE": "gpu", "PET_NNODES": "2"}),
        (
            TORCH, {"Worker": 3}, {"elasticPolicy": {"minReplicas": 1, "maxReplicas": 5}}, "j-worker-2",
            {"PET_NPROC_PER_NODE": "auto", "PET_NNODES": "1:5", "PET_RDZV_BACKEND": "c10d",
             "PET_RDZV_ENDPOINT": "j-worker-0:23456", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"},
        ),
        (
            TORCH, {"Worker": 3},
            {"elasticPolicy": {"nProcPerNode": 2, "rdzvBackend": "etcd-v2", "rdzvHost": "etcd", "rdzvPort": 2379,
                               "rdzvId": "r", "maxRestarts": 0, "standalone": True,
                               "rdzvConf": [{"key": "timeout", "value": "9"}, {"key": "a", "value": "b"}]}},
            "j-worker-0",
            {"PET_NPROC_PER_NODE": "2", "PET_NNODES": "3:3", "PET_RDZV_BACKEND": "etcd-v2",
             "PET_RDZV_ENDPOINT": "etcd:2379", "PET_RDZV_ID": "r", "PET_MAX_RESTARTS": "0",
             "PET_RDZV_CONF": "timeout=9,a=b", "PET_STANDALONE": "", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"},
        ),
        (
            JAX, {"Worker": 3}, {}, "j-worker-2",
            {"COORDINATOR_ADDRESS": "j-worker-0", "COORDINATOR_PORT": "6666", "NUM_PROCESSES": "3", "PROCESS_ID": "2"},
        ),
        (XGB, {"Master": 1}, {}, "j-master-0",
         {"MASTER_ADDR": "j-master-0", "MASTER_PORT": "9999", "WORLD_SIZE": "1", "RANK": "0"}),
        (
            XGB, {"Master": 1, "Worker": 2}, {}, "j-worker-0",
            {"MASTER_ADDR": "j-master-0", "MASTER_PORT": "9999", "WORLD_SIZE": "3", "RANK": "1",
             "WORKER_PORT": "9999", "WORKER_ADDRS": "j-worker-0,j-worker-1"},
        ),
        (
            PADDLE, {"Worker": 2}, {}, "j-worker-0",
            {"PADDLE_JOB_ID": "j", "PADDLE_NNODES": "2", "POD_IP_DUMMY": "(from a field)",
             "PADDLE_MASTER": "$(POD_IP_DUMMY):36543"},
        ),
        (PADDLE, {"Worker": 2}, {}, "j-worker-1",
         {"PADDLE_JOB_ID": "j", "PADDLE_NNODES": "2", "PADDLE_MASTER": "j-worker-0:36543"}),
        (
            PADDLE, {"Master": 1, "Worker": 2}, {}, "j-worker-0",
            {"PADDLE_JOB_ID": "j", "PADDLE_NNODES": "3", "PADDLE_MASTER": "j-master-0:36543",
             "PADDLE_TRAINER_NUM": "1"},
        ),
        (
            PADDLE, {"Master": 1, "Worker": 1}, {"elasticPolicy": {"minReplicas": 1}}, "j-master-0",
            {"PADDLE_JOB_ID": "j", "PADDLE_NNODES": "1:1", "POD_IP_DUMMY": "(from a field)",
             "PADDLE_MASTER": "$(POD_IP_DUMMY):36543", "PADDLE_SERVER_NUM": "1"},
        ),
    ],
)  # fmt: skip
def test_variables(
    framework: Framework, replicas: dict[str, int], spec: dict[str, Any], pod: str, expected: dict[str, str]
) -> None:
    run = Run(job_of(framework, replicas, **spec), framework)
    assert run.env(pod) == {"PYTHONUNBUFFERED": "1"} | expected


def test_variables_go_into_every_container_after_the_users_own() -> None:
    containers = [
        {"name": "log", "image": "l"},
        {"name": "pytorch", "image": "i", "env": [{"name": "RANK", "value": "mine"}],
         "ports": [{"name": "pytorchjob-port", "containerPort": 29500}]},
    ]  # fmt: skip
    run = Run(job_of(TORCH, {"Master": 1}, template={"spec": {"containers": containers}}), TORCH)
    first, second = run.pod("j-master-0")["spec"]["containers"]
    assert {"name": "RANK", "value": "0"} in first["env"]
    assert [v["value"] for v in second["env"] if v["name"] == "RANK"] == ["mine", "0"]
    assert {"name": "MASTER_PORT", "value": "29500"} in first["env"]
    service = run.world.get(SERVICE, "j-master-0", "ns")
    assert service is not None
    assert service["spec"]["ports"] == [{"name": "pytorchjob-port", "port": 29500}]


@pytest.mark.parametrize(
    ("framework", "replicas", "pod", "is_master", "port"),
    [
        (TORCH, {"Master": 1, "Worker": 1}, "j-master-0", True, ("pytorchjob-port", 23456)),
        (TORCH, {"Master": 1, "Worker": 1}, "j-worker-0", False, ("pytorchjob-port", 23456)),
        (TORCH, {"Worker": 1}, "j-worker-0", True, ("pytorchjob-port", 23456)),
        (JAX, {"Worker": 1}, "j-worker-0", True, ("jaxjob-port", 6666)),
        (XGB, {"Master": 1, "Worker": 1}, "j-worker-0", False, ("xgboostjob-port", 9999)),
        (PADDLE, {"Worker": 1}, "j-worker-0", False, ("master", 36543)),
        (PADDLE, {"Master": 1}, "j-master-0", True, ("master", 36543)),
    ],
)
def test_labels_and_ports(
    framework: Framework, replicas: dict[str, int], pod: str, is_master: bool, port: tuple[str, int]
) -> None:
    run = Run(job_of(framework, replicas), framework)
    _, type_, index = pod.split("-")
    labels = {
        "training.kubeflow.org/operator-name": f"{framework.kind.kind.lower()}-controller",
        "training.kubeflow.org/job-name": "j",
        "training.kubeflow.org/replica-type": type_,
        "training.kubeflow.org/replica-index": index,
    }
    made = run.pod(pod)
    assert made["metadata"]["labels"] == labels | ({"training.kubeflow.org/job-role": "master"} if is_master else {})
    assert made["spec"]["containers"][0]["ports"] == [{"name": port[0], "containerPort": port[1]}]
    policy = "OnFailure" if framework in (TORCH, PADDLE) else "Never"
    assert made["spec"]["restartPolicy"] == policy


@pytest.mark.parametrize(
    ("framework", "replicas", "spec", "ends", "is_done"),
    [
        (TORCH, {"Master": 1, "Worker": 2}, {}, ["j-master-0"], True),
        (TORCH, {"Master": 1, "Worker": 1}, {}, ["j-worker-0"], False),
        (TORCH, {"Worker": 2}, {}, ["j-worker-0"], False),
        (TORCH, {"Worker": 2}, {}, ["j-worker-1", "j-worker-0"], True),
        (TORCH, {"Worker": 2}, {"elasticPolicy": {}}, ["j-worker-1"], True),
        (TORCH, {"Master": 1, "Worker": 2}, {"elasticPolicy": {}}, ["j-worker-1"], False),
        (JAX, {"Worker": 2}, {}, ["j-worker-0"], False),
        (JAX, {"Worker": 2}, {}, ["j-worker-0", "j-worker-1"], True),
        (XGB, {"Master": 1, "Worker": 1}, {}, ["j-worker-0"], False),
        (XGB, {"Master": 1, "Worker": 1}, {}, ["j-master-0"], True),
        (PADDLE, {"Worker": 2}, {}, ["j-worker-0"], False),
        (PADDLE, {"Master": 1, "Worker": 2}, {}, ["j-master-0"], True),
    ],
)
def test_success(
    framework: Framework, replicas: dict[str, int], spec: dict[str, Any], ends: list[str], is_done: bool
) -> None:
    kind = framework.kind.kind
    has_master = "Master" in replicas
    run = Run(job_of(framework, replicas, **spec), framework)
    assert run.message == f"{kind} j is created."
    run.start()
    assert run.message == (f"{kind} j is running." if has_master else f"{kind} ns/j is running.")
    for name in ends:
        run.end(name, 0)
    if not is_done:
        assert run.conditions == ["Created=True", "Running=True"]
        return
    assert run.conditions == ["Created=True", "Running=False", "Succeeded=True"]
    done = f"{kind} j is successfully completed." if has_master else f"{kind} ns/j successfully completed."
    assert run.message == done
    assert run.job["status"]["conditions"][-1]["reason"] == f"{kind}Succeeded"
    assert (f"{kind}Succeeded", done) in said(run.world.events)


@pytest.mark.parametrize("framework", [TORCH, JAX, XGB, PADDLE], ids=lambda f: f.kind.kind)
@pytest.mark.parametrize(
    ("restart", "code", "is_restarted"),
    [("Never", 1, False), ("OnFailure", 1, True), ("ExitCode", 1, False), ("ExitCode", 137, True)],
)
def test_failure(framework: Framework, restart: str, code: int, is_restarted: bool) -> None:
    kind = framework.kind.kind
    replicas = {"Worker": 2} if framework is JAX else {"Master": 1, "Worker": 2}
    run = Run(job_of(framework, replicas, restart=restart), framework)
    run.start()
    run.end("j-worker-1", code)
    if is_restarted:
        assert run.conditions == ["Created=True", "Restarting=True"]
        assert run.message == f"{kind} j is restarting because 1 Worker replica(s) failed."
    else:
        assert run.conditions == ["Created=True", "Running=False", "Failed=True"]
        assert run.message == f"{kind} j is failed because 1 Worker replica(s) failed."
        assert run.job["status"]["conditions"][-1]["reason"] == f"{kind}Failed"


def test_workers_come_and_go_with_the_wanted_number() -> None:
    elastic = {"minReplicas": 1, "maxReplicas": 3}
    run = Run(job_of(TORCH, {"Worker": 2}, elasticPolicy=elastic), TORCH, gang="scheduler-plugins")
    run.start()
    run.job["spec"]["pytorchReplicaSpecs"]["Worker"]["replicas"] = 3
    run.settle()
    assert run.pods == ["j-worker-0", "j-worker-1", "j-worker-2"]
    assert run.env("j-worker-2")["PET_NNODES"] == "1:3"
    assert run.world.list(POD_GROUP)[0]["spec"]["minMember"] == 3
    assert run.conditions == ["Created=True", "Running=True"], "those that were there train on"
    run.start("j-worker-2")
    assert run.counts("Worker") == {"active": 3}
    run.job["spec"]["pytorchReplicaSpecs"]["Worker"]["replicas"] = 1
    run.settle()
    assert [pod for pod in run.pods if "deletionTimestamp" not in run.pod(pod)["metadata"]] == ["j-worker-0"]
    run.end_pods_being_deleted()
    assert run.pods == [s["metadata"]["name"] for s in run.world.list(SERVICE)] == ["j-worker-0"]
    assert run.conditions == ["Created=True", "Running=True"]
    assert run.counts("Worker") == {"active": 1}
    assert "annotations" not in run.job["metadata"], "who was sent away has not failed"


_BASE = {"Master": 1, "Worker": 1}


@pytest.mark.parametrize(
    ("framework", "replicas", "spec", "field", "message"),
    [
        (TORCH, {"Master": 2}, {}, "spec.pytorchReplicaSpecs[Master].replicas", "must be 1"),
        (TORCH, {"Master": 1, "Worker": 0}, {}, "spec.pytorchReplicaSpecs[Worker].replicas", "must be at least 1"),
        (TORCH, {"Master": 1}, {"elasticPolicy": {}}, "spec.pytorchReplicaSpecs[Worker]",
         "must be configured if elastic policy is used"),
        (TORCH, _BASE, {"elasticPolicy": {"nProcPerNode": 1}, "nprocPerNode": "1"}, "spec.elasticPolicy.nProcPerNode",
         "must not be used with spec.nprocPerNode"),
        (TORCH, {"Chief": 1}, {}, "spec.pytorchReplicaSpecs", "supported values: Master, Worker"),
        (JAX, {"Master": 1}, {}, "spec.jaxReplicaSpecs", "supported values: Worker"),
        (XGB, {"Worker": 1}, {}, "spec.xgbReplicaSpecs[Master]", "must be present"),
        (XGB, {"Master": 2}, {}, "spec.xgbReplicaSpecs[Master].replicas", "must be 1"),
        (PADDLE, {"PS": 1}, {}, "spec.paddleReplicaSpecs", "supported values: Master, Worker"),
        (TORCH, _BASE, {"template": {"spec": {"containers": [{"name": "main", "image": "i"}]}}},
         "spec.pytorchReplicaSpecs[Master].template.spec.containers",
         "must have at least one container with name pytorch"),
        (PADDLE, _BASE, {"run_policy": {"managedBy": "me"}}, "spec.runPolicy.managedBy", "'me' is not supported"),
    ],
)  # fmt: skip
def test_bad_jobs(framework: Framework, replicas: dict[str, int], spec: Any, field: str, message: str) -> None:
    cause = validate(framework, job_of(framework, replicas, **spec))[0]
    assert cause.field == field
    assert message in cause.message


@pytest.mark.parametrize("framework", [TORCH, XGB, PADDLE], ids=lambda f: f.kind.kind)
def test_good_jobs(framework: Framework) -> None:
    assert validate(framework, job_of(framework, _BASE)) == []
    job = job_of(framework, _BASE)
    del job["spec"][framework.replicas_field]["Master"]["replicas"]
    assert validate(framework, job) == []
