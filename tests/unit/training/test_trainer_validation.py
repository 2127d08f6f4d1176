"""What admission says against TrainJobs, runtimes and JobSets: upstream's rules in upstream's words."""

import copy
from typing import Any

import pytest

from beamhall.kernel.kinds import CLUSTER_TRAINING_RUNTIME, Kind
from beamhall.training.jobsets.validation import validate_job_set
from beamhall.training.trainjobs.validation import validate_runtime, validate_train_job
from tests.models.trainer import job_set, job_template, runtime, train_job

_TOO_LONG = "JobSet name is too long, {} names generated for this JobSet will exceed 63 characters"


def _causes(job: Any, old: Any = None, over: Any = None) -> list[tuple[str, str]]:
    def look(kind: Kind, namespace: str, name: str) -> Any:
        stored = over or runtime()
        wanted = (CLUSTER_TRAINING_RUNTIME, "", stored["metadata"]["name"])
        return stored if (kind, namespace, name) == wanted else None

    return [(cause.field, cause.message) for cause in validate_train_job(job, old, look)]


def _patch(**pod: Any) -> Any:
    jobs = [{"name": "node", "template": {"spec": {"template": {"spec": pod}}}}]
    return [{"manager": "m", "trainingRuntimeSpec": {"template": {"spec": {"replicatedJobs": jobs}}}}]


def test_a_good_one() -> None:
    patches = _patch(containers=[{"name": "node", "volumeMounts": []}])
    assert _causes(train_job(trainer={"env": [{"name": "A"}]}, runtimePatches=patches)) == []


