"""The ``kubeflow-training`` SDK's ``TrainingClient``, unchanged: jobs from functions and objects, to their end."""

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubeflow.training.api.training_client import TrainingClient
from kubernetes import client, config

from tests.environments import share_environments
from tests.service import ServiceProcess, needs_kubectl, wait_for

pytestmark = needs_kubectl
_MODELS: Any = importlib.import_module("kubeflow.training.models")
_IMAGE = "python:3.11"
Connect = Callable[[str], TrainingClient]
_WAIT: dict[str, Any] = {"wait_timeout": 100, "polling_interval": 1}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """Give a running service that has the namespace ``lab``."""
    running = ServiceProcess(tmp_path_factory.mktemp("training") / "data", "--stop-pods")
    share_environments(running.data)
    running.start()
    try:
        running.kubectl("create", "namespace", "lab")
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def connect(service: ServiceProcess) -> Iterator[Connect]:
    """Give what makes the SDK's client for a kind: some of its methods know no other than the client's own."""
    with config.new_client_from_config(str(service.kubeconfig)) as connection:
        where = connection.configuration
        yield lambda kind: TrainingClient(client_configuration=where, namespace="lab", job_kind=kind)


def _train(parameters: dict[str, int]) -> None:
    import os  # noqa: PLC0415  what is packed is this function alone

    for step in range(parameters["n_steps"]):
        print(f"step {step} as {os.environ.get('RANK', os.environ.get('TF_CONFIG', ''))[:20]}")


def _fail() -> None:
    raise SystemExit("no more data")


@pytest.mark.parametrize(
    ("kind", "workers", "pods", "said"),
    [
        ("PyTorchJob", 1, ["{}-master-0"], "step 1 as 0"),
        ("TFJob", 2, ["{}-worker-0", "{}-worker-1"], 'step 1 as {{"cluster"'),
    ],
)
def test_a_function_from_create_to_delete(
    connect: Connect, service: ServiceProcess, kind: str, workers: int, pods: list[str], said: str
) -> None:
    training, name = connect(kind), kind.lower()
    named = [pod.format(name) for pod in pods]
    training.create_job(name=name, train_func=_train, parameters={"n_steps": 2}, base_image=_IMAGE, num_workers=workers)
    job: Any = training.wait_for_job_conditions(name, **_WAIT)
    seen = [condition.type for condition in job.status.conditions if condition.type != "Running"]  # it may be too short
    assert seen == ["Created", "Succeeded"]
    assert training.is_job_succeeded(name)
    assert sorted(training.get_job_pod_names(name)) == named
    assert training.get_job_pod_names(name, is_master=True) == named[:1]
    logs, events = training.get_job_logs(name, verbose=True)
    assert list(logs) == named[:1]
    assert said.replace("{{", "{") in logs[named[0]]
    assert any(line.endswith(f"Created pod: {named[0]}") for line in events[f"{name}/{name}"])  # a kind, and a name
    every, _ = training.get_job_logs(name, is_master=False)
    assert sorted(every) == named
    assert name in [listed.metadata.name for listed in training.list_jobs()]
    training.delete_job(name)
    wait_for("the Pods to be gone", lambda: not training.get_job_pods(name))
    wait_for("the processes to be gone", lambda: not service.processes())
    assert training.list_jobs() == []


def _job(kind: str, replicas: str, container: str, n: int) -> Any:
    """Make a job of one replica type, as the SDK's own object."""
    main = client.V1Container(name=container, image=_IMAGE, command=["python", "-c", "print('hello')"])
    template = client.V1PodTemplateSpec(spec=client.V1PodSpec(containers=[main]))
    replica = _MODELS.KubeflowOrgV1ReplicaSpec(replicas=n, template=template, restart_policy="Never")
    types = {{"XGBoostJob": "Master", "MPIJob": "Launcher"}.get(kind, "Worker"): replica}
    spec = getattr(_MODELS, f"KubeflowOrgV1{kind}Spec")
    return getattr(_MODELS, f"KubeflowOrgV1{kind}")(
        api_version="kubeflow.org/v1",
        kind=kind,
        metadata=client.V1ObjectMeta(name="job"),
        spec=spec(run_policy=_MODELS.KubeflowOrgV1RunPolicy(), **{replicas: types}),
    )


@pytest.mark.parametrize(
    ("kind", "replicas", "container", "n"),
    [
        ("JAXJob", "jax_replica_specs", "jax", 2),
        ("MPIJob", "mpi_replica_specs", "mpi", 1),
        ("PaddleJob", "paddle_replica_specs", "paddle", 1),
        ("XGBoostJob", "xgb_replica_specs", "xgboost", 1),
    ],
)
def test_an_object_of_the_sdk(connect: Connect, kind: str, replicas: str, container: str, n: int) -> None:
    training = connect(kind)
    training.create_job(job=_job(kind, replicas, container, n))
    training.wait_for_job_conditions("job", **_WAIT)
    logs, _ = training.get_job_logs("job", is_master=False)
    assert list(logs.values()) == ["hello\n"] * n
    training.update_job(_labelled(training), name="job")
    training.delete_job("job")
    wait_for("the Pods to be gone", lambda: not training.get_job_pods("job"))


def _labelled(training: TrainingClient) -> Any:
    """Give the job as it is, with a label more."""
    job: Any = training.get_job("job")
    job.metadata.labels = {"team": "lab"}
    return job


def test_a_function_that_fails(connect: Connect) -> None:
    training = connect("TFJob")
    training.create_job(name="fails", train_func=_fail, base_image=_IMAGE, num_workers=1)
    with pytest.raises(RuntimeError, match="TFJob lab/fails is Failed"):
        training.wait_for_job_conditions("fails", **_WAIT)
    logs, _ = training.get_job_logs("fails")
    assert logs["fails-worker-0"].splitlines()[-1] == "no more data"


def test_what_is_wrong_is_said(connect: Connect) -> None:
    job = _job("JAXJob", "jax_replica_specs", "other", 1)
    with pytest.raises(RuntimeError, match=r"spec\.jaxReplicaSpecs"):
        connect("JAXJob").create_job(job=job)


def _all_reduce() -> None:
    import torch  # noqa: PLC0415
    import torch.distributed as dist  # noqa: PLC0415

    dist.init_process_group("gloo")
    ranks = torch.ones(1) * (dist.get_rank() + 1)
    dist.all_reduce(ranks)
    print(f"rank {dist.get_rank()} of {dist.get_world_size()}: {ranks.item()}", flush=True)
    dist.destroy_process_group()


@pytest.mark.heavy
@pytest.mark.timeout(300)
def test_torch_on_two_workers(connect: Connect) -> None:
    training = connect("PyTorchJob")
    training.create_job(
        name="torch", train_func=_all_reduce, num_workers=2, num_procs_per_worker=1,
        resources_per_worker={"cpu": "200m"},
    )  # fmt: skip
    training.wait_for_job_conditions("torch", wait_timeout=280, polling_interval=1)
    logs, _ = training.get_job_logs("torch", is_master=False)
    assert sorted(line for log in logs.values() for line in log.splitlines() if line.startswith("rank")) == [
        "rank 0 of 2: 3.0",
        "rank 1 of 2: 3.0",
    ]
    training.delete_job("torch")
