"""Training jobs: a trivial all-reduce beside torchrun and mpirun, many no-op jobs at once, and restarts."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import yaml

from benchmarks.bench_jobs import CLIENTS
from benchmarks.figures import figure
from tests.environments import share_environments
from tests.service import ServiceProcess, wait_for

RUNS = 5
JOBS = 500
RESTARTS = 10
CODE = Path(__file__).parent / "programs"
GROUP = "/k8s/apis/kubeflow.org/v1/namespaces/default"
PODS = "/k8s/api/v1/namespaces/default/pods"
_ENDS = ("Succeeded", "Failed")


def measure() -> Iterator[dict[str, Any]]:
    """Measure over HTTP, as a client sees it, on one service; peers run in the environments that its Pods run in."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as directory:
        service = ServiceProcess(Path(directory) / "data", "--stop-pods")
        share_environments(service.data)
        content = {
            "environments": {"empty": {"requirements": []}},
            "images": [{"image": "bench/empty", "environment": "empty"}],
        }
        (service.data / "images.yaml").write_text(yaml.safe_dump(content))
        service.add_image("bench/torch", "pytorch", CODE)
        service.add_image("bench/mpi", "mpi", CODE)
        service.start()
        try:
            jobs = Jobs(service)
            yield from _all_reduce(jobs)
            if shutil.which("mpirun"):
                yield from _mpi(jobs)
            yield from _restarts(jobs)
            yield from _many(jobs)
        finally:
            service.stop()


class Jobs:
    """Runs training jobs on a service."""

    def __init__(self, service: ServiceProcess) -> None:
        headers = {"authorization": f"Bearer {service.token}"}
        self.service = service
        self.http = httpx2.Client(base_url=service.url, headers=headers, trust_env=False, timeout=900)
        wait_for("the namespace", lambda: self.http.get("/k8s/api/v1/namespaces/default").status_code == 200)

    def python(self, environment: str) -> str:
        """Give the interpreter of an environment that was made."""
        return str(next(self.service.data.glob(f"environments/{environment}-*/bin/python")))

    def run(self, kind: str, spec: dict[str, Any]) -> float:
        """Run one job to its end, and give the ms from before its create to the event that says so."""
        path = f"{GROUP}/{kind.lower()}s"
        revision = self.http.get(path).json()["metadata"]["resourceVersion"]
        body = {"apiVersion": "kubeflow.org/v1", "kind": kind, "metadata": {"generateName": "bench-"}, "spec": spec}
        query = {"watch": "1", "resourceVersion": revision}
        began = time.perf_counter()
        name = self.http.post(path, json=body).raise_for_status().json()["metadata"]["name"]
        with self.http.stream("GET", path, params=query) as changes:
            for line in changes.iter_lines():
                job = json.loads(line)["object"]
                if job["metadata"]["name"] == name and (end := _end(job)):
                    taken = 1000 * (time.perf_counter() - began)
                    assert end == "Succeeded", job["status"]
                    self.http.delete(f"{path}/{name}", params={"propagationPolicy": "Background"})
                    wait_for("its Pods to go", lambda: not self.http.get(PODS).json()["items"])
                    return taken
        raise AssertionError("the watch ended")


def _end(job: dict[str, Any]) -> str:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return next((c["type"] for c in conditions if c["type"] in _ENDS and c["status"] == "True"), "")


def _replica(container: str, image: str, command: Sequence[str], n: int = 1, cpu: str = "400m") -> dict[str, Any]:
    # With a request, as peers have their share: what asks for nothing stands back behind everything else.
    main: dict[str, Any] = {"name": container, "image": image, "command": list(command)}
    main |= {"resources": {"requests": {"cpu": cpu}}} if cpu else {}
    return {"replicas": n, "restartPolicy": "Never", "template": {"spec": {"containers": [main]}}}


def _all_reduce(jobs: Jobs) -> Iterator[dict[str, Any]]:
    """Add up a number over 2 and over 4 ranks by gloo."""
    command = ["python", "-m", "all_reduce"]
    for ranks in (2, 4):
        worker = _replica("pytorch", "bench/torch", command, ranks - 1)
        replicas = {"Master": _replica("pytorch", "bench/torch", command), "Worker": worker}
        spec = {"pytorchReplicaSpecs": replicas, "nprocPerNode": "1"}
        for _ in range(2):
            jobs.run("PyTorchJob", spec)  # makes the environment, and the warm parent
        torchrun = [
            jobs.python("pytorch"), "-m", "torch.distributed.run", f"--nproc-per-node={ranks}",
            str(CODE / "all_reduce.py"),
        ]  # fmt: skip
        taken, alone = _in_turn(partial(jobs.run, "PyTorchJob", spec), torchrun)
        yield figure(f"all_reduce_{ranks}_ranks", "ms", taken, at_most_times=1.1, peer_torchrun=alone)


def _mpi(jobs: Jobs) -> Iterator[dict[str, Any]]:
    """Add up a number over 2 ranks by MPI."""
    program = ["python", "-m", "mpi_sum"]
    worker = _replica("mpi", "bench/mpi", [], 2)
    del worker["template"]["spec"]["containers"][0]["command"]
    launcher = _replica("mpi", "bench/mpi", ["mpirun", "-n", "2", *program])
    spec = {"slotsPerWorker": 1, "mpiReplicaSpecs": {"Launcher": launcher, "Worker": worker}}
    spec["runPolicy"] = {"cleanPodPolicy": "Running"}
    for _ in range(2):
        jobs.run("MPIJob", spec)
    mpirun = [
        "mpirun",
        "--allow-run-as-root",
        "--oversubscribe",
        "-n",
        "2",
        jobs.python("mpi"),
        str(CODE / "mpi_sum.py"),
    ]
    taken, alone = _in_turn(partial(jobs.run, "MPIJob", spec), mpirun)
    yield figure("mpi_2_ranks", "ms", taken, at_most_times=1.1, peer_mpirun=alone)


