"""The ``kubeflow`` SDK's ``TrainerClient`` with its Kubernetes backend, unchanged: from runtimes to delete."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from kubeflow.common.types import KubernetesBackendConfig
from kubeflow.trainer import CustomTrainer, TrainerClient
from kubernetes import client, config

from tests.environments import share_environments
from tests.service import ServiceProcess, needs_kubectl, wait_for

pytestmark = needs_kubectl

_TIMEOUT_S = 100


def _runtime(name: str, **job: Any) -> dict[str, Any]:
    """Make a runtime of plain Python, whose Jobs fail at once."""
    pod = {"containers": [{"name": "node", "image": "python:3.11"}], "restartPolicy": "Never"}
    template = {
        "metadata": {"labels": {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}},
        "spec": {"backoffLimit": 0, "template": {"spec": pod}, **job},
    }
    jobs = [{"name": "node", "template": template}]
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainingRuntime",
        "metadata": {"name": name, "labels": {"trainer.kubeflow.org/framework": "plain"}},
        "spec": {"mlPolicy": {"numNodes": 1}, "template": {"spec": {"replicatedJobs": jobs}}},
    }


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """Give a running service that has the namespace and the runtime ``plain``."""
    running = ServiceProcess(tmp_path_factory.mktemp("trainer") / "data", "--stop-pods")
    share_environments(running.data)
    running.start()
    running.kubectl("create", "namespace", "lab")
    running.kubectl("apply", "-n", "lab", "-f", "-", stdin=json.dumps(_runtime("plain")))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def api(service: ServiceProcess) -> Iterator[Any]:
    """Give a connection to it."""
    with config.new_client_from_config(str(service.kubeconfig)) as connection:
        yield connection


@pytest.fixture
def trainer(api: Any) -> TrainerClient:
    """Give the SDK's client."""
    return TrainerClient(KubernetesBackendConfig(client_configuration=api.configuration, namespace="lab"))


def _train(word: str) -> None:
    import os  # noqa: PLC0415  what is packed is this function alone
    import time  # noqa: PLC0415

    for step in range(3):
        print(f"{word} {step} of node {os.environ['JOB_COMPLETION_INDEX']}", flush=True)
        time.sleep(0.2)


def _count() -> None:
    import inflection  # type: ignore[import-not-found]  # noqa: PLC0415

    print(inflection.pluralize("error"))


def _report() -> None:
    from kubeflow.trainer.backends.kubernetes.utils import update_trainjob_status  # noqa: PLC0415

    print(update_trainjob_status(progress_percent=40, estimated_remaining_seconds=9, metrics={"loss": 0.25}))


def _report_for(name: str) -> None:
    import os  # noqa: PLC0415

    from kubeflow.trainer.backends.kubernetes.utils import update_trainjob_status  # noqa: PLC0415

    own = os.environ["KUBEFLOW_TRAINER_SERVER_URL"]
    os.environ["KUBEFLOW_TRAINER_SERVER_URL"] = own.rsplit("/", 2)[0] + f"/{name}/status"
    print(update_trainjob_status(progress_percent=90))


def _fail() -> None:
    raise SystemExit("no more data")


def test_a_function_from_train_to_delete(api: Any, trainer: TrainerClient, service: ServiceProcess) -> None:
    assert trainer.get_runtime("plain").trainer.framework == "plain"
    name = trainer.train(
        runtime=trainer.get_runtime("plain"),
        trainer=CustomTrainer(func=_train, func_args={"word": "step"}, num_nodes=2, env={"A": "1"}),
    )
    trainer.wait_for_job_status(name, {"Running", "Complete"}, timeout=_TIMEOUT_S, polling_interval=1)
    assert list(trainer.get_job_logs(name, follow=True)) == [f"step {step} of node 0" for step in range(3)]
    job = trainer.wait_for_job_status(name, timeout=_TIMEOUT_S, polling_interval=1)
    assert (job.status, job.num_nodes) == ("Complete", 2)
    assert [(step.name, step.status) for step in job.steps] == [("node-0", "Succeeded"), ("node-1", "Succeeded")]
    assert list(trainer.get_job_logs(name, step="node-1")) == [f"step {step} of node 1" for step in range(3)]
    events = {(event.involved_object_kind, event.reason) for event in trainer.get_job_events(name)}
    assert {("TrainJob", "AllJobsCompleted"), ("JobSet", "AllJobsCompleted"), ("Pod", "Started")} <= events
    assert name in [one.name for one in trainer.list_jobs()]
    trainer.delete_job(name)
    selector = f"jobset.sigs.k8s.io/jobset-name={name}"
    core = client.CoreV1Api(api)
    wait_for("the Pods to be gone", lambda: not core.list_namespaced_pod("lab", label_selector=selector).items)
    wait_for("the processes to be gone", lambda: not service.processes())
    assert name not in [one.name for one in trainer.list_jobs()]


