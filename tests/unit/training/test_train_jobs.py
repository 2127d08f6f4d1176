"""The life of a TrainJob: its JobSet, the snapshot of its runtime, suspension, its end, its deadline, its group."""

import json
from typing import Any

import pytest

from beamhall.kernel.kinds import (
    CLUSTER_TRAINING_RUNTIME,
    CONFIG_MAP,
    JOB,
    JOB_SET,
    POD,
    POD_GROUP,
    ROLE,
    ROLE_BINDING,
    SERVICE_ACCOUNT,
    TRAIN_JOB,
)
from beamhall.kernel.objects import Key, labels_of
from beamhall.training.trainjobs.planner import concerned_train_jobs
from tests.models.trainer import Trainer, job_set, job_template, runtime, train_job


def _run(job: Any = None, over: Any = None, **settings: Any) -> Trainer:
    objects = [(CLUSTER_TRAINING_RUNTIME, over or runtime()), (TRAIN_JOB, job or train_job())]
    return Trainer(*objects, **settings)


def test_the_way_to_completion() -> None:
    run = _run(train_job(trainer={"numNodes": 2}))
    assert run.names(JOB_SET) == ["t"]
    assert run.names(JOB) == ["t-node-0"]
    assert [name.rsplit("-", 1)[0] for name in run.pods()] == ["t-node-0-0", "t-node-0-1"]
    assert run.get(POD, run.pods()[1])["spec"]["hostname"] == "t-node-0-1"
    assert run.conditions() == []  # Trainer knows neither Created nor Running
    run.start()
    zero = {"failed": 0, "succeeded": 0, "suspended": 0}
    assert run.get(TRAIN_JOB)["status"]["jobsStatus"] == [{"name": "node", "active": 1, "ready": 1} | zero]
    run.end()
    assert run.conditions() == ["Complete=True AllJobsCompleted"]
    assert run.get(TRAIN_JOB)["status"]["conditions"][0]["message"] == "jobset completed successfully"
    assert run.said(TRAIN_JOB) == [("AllJobsCompleted", "jobset completed successfully")]


def test_a_failed_job_fails_it() -> None:
    run = _run()
    run.fail_job("t-node-0")
    assert run.conditions() == ["Failed=True FailedJobs"]


def test_the_jobset_goes_on_as_it_is_when_its_runtime_changes_or_goes() -> None:
    run = _run()
    kept = json.loads(run.get(CONFIG_MAP, "t-runtime-snapshot")["data"]["runtime"])
    assert (kept["kind"], kept["metadata"]["name"]) == ("ClusterTrainingRuntime", "r")
    del run.world.objects[Key(CLUSTER_TRAINING_RUNTIME, "", "r")]
    run.settle()
    run.change(TRAIN_JOB, "t", suspend=True)
    assert run.pods() == []
    run.change(TRAIN_JOB, "t", suspend=False)
    run.end()
    assert run.conditions()[-1] == "Complete=True AllJobsCompleted"


def test_it_waits_for_its_runtime() -> None:
    run = Trainer((TRAIN_JOB, train_job()))
    missing = (
        "TrainJob resources reconciliation failed: ClusterTrainingRuntime specified in TrainJob is not found: "
        'clustertrainingruntimes.trainer.kubeflow.org "r" not found'
    )
    assert set(run.said(TRAIN_JOB)) == {("TrainJobResourcesCreationFailed", missing)}
    assert run.conditions() == []
    over = run.world.put(CLUSTER_TRAINING_RUNTIME, runtime())
    assert list(concerned_train_jobs(over, run.world)) == [Key(TRAIN_JOB, "ns", "t")]
    run.settle()
    assert run.names(JOB_SET) == ["t"]


def test_only_those_of_a_runtime_look_again_when_it_changes() -> None:
    run = _run(train_job(runtimeRef={"name": "r", "kind": "TrainingRuntime"}))
    assert list(concerned_train_jobs(runtime(), run.world)) == []
    namespaced = {"kind": "TrainingRuntime", "metadata": {"name": "r", "namespace": "other"}}
    assert list(concerned_train_jobs(namespaced, run.world)) == []
    namespaced["metadata"]["namespace"] = "ns"  # type: ignore[index]
    assert list(concerned_train_jobs(namespaced, run.world)) == [Key(TRAIN_JOB, "ns", "t")]


@pytest.mark.parametrize("ref", [{"kind": "Other"}, {"apiGroup": "else.io"}])
def test_a_runtime_of_another_kind_fails_it(ref: dict[str, str]) -> None:
    run = _run(
        train_job(runtimeRef={"name": "r", "kind": "ClusterTrainingRuntime", "apiGroup": "trainer.kubeflow.org"} | ref)
    )
    assert run.conditions() == ["Failed=True TrainingRuntimeNotSupported"]
    assert run.names(JOB_SET) == []