def _in_turn(run: Callable[[], float], peer: Sequence[str]) -> tuple[list[float], float]:
    """Run both in turn, so that they share what else the machine does; give ours, and the peer's median."""
    taken, alone = [], []
    for _ in range(RUNS):
        taken.append(run())
        began = time.perf_counter()
        subprocess.run(peer, check=True, capture_output=True)
        alone.append(1000 * (time.perf_counter() - began))
    return taken, sorted(alone)[RUNS // 2]


def _restarts(jobs: Jobs) -> Iterator[dict[str, Any]]:
    """Kill a worker, and time until its Pod says so, and until its successor's program runs: the first is at once.

    The program itself tells when it runs.
    """
    noticed, again = [], []
    for number in range(RESTARTS):
        name = f"restart-{number}"
        program = ["sh", "-c", "date +%s.%N; exec sleep 600"]
        worker = _replica("tensorflow", "bench/empty", program) | {"restartPolicy": "ExitCode"}
        body = {"metadata": {"name": name}, "spec": {"tfReplicaSpecs": {"Worker": worker}}}
        path = f"{GROUP}/tfjobs"
        jobs.http.post(path, json={"apiVersion": "kubeflow.org/v1", "kind": "TFJob", **body}).raise_for_status()
        pod = wait_for("it to run", partial(_running, jobs, f"{name}-worker-0"))
        query = {"watch": "1", "resourceVersion": pod["metadata"]["resourceVersion"]}
        with jobs.http.stream("GET", PODS, params=query) as changes:
            pids = jobs.service.processes()
            killed = time.time()
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            noticed.append(1000 * (_until_it_runs(changes.iter_lines(), pod) - killed))
        log = wait_for("its word", partial(_log, jobs, f"{name}-worker-0"))
        again.append(1000 * (float(log) - killed))
        jobs.http.delete(f"{path}/{name}", params={"propagationPolicy": "Background"})
        wait_for("its Pods to go", lambda: not jobs.http.get(PODS).json()["items"])
    yield figure("killed_worker_noticed", "ms", noticed, at_most=100)
    yield figure("killed_worker_runs_again", "ms", again, at_most=200)


def _running(jobs: Jobs, name: str) -> dict[str, Any]:
    answer = jobs.http.get(f"{PODS}/{name}")
    pod: dict[str, Any] = answer.json()
    return pod if answer.is_success and (pod.get("status") or {}).get("phase") == "Running" else {}


def _log(jobs: Jobs, name: str) -> str:
    return jobs.http.get(f"{PODS}/{name}/log").text


def _until_it_runs(lines: Iterator[str], pod: dict[str, Any]) -> float:
    """Wait until another Pod of the name runs, and give the time when this one was said to have failed."""
    noticed = 0.0
    for line in lines:
        seen = json.loads(line)["object"]
        phase = (seen.get("status") or {}).get("phase")
        if seen["metadata"]["uid"] == pod["metadata"]["uid"]:
            noticed = noticed or (time.time() if phase == "Failed" else 0.0)
        elif phase == "Running":
            return noticed
    raise AssertionError("the watch ended")


def _many(jobs: Jobs) -> Iterator[dict[str, Any]]:
    """Make many jobs of one no-op worker at once, and wait until all have succeeded."""
    replica = _replica("pytorch", "bench/empty", ["/bin/true"], cpu="")
    spec = {"pytorchReplicaSpecs": {"Master": replica}}
    jobs.run("PyTorchJob", spec)  # makes the environment
    path = f"{GROUP}/pytorchjobs"
    revision = jobs.http.get(path).json()["metadata"]["resourceVersion"]
    taken_s = asyncio.run(_submit(jobs.service, path, spec, revision))
    for job in jobs.http.get(path).json()["items"]:
        held = [(c["type"], c["status"]) for c in job["status"]["conditions"]]
        assert held[0] == ("Created", "True"), held
        assert held[-1] == ("Succeeded", "True"), held
        assert job["status"]["replicaStatuses"]["Master"]["succeeded"] == 1, job["status"]
    yield figure("noop_jobs_succeeded", "per s", [JOBS / taken_s], at_least=25)


async def _submit(service: ServiceProcess, path: str, spec: dict[str, Any], revision: str) -> float:
    headers = {"authorization": f"Bearer {service.token}"}
    async with httpx2.AsyncClient(base_url=service.url, headers=headers, trust_env=False, timeout=600) as http:
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            names = iter([f"noop-{i}" for i in range(JOBS)])
            for _ in range(CLIENTS):
                group.create_task(_create(http, path, spec, names))
            group.create_task(_wait(http, path, revision))
        return time.monotonic() - began


async def _create(http: httpx2.AsyncClient, path: str, spec: dict[str, Any], names: Iterator[str]) -> None:
    for name in names:
        body = {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "metadata": {"name": name}, "spec": spec}
        (await http.post(path, json=body)).raise_for_status()


async def _wait(http: httpx2.AsyncClient, path: str, revision: str) -> None:
    done: set[str] = set()
    async with http.stream("GET", path, params={"watch": "1", "resourceVersion": revision}) as changes:
        async for line in changes.aiter_lines():
            job = json.loads(line)["object"]
            if end := _end(job):
                assert end == "Succeeded", job["status"]
                done.add(job["metadata"]["name"])
            if len(done) == JOBS:
                return