@pytest.mark.parametrize(
    ("job", "field", "message"),
    [
        (train_job(name="1a"), "metadata.name", "metadata.name must match RFC 1035 DNS label format"),
        (train_job(name="a" * 64), "metadata.name", "metadata.name must be no more than 63 characters"),
        (
            train_job(managedBy="me"), "spec.managedBy",
            "ManagedBy must be trainer.kubeflow.org/trainjob-controller or kueue.x-k8s.io/multikueue if set",
        ),
        (
            train_job(runtimeRef={"name": "x"}), "spec.runtimeRef",
            'clustertrainingruntimes.trainer.kubeflow.org "x" not found: specified clusterTrainingRuntime must be '
            "created before the TrainJob is created",
        ),
        (
            train_job(runtimeRef={"name": "r", "kind": "TrainingRuntime"}), "spec.runtimeRef",
            'trainingruntimes.trainer.kubeflow.org "r" not found: specified trainingRuntime must be '
            "created before the TrainJob is created",
        ),
        (
            train_job(runtimeRef={"name": "r", "kind": "X", "apiGroup": "g"}), "spec.runtimeRef",
            "unsupported runtime: X.g",
        ),
        (
            train_job(initializer={"dataset": {}}), "spec.runtimeRef",
            "must have dataset-initializer job when trainJob is configured with input datasetConfig",
        ),
        (
            train_job(initializer={"model": {}}), "spec.runtimeRef",
            "must have model-initializer job when trainJob is configured with input modelConfig",
        ),
        (
            train_job(runtimePatches=_patch(containers=[{"name": "x"}])), "spec.runtimePatches",
            "must not have container that doesn't exist in the runtime job node",
        ),
        (
            train_job(runtimePatches=_patch(initContainers=[{"name": "x"}])), "spec.runtimePatches",
            "must not have initContainer that doesn't exist in the runtime job node",
        ),
        (
            train_job(runtimePatches=_patch(containers=[{"name": "node", "env": [{"name": "A"}]}])),
            "spec.runtimePatches", "must not have envs for the dataset-initializer, model-initializer, node containers",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_trainjob(job: Any, field: str, message: str) -> None:
    assert _causes(job) == [(field, message)]


def test_a_patch_of_a_job_that_is_not_there() -> None:
    patches = copy.deepcopy(_patch())
    patches[0]["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"][0]["name"] = "other"
    message = "must not have targetJob that doesn't exist in the runtime job template"
    assert _causes(train_job(runtimePatches=patches)) == [("spec.runtimePatches", message)]


@pytest.mark.parametrize(
    ("policy", "name", "message"),
    [
        ("torch", "PET_NNODES", "must not have reserved envs, invalid envs configured: [PET_NNODES]"),
        ("xgboost", "DMLC_TASK_ID", "DMLC_TASK_ID is reserved for the XGBoost runtime"),
        ("jax", "PET_NNODES", ""),
    ],
)
def test_variables_that_the_policy_sets(policy: str, name: str, message: str) -> None:
    job = train_job(trainer={"env": [{"name": name, "value": "1"}]})
    found = _causes(job, over=runtime(policy={policy: {}}))
    assert found == ([("spec.trainer.env", message)] if message else [])


def test_torchtune_needs_a_model_that_it_knows() -> None:
    job = train_job(trainer={"command": ["tune", "run"], "numNodes": 2})
    assert [field for field, _ in _causes(job, over=runtime(policy={"torch": {}}))] == [
        "spec.runtimeRef.name", "spec.trainer.numNodes",
    ]  # fmt: skip


def test_mpi_needs_a_launcher_and_nodes() -> None:
    over = runtime(policy={"mpi": {"runLauncherAsNode": True}})
    assert _causes(train_job(trainer={"numNodes": 1}), over=over) == []
    assert [field for field, _ in _causes(train_job(trainer={"numNodes": 2}), over=over)] == ["spec.trainer.numNodes"]


@pytest.mark.parametrize(
    ("change", "causes"),
    [
        ({"suspend": True}, []),
        ({"trainer": {"numNodes": 2}}, [("spec.trainer", "field is immutable")]),
        ({"runtimeRef": {"name": "q"}}, [("spec.runtimeRef", "field is immutable")]),
        ({"initializer": {}}, [("spec.initializer", "field is immutable")]),
        ({"activeDeadlineSeconds": 1}, [("spec.activeDeadlineSeconds", "field is immutable")]),
        ({"managedBy": "kueue.x-k8s.io/multikueue"}, [("spec.managedBy", "field is immutable")]),
        ({"runtimePatches": _patch(), "suspend": True}, []),
        (
            {"runtimePatches": _patch()},
            [
                (
                    "spec.runtimePatches",
                    "RuntimePatches can only be modified when the TrainJob is suspended before or after the update",
                )
            ],
        ),
    ],
)
def test_what_may_change(change: Any, causes: Any) -> None:
    old = train_job()
    assert _causes({**old, "spec": {**old["spec"], **change}}, old) == causes


def test_labels_of_one_that_its_runtime_would_not_take_any_more_may_be_changed() -> None:
    old = train_job(trainer={"env": [{"name": "PET_NNODES", "value": "1"}]})
    assert _causes({**old, "metadata": {**old["metadata"], "labels": {}}}, old, runtime(policy={"torch": {}})) == []


def test_a_trainjob_whose_runtime_is_gone_may_still_be_changed() -> None:
    old = train_job(runtimeRef={"name": "gone"})
    assert _causes({**old, "spec": {**old["spec"], "suspend": True}}, old) == []


@pytest.mark.parametrize(
    ("over", "field", "message"),
    [
        (runtime(policy={"torch": {}, "mpi": {}}), "spec.mlPolicy", "Only one of the policy can be configured"),
        (
            runtime(policy={"numNodes": 1, "torch": {"elasticPolicy": {"minNodes": 1}}}), "spec.mlPolicy",
            "numNodes should not be set if torch.elasticPolicy is configured",
        ),
        (
            runtime(policy={"torch": {"numProcPerNode": "many"}}), "spec.mlPolicy.torch.numProcPerNode",
            "NumProcPerNode must be equal to auto, cpu, gpu, or int value",
        ),
        (
            runtime({"name": "node", "replicas": 2, "template": job_template(step="trainer")}),
            "spec.template.spec.replicatedJobs[0].replicas", "always must be 1",
        ),
        (
            runtime({"name": "node", "template": job_template(step="trainer", name="x")}),
            "spec.template.spec.replicatedJobs[0].template.spec.template.spec.containers",
            "must have container with name - node in the node job",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_runtime(over: Any, field: str, message: str) -> None:
    assert [(cause.field, cause.message) for cause in validate_runtime(over)] == [(field, message)]
    assert validate_runtime(runtime()) == []


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        (job_set(name="a" * 62), _TOO_LONG.format("job")),
        (job_set(name="a" * 55), _TOO_LONG.format("pod")),
        (
            job_set({"name": "a", "dependsOn": [{"name": "b", "status": "Ready"}]}, {"name": "b"}),
            "replicatedJob: a cannot depend on replicatedJob: b",
        ),
        (
            job_set(
                {"name": "a"}, {"name": "b", "dependsOn": [{"name": "a", "status": "Ready"}]},
                startupPolicy={"startupPolicyOrder": "InOrder"},
            ),
            "StartupPolicy and DependsOn APIs are mutually exclusive",
        ),
        (
            job_set(successPolicy={"operator": "All", "targetReplicatedJobs": ["x"]}),
            "invalid replicatedJob name 'x' does not appear in .spec.ReplicatedJobs",
        ),
        (
            job_set(failurePolicy={"rules": [{"action": "FailJobSet", "onJobFailureReasons": ["x"]}]}),
            "invalid job failure reason 'x' in failure policy is not a recognized job failure reason",
        ),
        (
            job_set(failurePolicy={"rules": [{"action": "FailJobSet", "targetReplicatedJobs": ["x"]}]}),
            "invalid replicatedJob name 'x' in failure policy does not appear in .spec.ReplicatedJobs",
        ),
        (job_set(coordinator={"replicatedJob": "x"}), "coordinator replicatedJob x does not exist"),
        (
            job_set(coordinator={"replicatedJob": "a", "jobIndex": 1}),
            "coordinator job index 1 is invalid for replicatedJob a",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_jobset(obj: Any, message: str) -> None:
    assert [cause.message for cause in validate_job_set(obj)] == [message]
    assert validate_job_set(job_set()) == []


def test_what_of_a_jobset_may_change_and_when() -> None:
    old = job_set()
    moved = copy.deepcopy(old)
    moved["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]["nodeSelector"] = {"a": "b"}
    assert [cause.field for cause in validate_job_set(moved, old)] == ["spec.replicatedJobs"]
    moved["spec"]["suspend"] = True
    assert validate_job_set(moved, old) == []
    moved["spec"]["replicatedJobs"][0]["replicas"] = 2
    assert [cause.field for cause in validate_job_set(moved, old)] == ["spec.replicatedJobs"]
    other = {**old, "spec": {**old["spec"], "successPolicy": {"operator": "Any"}}}
    assert [(c.field, c.message) for c in validate_job_set(other, old)] == [
        ("spec.successPolicy", "Value is immutable")
    ]
