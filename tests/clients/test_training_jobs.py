"""Jobs really train, each in one set of Pods, by the real kubectl; ``test_train_frameworks`` has the other kinds."""

import contextlib
import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.environments import share_environments
from tests.programs import CODE
from tests.service import ServiceProcess, needs_kubectl, wait_for

pytestmark = [needs_kubectl, pytest.mark.heavy, pytest.mark.timeout(600)]
_PATIENCE_S = 150.0
_IMAGES = {"torch": "pytorch", "jax": "jax", "mpi": "mpi"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """Give a running service with four simulated GPUs and an image for each framework."""
    running = ServiceProcess(tmp_path_factory.mktemp("frameworks") / "data", "--stop-pods", "--gpus", "4")
    share_environments(running.data)
    for name, environment in _IMAGES.items():
        running.add_image(f"tests/{name}", environment, CODE / "training")
    running.start()
    try:
        running.kubectl("create", "namespace", "lab")
        yield running
    finally:
        running.stop()


@pytest.fixture(autouse=True)
def _clean(service: ServiceProcess) -> Iterator[None]:
    yield
    kinds = "pytorchjobs,mpijobs,jaxjobs,xgboostjobs"
    service.kubectl("-n", "lab", "delete", kinds, "--all", "--wait=false")
    wait_for("no Pod", lambda: "No resources" in service.kubectl("-n", "lab", "get", "pods", check=False), 90)


def replica(image: str, container: str, *command: str, n: int = 1, cpu: str = "900m", **more: Any) -> dict[str, Any]:
    """Make a replica type; ``more`` is the container's."""
    options = {"restartPolicy": more.pop("restart")} if "restart" in more else {}
    # With a request, or it would stand back behind everything else on the machine.
    main = {"name": container, "image": f"tests/{image}", "resources": {"requests": {"cpu": cpu}}}
    main |= {**({"command": list(command)} if command else {}), **more}
    return {
        "replicas": n,
        "template": {"spec": {"terminationGracePeriodSeconds": 5, "containers": [main]}},
        **options,
    }


class Job:
    """A job that was created, by kubectl."""

    def __init__(self, service: ServiceProcess, kind: str, spec: dict[str, Any], version: str = "v1") -> None:
        self._service = service
        self.kind = kind
        self.name = "job"
        manifest = {"apiVersion": f"kubeflow.org/{version}", "kind": kind, "metadata": {"name": "job"}, "spec": spec}
        service.kubectl("-n", "lab", "create", "-f", "-", stdin=yaml.safe_dump(manifest))

    @property
    def conditions(self) -> list[str]:
        """The conditions, in order, as ``Type=Status``."""
        status = json.loads(self.kubectl("get", f"{self.kind}/job", "-o", "json")).get("status") or {}
        return [f"{c['type']}={c['status']}" for c in status.get("conditions") or ()]

    def kubectl(self, *args: str, check: bool = True) -> str:
        return self._service.kubectl("-n", "lab", *args, check=check)

    def log(self, pod: str) -> str:
        return self.kubectl("logs", f"job-{pod}", check=False)

    def has_ended(self) -> bool:
        return bool({"Succeeded=True", "Failed=True"} & set(self.conditions))

    def succeed(self) -> None:
        """Wait for its end, and fail unless it is a good one."""
        wait_for("the job's end", self.has_ended, _PATIENCE_S)
        logs = self.kubectl("logs", "--prefix", "--tail=15", "-l", "training.kubeflow.org/job-name=job", check=False)
        assert self.conditions == ["Created=True", "Running=False", "Succeeded=True"], logs

    def wait_for_log(self, pod: str, pattern: str, after: int = 0) -> str:
        """Wait until a Pod's log has a line like this, behind the first ``after`` characters."""
        return wait_for(
            f"{pattern} in {pod}'s log", lambda: "".join(re.findall(pattern, self.log(pod)[after:])[-1:]), _PATIENCE_S
        )

    def kill(self, pod: str) -> None:
        """Kill the processes of a Pod, each by its own number."""
        uid = self.kubectl("get", "pod", f"job-{pod}", "-o", "jsonpath={.metadata.uid}")
        marker = f"BEAMHALL_SANDBOX={uid}.".encode()
        killed = 0
        for pid in self._service.processes():
            with contextlib.suppress(OSError):  # it may end meanwhile, by itself or with the others
                if marker in Path(f"/proc/{pid}/environ").read_bytes():
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
        assert killed, f"{pod} has no processes"


def test_pytorch_trains_with_distributed_data_parallel(service: ServiceProcess) -> None:
    main = replica("torch", "pytorch", "python", "-m", "torch_ddp")
    job = Job(service, "PyTorchJob", {"nprocPerNode": "1", "pytorchReplicaSpecs": {"Master": main, "Worker": main}})
    job.succeed()
    weights = [
        re.findall(r"rank (\d) of 2 on (\S+): weight (\S+) sum 3", job.log(f"{t}-0")) for t in ("master", "worker")
    ]
    assert [w[0][:2] for w in weights] == [("0", "job-master-0"), ("1", "job-worker-0")]
    assert weights[0][0][2] == weights[1][0][2], "both have the same model"
    assert abs(float(weights[0][0][2]) - 3) < 0.1, "and it is right"
    table = job.kubectl("get", "pytorchjobs")
    assert table.split()[:6] == ["NAME", "STATE", "AGE", "job", "Succeeded", table.split()[5]]


def test_an_elastic_job_goes_on_when_workers_come_and_go_and_are_killed(
    service: ServiceProcess, tmp_path: Path
) -> None:
    """It starts alone, gets a second worker, loses it to a signal and has it back, and ends alone."""
    settings = {"last_call_timeout": "5", "keep_alive_interval": "1", "keep_alive_max_attempt": "10"}
    policy = {
        "minReplicas": 1, "maxReplicas": 2, "maxRestarts": 50,
        "rdzvConf": [{"key": key, "value": value} for key, value in settings.items()],
    }  # fmt: skip
    worker = replica(
        "torch", "pytorch", "torchrun", "-m", "torch_elastic",
        restart="OnFailure", env=[{"name": "DIRECTORY", "value": str(tmp_path)}],
    )  # fmt: skip
    spec = {"nprocPerNode": "1", "elasticPolicy": policy, "pytorchReplicaSpecs": {"Worker": worker}}
    job = Job(service, "PyTorchJob", spec)
    job.wait_for_log("worker-0", "step .* of 1 ranks")
    job.kubectl("scale", "pytorchjob/job", "--replicas=2")
    job.wait_for_log("worker-0", "step .* of 2 ranks")
    reached, seen = int((tmp_path / "step").read_text()), len(job.log("worker-0"))
    job.kill("worker-1")
    # The rest may train on alone for a while; the worker comes back in its own Pod.
    after = job.wait_for_log("worker-0", r"step (\d+) of \d ranks", after=seen)
    assert int(after) >= reached, "it goes on where it was"
    wait_for("the restart", lambda: job.kubectl("get", "pod", "job-worker-1").split()[8] != "0", _PATIENCE_S)
    job.wait_for_log("worker-0", "step .* of 2 ranks", after=len(job.log("worker-0")))
    job.kubectl("scale", "pytorchjob/job", "--replicas=1")
    job.wait_for_log("worker-0", "step .* of 1 ranks", after=len(job.log("worker-0")))
    assert "job-worker-1" not in job.kubectl("get", "pods,services")
    (tmp_path / "stop").touch()
    job.succeed()
    assert int((tmp_path / "step").read_text()) > reached


_needs_mpirun = pytest.mark.skipif(
    shutil.which("mpirun") is None, reason="no mpirun on this machine: apt-get install openmpi-bin"
)


@_needs_mpirun
@pytest.mark.parametrize(
    ("version", "more", "hosts"),
    [
        ("v1", {}, "job-worker-0,job-worker-0,job-worker-1,job-worker-1"),
        ("v2beta1", {"runLauncherAsWorker": True}, "job-launcher,job-launcher,job-worker-0,job-worker-0"),
    ],
)
def test_mpi_runs_in_the_workers_pods(service: ServiceProcess, version: str, more: dict[str, Any], hosts: str) -> None:
    launcher = replica("mpi", "launcher", "mpirun", "-np", "4", "python", "-m", "mpi_pi", cpu="500m")
    worker = replica("mpi", "worker", n=len(set(hosts.split(",")) - {"job-launcher"}), cpu="500m")
    spec = {"slotsPerWorker": 2, "mpiReplicaSpecs": {"Launcher": launcher, "Worker": worker}, **more}
    job = Job(service, "MPIJob", spec, version)
    job.succeed()
    assert f"by 4 ranks on {hosts}" in job.log("launcher")
    assert "State" not in job.kubectl("get", f"mpijobs.{version}.kubeflow.org")


@_needs_mpirun
def test_a_failing_mpi_program_fails_the_job_and_ends_its_processes(service: ServiceProcess) -> None:
    program = "test $OMPI_COMM_WORLD_RANK = 1 && exit 7; exec sleep 1000"
    launcher = replica("mpi", "launcher", "mpirun", "-np", "2", "sh", "-c", program, cpu="500m")
    policy = {"cleanPodPolicy": "Running"}
    spec = {
        "runPolicy": policy,
        "mpiReplicaSpecs": {"Launcher": launcher, "Worker": replica("mpi", "worker", n=2, cpu="500m")},
    }
    job = Job(service, "MPIJob", spec)
    wait_for("the job's end", job.has_ended, _PATIENCE_S)
    assert job.conditions == ["Created=True", "Running=False", "Failed=True"]
    assert "exit code" in job.log("launcher").lower()
    assert json.loads(job.kubectl("get", "pod", "job-launcher", "-o", "json"))["status"]["phase"] == "Failed"
    wait_for("no processes", lambda: not service.processes())


def test_the_remote_shell_waits_for_pods_and_brings_output_and_exit_codes(service: ServiceProcess) -> None:
    run = "/etc/mpi/kubexec.sh -x job-worker-0"
    words = [
        f"{run} 'echo out; echo err >&2; exit 7'; echo code $?",
        f"{run} 'seq 30000' | wc -l",
        f"KUBEXEC_SCHEME=https {run} true && echo fine",
    ]
    launcher = replica("mpi", "launcher", "sh", "-c", "; ".join(words), cpu="100m")
    worker = replica("mpi", "worker", "sh", "-c", "exec sleep 1000", cpu="100m")
    inside = worker["template"]["spec"]
    inside["containers"].append({**inside["containers"][0], "name": "beside"})  # which of them, it must find out
    inside["initContainers"] = [{**inside["containers"][0], "name": "late", "command": ["sleep", "2"]}]
    job = Job(service, "MPIJob", {"mpiReplicaSpecs": {"Launcher": launcher, "Worker": worker}})
    job.succeed()
    assert sorted(job.log("launcher").split("\n")) == ["", "30000", "code 7", "err", "fine", "out"]


def test_workers_see_the_gpus_that_they_ask_for_and_jobs_wait_whole(service: ServiceProcess) -> None:
    show = 'echo "gpus $CUDA_VISIBLE_DEVICES"; while ! test -e $STOP; do sleep 0.1; done'
    stop = service.data.parent / "stop"

    def spec(n: int, gpus: int) -> dict[str, Any]:
        limits = {"limits": {"nvidia.com/gpu": gpus}, "requests": {"cpu": "100m"}}
        env = [{"name": "STOP", "value": str(stop)}]
        worker = replica("jax", "jax", "sh", "-c", show, n=n, resources=limits, env=env)
        return {"jaxReplicaSpecs": {"Worker": worker}}

    first = Job(service, "JAXJob", spec(2, 1))
    wait_for("the first job", lambda: "Running=True" in first.conditions, _PATIENCE_S)
    manifest = {"apiVersion": "kubeflow.org/v1", "kind": "JAXJob", "metadata": {"name": "two"}, "spec": spec(2, 2)}
    service.kubectl("-n", "lab", "create", "-f", "-", stdin=yaml.safe_dump(manifest))
    wait_for("the reason", lambda: "FailedScheduling" in first.kubectl("get", "events"))
    pods = json.loads(first.kubectl("get", "pods", "-l", "training.kubeflow.org/job-name=two", "-o", "json"))["items"]
    assert [pod["spec"].get("nodeName") for pod in pods] == [None, None], "one would fit, but a job starts whole"
    seen = [first.wait_for_log(f"worker-{i}", r"gpus (\S+)") for i in (0, 1)]
    assert sorted(seen) == sorted(set(seen))
    stop.touch()
    wait_for("the second job", lambda: "Succeeded" in first.kubectl("get", "jaxjob", "two"), _PATIENCE_S)
    logs = [service.kubectl("-n", "lab", "logs", f"two-worker-{i}").split()[1].split(",") for i in (0, 1)]
    assert sorted(gpu for log in logs for gpu in log) == ["0", "1", "2", "3"]
    assert [len(log) for log in logs] == [2, 2]
