"""Which TFJobs are refused, and with what words."""

from typing import Any

import pytest

from beamhall.training.validation import validate
from tests.unit.training.jobs import TF, tf_job


def _template(*containers: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"containers": list(containers)}}


def _named(name: str) -> dict[str, Any]:
    job = tf_job()
    job["metadata"]["name"] = name
    return job


@pytest.mark.parametrize(
    ("job", "field", "words"),
    [
        (_named("4j"), "metadata.name", "DNS-1035"),
        (_named("j.x"), "metadata.name", "DNS-1035"),
        (_named("j" * 60), "metadata.name", "shorten it by 6"),
        ({"metadata": {"name": "j"}, "spec": {}}, "spec.tfReplicaSpecs", "must be required"),
        (tf_job({"Boss": 1}), "spec.tfReplicaSpecs", "'Boss' is not supported"),
        (tf_job({"Worker": 1, "worker": 1}), "spec.tfReplicaSpecs", "there twice"),
        (tf_job({"Chief": 1, "Master": 1}), "spec.tfReplicaSpecs", "must not have more than 1 Chief or Master role"),
        (tf_job({"Chief": 2}), "spec.tfReplicaSpecs", "must not have more than 1 Chief or Master role"),
        (tf_job({"Worker": -1}), "spec.tfReplicaSpecs[Worker].replicas", "greater than or equal to 0"),
        (tf_job(restart="Sometimes"), "spec.tfReplicaSpecs[PS].restartPolicy", "Always, OnFailure, Never, ExitCode"),
        (
            tf_job(template={"spec": {}}),
            "spec.tfReplicaSpecs[PS].template.spec.containers",
            "must be specified",
        ),
        (
            tf_job(template=_template({"name": "main", "image": "i"})),
            "spec.tfReplicaSpecs[PS].template.spec.containers",
            "must have at least one container with name tensorflow",
        ),
        (
            tf_job(template=_template({"name": "tensorflow", "image": "i"}, {"name": "log"})),
            "spec.tfReplicaSpecs[PS].template.spec.containers[1].image",
            "must be required",
        ),
        (tf_job(run_policy={"managedBy": "me"}), "spec.runPolicy.managedBy", "'me' is not supported"),
        (tf_job(run_policy={"cleanPodPolicy": "Some"}), "spec.runPolicy.cleanPodPolicy", "All, Running, None"),
        (tf_job(run_policy={"backoffLimit": -1}), "spec.runPolicy.backoffLimit", "greater than or equal to 0"),
    ],
)
def test_bad_jobs(job: dict[str, Any], field: str, words: str) -> None:
    cause = validate(TF, job)[0]
    assert cause.field == field
    assert words in cause.message


@pytest.mark.parametrize("job", [tf_job(), tf_job({"chief": 1, "WORKER": 2}), tf_job({"Worker": 0}), _named("j" * 50)])
def test_good_jobs(job: dict[str, Any]) -> None:
    assert validate(TF, job) == []


def test_a_bad_job_from_before_can_lose_its_finalizer() -> None:
    old = tf_job({"Boss": 1})
    old["metadata"]["finalizers"] = ["f"]
    assert validate(TF, tf_job({"Boss": 1}), old) == []


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ({}, {"managedBy": "kueue.x-k8s.io/multikueue"}, "spec.runPolicy.managedBy"),
        (
            {"schedulingPolicy": {"queue": "a"}},
            {"schedulingPolicy": {"queue": "b"}},
            "spec.runPolicy.schedulingPolicy.queue",
        ),
        ({"suspend": True}, {"suspend": False}, None),
    ],
)
def test_updates(before: dict[str, Any], after: dict[str, Any], field: str | None) -> None:
    causes = validate(TF, tf_job(run_policy=after), tf_job(run_policy=before))
    assert [cause.field for cause in causes] == ([field] if field else [])
