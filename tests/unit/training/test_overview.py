"""Jobs of every kind as people are told of them."""

from typing import Any

import pytest

from beamhall.kernel.kinds import MPI_JOB, PYTORCH_JOB, TF_JOB, TRAIN_JOB, XGBOOST_JOB, Kind
from beamhall.training.overview import (
    find_kind,
    is_pod_of,
    job_overview,
    n_replicas,
    pod_overview,
    replica_name,
    state_of,
)


def _job(*conditions: str, **status: Any) -> dict[str, Any]:
    held = [dict(zip(("type", "status"), written.split("="), strict=True)) for written in conditions]
    return {"metadata": {"name": "j", "namespace": "a", "uid": "u"}, "status": {"conditions": held, **status}}


@pytest.mark.parametrize(
    ("kind", "job", "state"),
    [
        (TF_JOB, _job(), "Created"),
        (TF_JOB, _job("Created=True", "Running=True"), "Running"),
        (TF_JOB, _job("Created=True", "Running=False", "Succeeded=True"), "Succeeded"),
        (TF_JOB, _job("Created=True", "Restarting=True"), "Restarting"),
        (TF_JOB, _job("Created=True", "Running=True", "Suspended=False"), "Running"),
        (TRAIN_JOB, _job(), "Created"),
        (TRAIN_JOB, _job(jobsStatus=[{"name": "node", "active": 2}]), "Running"),
        (TRAIN_JOB, _job("Suspended=True"), "Suspended"),
        (TRAIN_JOB, _job("Suspended=False", "Complete=True"), "Succeeded"),
        (TRAIN_JOB, _job("Failed=True"), "Failed"),
    ],
)
def test_the_state_is_one_word(kind: Kind, job: dict[str, Any], state: str) -> None:
    assert state_of(kind, job).name == state
    assert state_of(kind, job).is_end is (state in ("Succeeded", "Failed"))


def test_kinds_are_found_as_users_write_them() -> None:
    assert find_kind("PyTorchJob") is find_kind("pytorchjobs") is find_kind("pytorchjobs.kubeflow.org") is PYTORCH_JOB
    assert find_kind("job") is None


@pytest.mark.parametrize(
    ("kind", "spec", "expected"),
    [
        (TF_JOB, {"tfReplicaSpecs": {"PS": {}, "Worker": {"replicas": 3}}}, 4),
        (XGBOOST_JOB, {"xgbReplicaSpecs": {"Master": {"replicas": 1}}}, 1),
        (MPI_JOB, {"mpiReplicaSpecs": {"Launcher": {}, "Worker": {}}}, 1),
        (TRAIN_JOB, {"trainer": {"numNodes": 2}}, 2),
        (TRAIN_JOB, {}, None),
    ],
)
def test_the_number_of_pods_has_the_kinds_defaults(kind: Kind, spec: dict[str, Any], expected: int | None) -> None:
    assert n_replicas(kind, {"spec": spec}) == expected


def _pod(name: str, labels: dict[str, str], owner: str = "u") -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": labels, "ownerReferences": [{"uid": owner, "controller": True}]},
        "spec": {"containers": [{"name": "main"}, {"name": "side"}]},
    }


def test_replicas_are_named_within_their_job() -> None:
    assert replica_name(TF_JOB, _pod("j-worker-1", {"training.kubeflow.org/job-name": "j"})) == "worker-1"
    assert replica_name(MPI_JOB, _pod("j-launcher", {"training.kubeflow.org/job-name": "j"})) == "launcher"
    labels = {"jobset.sigs.k8s.io/replicatedjob-name": "node", "batch.kubernetes.io/job-completion-index": "2"}
    assert replica_name(TRAIN_JOB, _pod("j-node-0-2-x7k2p", labels)) == "node-2"


def test_pods_of_another_job_of_this_name_are_not_this_ones() -> None:
    assert is_pod_of(TF_JOB, _job(), _pod("j-worker-0", {}))
    assert not is_pod_of(TF_JOB, _job(), _pod("j-worker-0", {}, owner="other"))


def test_a_job_that_ended_is_told_with_its_times_and_its_progress() -> None:
    job = _job("Succeeded=True", startTime="t1", completionTime="t2", trainerStatus={"progressPercentage": 100})
    told = job_overview(TF_JOB, job)
    assert (told["kind"], told["state"], told["startTime"], told["completionTime"]) == (
        "TFJob", "Succeeded", "t1", "t2",
    )  # fmt: skip
    assert told["progress"] == {"progressPercentage": 100}
    assert "progress" not in job_overview(TF_JOB, _job())


def test_a_pod_is_told_by_the_container_that_trains() -> None:
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "t"}}
    statuses = [
        {"name": "side", "state": {"running": {}}, "restartCount": 9},
        {"name": "main", "state": ended, "restartCount": 2},
    ]
    pod = _pod("j-worker-0", {"training.kubeflow.org/job-name": "j"})
    pod["status"] = {"phase": "Failed", "containerStatuses": statuses}
    told = pod_overview(TF_JOB, pod)
    assert (told["phase"], told["reason"], told["exitCode"], told["restarts"], told["finishedAt"]) == (
        "Failed", "OOMKilled", 137, 2, "t",
    )  # fmt: skip
    assert pod_overview(TF_JOB, _pod("p", {}))["phase"] == "Pending"