def test_packages_become_an_environment(trainer: TrainerClient) -> None:
    name = trainer.train(
        runtime=trainer.get_runtime("plain"),
        trainer=CustomTrainer(func=_count, packages_to_install=["inflection==0.5.1"]),
    )
    trainer.wait_for_job_status(name, timeout=_TIMEOUT_S, polling_interval=1)
    assert list(trainer.get_job_logs(name)) == ["errors"]


@pytest.mark.heavy
def test_the_trainer_tells_of_its_progress_and_of_no_others(trainer: TrainerClient, api: Any) -> None:
    def logged(function: Any, **args: Any) -> tuple[str, list[str]]:
        packed = CustomTrainer(func=function, func_args=args or None, packages_to_install=["kubeflow>=0.5"])
        name = trainer.train(runtime=trainer.get_runtime("plain"), trainer=packed)
        trainer.wait_for_job_status(name, timeout=_TIMEOUT_S, polling_interval=1)
        return name, list(trainer.get_job_logs(name))

    name, said = logged(_report)
    assert said == ["True"]
    assert "False" in logged(_report_for, name=name)[1]  # beside what the SDK says on its other stream
    where = ("trainer.kubeflow.org", "v1alpha1", "lab", "trainjobs", name)
    status: Any = client.CustomObjectsApi(api).get_namespaced_custom_object(*where)
    told = status["status"]["trainerStatus"]
    assert told.pop("lastUpdatedTime").endswith("Z")
    assert told == {
        "progressPercentage": 40,
        "estimatedRemainingSeconds": 9,
        "metrics": [{"name": "loss", "value": "0.25"}],
    }


def test_a_function_that_fails(trainer: TrainerClient) -> None:
    name = trainer.train(runtime=trainer.get_runtime("plain"), trainer=CustomTrainer(func=_fail))
    with pytest.raises(RuntimeError, match=f"TrainJob {name} is Failed"):
        trainer.wait_for_job_status(name, timeout=_TIMEOUT_S, polling_interval=1)
    assert list(trainer.get_job_logs(name))[-1] == "no more data"


def _wait_long() -> None:
    import time  # noqa: PLC0415

    print("begins", flush=True)
    time.sleep(600)


def test_suspended_while_it_runs_and_resumed(trainer: TrainerClient, service: ServiceProcess) -> None:
    name = trainer.train(runtime=trainer.get_runtime("plain"), trainer=CustomTrainer(func=_wait_long, num_nodes=2))
    trainer.wait_for_job_status(name, {"Running"}, timeout=_TIMEOUT_S, polling_interval=1)
    wait_for("its log", lambda: list(trainer.get_job_logs(name)) == ["begins"])

    def suspend(value: str) -> None:
        patch = f'{{"spec":{{"suspend":{value}}}}}'
        service.kubectl("patch", "trainjob", name, "-n", "lab", "--type=merge", "-p", patch)

    suspend("true")
    service.kubectl("wait", f"trainjob/{name}", "-n", "lab", "--for=condition=Suspended", "--timeout=60s")
    wait_for("the Pods to be gone", lambda: not trainer.get_job(name).steps)
    suspend("false")
    # The SDK calls nothing Running that has any condition, such as Suspended=False.
    wait_for("both nodes", lambda: [step.status for step in trainer.get_job(name).steps] == ["Running"] * 2, 60)
    wait_for("its log", lambda: list(trainer.get_job_logs(name)) == ["begins"])
    trainer.delete_job(name)


def test_the_runtimes_that_are_there(trainer: TrainerClient) -> None:
    frameworks = {runtime.name: runtime.trainer.framework for runtime in trainer.list_runtimes()}
    assert frameworks == {
        "plain": "plain",
        "torch-distributed": "torch",
        "torch-distributed-with-cache": "torch",
        "jax-distributed": "jax",
        "xgboost-distributed": "xgboost",
        "deepspeed-distributed": "deepspeed",
        "mlx-distributed": "mlx",
        "torchtune-llama3.2-1b": "torchtune",
        "torchtune-llama3.2-3b": "torchtune",
        "torchtune-qwen2.5-1.5b": "torchtune",
    }


def _all_reduce() -> None:
    import torch  # noqa: PLC0415
    import torch.distributed as dist  # noqa: PLC0415

    dist.init_process_group("gloo")
    ranks = torch.ones(2) * (dist.get_rank() + 1)
    dist.all_reduce(ranks)
    print(f"rank {dist.get_rank()} of {dist.get_world_size()}: {ranks.tolist()}", flush=True)
    dist.destroy_process_group()


@pytest.mark.heavy
@pytest.mark.timeout(300)
def test_torch_on_two_nodes_through_gloo(trainer: TrainerClient) -> None:
    name = trainer.train(
        runtime=trainer.get_runtime("torch-distributed"),
        trainer=CustomTrainer(func=_all_reduce, num_nodes=2, resources_per_node={"cpu": 0.1}),
    )
    trainer.wait_for_job_status(name, timeout=280, polling_interval=1)
    lines = {line for node in (0, 1) for line in trainer.get_job_logs(name, step=f"node-{node}")}
    assert lines >= {"rank 0 of 2: [3.0, 3.0]", "rank 1 of 2: [3.0, 3.0]"}