def test_suspended_from_the_start_resumed_and_suspended_again() -> None:
    run = _run(train_job(suspend=True, trainer={"numNodes": 2}))
    assert run.conditions() == ["Suspended=True Suspended"]
    assert run.names(JOB_SET) == ["t"]
    assert run.names(POD) == []
    run.change(TRAIN_JOB, "t", suspend=False)
    assert run.conditions() == ["Suspended=False Resumed"]
    run.start()
    assert len(run.pods()) == 2
    run.change(TRAIN_JOB, "t", suspend=True)
    run.world.finish_deletions()
    run.settle()
    assert run.pods() == []
    run.change(TRAIN_JOB, "t", suspend=False)
    run.end()
    assert run.conditions() == ["Suspended=False Resumed", "Complete=True AllJobsCompleted"]
    assert [reason for reason, _ in run.said(TRAIN_JOB)] == [
        "Suspended", "Resumed", "Suspended", "Resumed", "AllJobsCompleted",
    ]  # fmt: skip


def test_patches_that_come_while_it_is_suspended_reach_the_pods() -> None:
    run = _run(train_job(suspend=True))
    pod = {"spec": {"nodeSelector": {"pool": "a"}}, "metadata": {"labels": {"queue": "q"}}}
    jobs = [{"name": "node", "template": {"spec": {"template": pod}}}]
    patch = {"manager": "kueue", "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": jobs}}}}
    run.change(TRAIN_JOB, "t", runtimePatches=[patch], suspend=False)
    made = run.get(POD, run.pods()[0])
    assert made["spec"]["nodeSelector"] == {"pool": "a"}
    assert labels_of(made)["queue"] == "q"


def test_the_deadline() -> None:
    run = _run(train_job(activeDeadlineSeconds=60))
    run.start()
    run.wait(58)
    assert run.conditions() == []
    run.wait(1)
    assert run.conditions() == ["Failed=True DeadlineExceeded"]
    assert run.get(TRAIN_JOB)["status"]["conditions"][0]["message"] == "TrainJob exceeded its active deadline"
    assert run.names(JOB_SET) == []


def test_one_that_ended_in_time_and_is_looked_at_late() -> None:
    run = _run(train_job(activeDeadlineSeconds=60))
    ended = {"type": "Completed", "status": "True", "reason": "AllJobsCompleted", "message": "m"}
    since = {"lastTransitionTime": "2026-01-02T03:04:06Z"}
    run.get(JOB_SET)["status"] = {"conditions": [ended | since], "restarts": 0}
    run.wait(61)
    assert run.conditions() == ["Complete=True AllJobsCompleted"]


def test_the_deadline_counts_from_the_last_resumption() -> None:
    run = _run(train_job(activeDeadlineSeconds=60, suspend=True))
    run.wait(1000)
    run.change(TRAIN_JOB, "t", suspend=False)
    run.wait(59)
    assert run.conditions() == ["Suspended=False Resumed"]
    run.wait(1)
    assert run.conditions()[-1] == "Failed=True DeadlineExceeded"


def test_the_name_of_its_jobset_is_taken() -> None:
    run = Trainer((CLUSTER_TRAINING_RUNTIME, runtime()), (JOB_SET, job_set(name="t")), (TRAIN_JOB, train_job()))
    assert "belongs to another" in run.said(TRAIN_JOB)[0][1]
    assert run.names(JOB) == ["t-a-0"]


def test_what_a_runtime_asks_for_and_nobody_serves_is_told() -> None:
    run = _run(over=runtime(policy={"flux": {}}))
    assert run.names(JOB_SET) == []
    assert "the mlPolicy flux is not served" in run.said(TRAIN_JOB)[0][1]


def _mpi(**launcher: Any) -> Any:
    """Make a runtime of MPI whose launcher waits for its nodes; ``launcher`` is of the launcher's Pod."""
    ready = [{"name": "node", "status": "Ready"}]
    template = job_template(step="trainer")
    template["spec"]["template"]["spec"] |= launcher
    jobs = (
        {"name": "node", "template": job_template()},
        {"name": "launcher", "template": template, "dependsOn": ready},
        {"name": "other", "template": job_template()},
    )
    over = runtime(*jobs, policy={"mpi": {"runLauncherAsNode": False}})
    over["spec"]["template"]["spec"]["successPolicy"] = {"operator": "All", "targetReplicatedJobs": ["launcher"]}
    return over


def _reached(run: Trainer) -> Any:
    """Give the names of the Pods that a launcher may run commands in; None: it may in none."""
    rules = run.get(ROLE, "t-mpi-launcher")["rules"]
    assert rules[0] == {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}
    assert [rule["resources"] for rule in rules[1:]] in ([], [["pods/exec"]])
    return [rule["resourceNames"] for rule in rules[1:]]


