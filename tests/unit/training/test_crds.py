"""The definition of TFJob: what users and tools address it by, and that it holds what the planner writes."""

from collections.abc import Iterator
from typing import Any

from beamhall.training.crds import tf_job_definition
from beamhall.training.registry import training_definitions
from tests.unit.training.jobs import Run, tf_job


def _unknown(value: Any, schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Give the fields that an API server would prune."""
    if isinstance(value, list):
        for item in value:
            yield from _unknown(item, schema["items"], f"{path}[]")
    if not isinstance(value, dict) or schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    for key, item in value.items():
        inner = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
        if inner is None:
            yield f"{path}.{key}"
        else:
            yield from _unknown(item, inner, f"{path}.{key}")


def test_names_columns_and_subresource() -> None:
    definition = tf_job_definition()
    version = definition["spec"]["versions"][0]
    assert definition["metadata"]["name"] == "tfjobs.kubeflow.org"
    assert definition["spec"]["names"]["singular"] == "tfjob"
    assert [(c["name"], c["jsonPath"]) for c in version["additionalPrinterColumns"]] == [
        ("State", ".status.conditions[-1:].type"),
        ("Age", ".metadata.creationTimestamp"),
    ]
    assert version["subresources"] == {"status": {}}


def test_nothing_that_users_or_the_planner_write_is_pruned() -> None:
    schema = tf_job_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    policy = {
        "cleanPodPolicy": "All",
        "ttlSecondsAfterFinished": 1,
        "activeDeadlineSeconds": 9,
        "backoffLimit": 1,
        "suspend": False,
        "managedBy": "kubeflow.org/training-operator",
        "schedulingPolicy": {"minAvailable": 1, "minResources": {"cpu": 1}, "queue": "q", "scheduleTimeoutSeconds": 1},
    }
    run = Run(tf_job(run_policy=policy, successPolicy="AllWorkers", enableDynamicWorker=False))
    run.start()
    run.end("j-worker-1", 1)
    job = {k: v for k, v in run.job.items() if k in ("spec", "status")}
    assert list(_unknown(job, schema)) == []
    assert list(_unknown({"spec": {"tfReplicaSpec": {}}}, schema)) == [".spec.tfReplicaSpec"]


def test_every_framework_is_defined() -> None:
    assert [d["spec"]["names"]["kind"] for d in training_definitions()] == ["TFJob"]