def test_a_launcher_reaches_the_pods_that_there_are_and_no_others() -> None:
    run = _run(train_job(trainer={"numNodes": 2}), _mpi())
    binding = run.get(ROLE_BINDING, "t-mpi-launcher")
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "t-mpi-launcher", "namespace": "ns"}]
    assert run.get(SERVICE_ACCOUNT, "t-mpi-launcher")["metadata"]["ownerReferences"][0]["kind"] == "TrainJob"
    nodes = run.pods("t-node")
    assert _reached(run) == [nodes]
    run.start()
    assert _reached(run) == [run.pods("t-launcher") + nodes]
    run.change(TRAIN_JOB, "t", suspend=True)
    run.world.finish_deletions()
    run.settle()
    assert _reached(run) == []
    run.change(TRAIN_JOB, "t", suspend=False)
    assert _reached(run) == [run.pods("t-node")]


def test_an_account_that_the_launcher_has_is_the_one_that_may() -> None:
    run = _run(over=_mpi(serviceAccountName="own"))
    assert run.names(SERVICE_ACCOUNT) == []
    assert run.get(ROLE_BINDING, "t-mpi-launcher")["subjects"][0]["name"] == "own"


def test_a_pod_concerns_the_job_whose_launcher_may_reach_it() -> None:
    run = _run(over=_mpi())
    pod = run.get(POD, run.pods("t-node")[0])
    assert list(concerned_train_jobs(pod, run.world)) == [Key(TRAIN_JOB, "ns", "t")]
    assert list(concerned_train_jobs({**pod, "metadata": {"name": "p", "namespace": "ns"}}, run.world)) == []
    plain = _run()
    assert list(concerned_train_jobs(plain.get(POD, plain.pods()[0]), plain.world)) == []


def test_mpi_gets_a_hostfile_and_the_launcher_waits_for_the_nodes() -> None:
    over = _mpi()
    del over["spec"]["template"]["spec"]["replicatedJobs"][2]
    run = _run(train_job(trainer={"numNodes": 2}), over, gang="scheduler-plugins")
    assert run.get(CONFIG_MAP, "t-mpi-hostfile")["data"]["hostfile"].splitlines()[1] == "t-node-0-1.t slots=1"
    assert run.names(JOB) == ["t-node-0"]
    assert run.get(POD_GROUP)["spec"]["minMember"] == 2  # without the launcher, for which the nodes would wait
    run.start()
    assert run.names(JOB) == ["t-launcher-0", "t-node-0"]
    run.end("t-launcher")
    assert run.conditions() == ["Complete=True AllJobsCompleted"]
    run.world.finish_deletions()
    assert run.pods() == []


@pytest.mark.parametrize(
    ("gang", "policy", "nodes", "group"),
    [
        ("scheduler-plugins", {}, 3, {"minMember": 3, "scheduleTimeoutSeconds": 60}),
        ("scheduler-plugins", {}, 1, None),
        ("", {}, 3, None),
        ("", {"coscheduling": {"scheduleTimeoutSeconds": 5}}, 1, {"minMember": 1, "scheduleTimeoutSeconds": 5}),
    ],
)
def test_pods_that_start_together(gang: Any, policy: Any, nodes: int, group: Any) -> None:
    over = runtime(podGroupPolicy=policy) if policy else runtime()
    run = _run(train_job(trainer={"numNodes": nodes}), over, gang=gang)
    assert run.names(POD_GROUP) == (["t"] if group else [])
    mark = labels_of(run.get(POD, run.pods()[0])).get("scheduling.x-k8s.io/pod-group")
    assert mark == ("t" if group else None)
    if group:
        assert run.get(POD_GROUP)["spec"] == group


def test_a_group_asks_for_what_its_pods_ask_for() -> None:
    resources = {"limits": {"cpu": "2", "nvidia.com/gpu": 1}, "requests": {"cpu": "500m", "memory": "1Gi"}}
    run = _run(train_job(trainer={"numNodes": 3, "resourcesPerNode": resources}), gang="scheduler-plugins")
    found = run.get(POD_GROUP)["spec"]["minResources"]
    assert found == {"cpu": "1500m", "memory": "3Gi", "nvidia.com/gpu": "3"}


def test_an_amount_that_is_none_is_told() -> None:
    template = job_template(step="trainer", resources={"limits": {"cpu": "much"}})
    run = _run(over=runtime({"name": "node", "template": template}, podGroupPolicy={"coscheduling": {}}))
    assert run.names(JOB_SET) == []
    assert "much" in run.said(TRAIN_JOB)[0][1]


def test_initializers_are_not_of_the_group() -> None:
    first = [{"name": "dataset-initializer", "status": "Complete"}]
    jobs = (
        {"name": "dataset-initializer", "template": job_template(step="dataset-initializer")},
        {"name": "node", "template": job_template(step="trainer"), "dependsOn": first},
    )
    run = _run(train_job(trainer={"numNodes": 2}), runtime(*jobs), gang="scheduler-plugins")
    assert run.get(POD_GROUP)["spec"]["minMember"] == 2
    assert "scheduling.x-k8s.io/pod-group" not in labels_of(run.get(POD, run.pods("t-dataset")[0]))
    run.end("t-dataset")
    assert len(run.pods("t-node")) == 2


def test_one_of_another_manager_is_left_alone() -> None:
    assert _run(train_job(managedBy="kueue.x-k8s.io/multikueue")).names(JOB_SET) == []
