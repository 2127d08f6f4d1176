"""Replicas of training jobs and the service are killed at random moments: jobs end as upstream's would, all is tidied.

Each round starts one job of every kind, with policies by chance. Their programs run until the round lets them go, so
that every kill meets something that runs, in its first milliseconds or later; some replicas die while the service is
down. What must become of a job follows from who was killed and from its restart policy alone.
"""

import contextlib
import json
import os
import random
import re
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.service import ServiceProcess, wait_for

pytestmark = pytest.mark.timeout(240)

SEEDS = (5, 13, 32)
"""Rounds in which each kind of replica of MPI's and Trainer's jobs is killed, under the policies that matter."""

SERVICE_KILLS = 2  # a round; with a replica of each job, 30 kills in all
_PATIENCE_S = 60.0
_NAMESPACE = "lab"
_SCHEDULING = "/k8s/apis/scheduling.x-k8s.io/v1alpha1"
_PROGRAM = "import os, sys, time\nwhile not os.path.exists(sys.argv[1]):\n    time.sleep(0.02)\n"


@dataclass(frozen=True)
class Kind:
    """A kind of job: its API, how it names its replicas, the restart policies that it may have."""

    name: str
    replicas_field: str
    container: str
    types: Sequence[str]
    api: str = "kubeflow.org/v1"
    policies: Sequence[str] = ("Never", "OnFailure", "ExitCode")

    @property
    def path(self) -> str:
        return f"/k8s/apis/{self.api}/namespaces/{_NAMESPACE}/{self.name.lower()}s"


_KINDS = {
    "tf": Kind("TFJob", "tfReplicaSpecs", "tensorflow", ("Chief", "Worker")),
    "pytorch": Kind("PyTorchJob", "pytorchReplicaSpecs", "pytorch", ("Master", "Worker")),
    "xgboost": Kind("XGBoostJob", "xgbReplicaSpecs", "xgboost", ("Master", "Worker")),
    "paddle": Kind("PaddleJob", "paddleReplicaSpecs", "paddle", ("Master", "Worker")),
    "jax": Kind("JAXJob", "jaxReplicaSpecs", "jax", ("Worker",)),
    "mpi": Kind("MPIJob", "mpiReplicaSpecs", "mpi", ("Launcher", "Worker")),
    "mpi-v2": Kind(
        "MPIJob", "mpiReplicaSpecs", "mpi", ("Launcher", "Worker"), "kubeflow.org/v2beta1", ("Never", "OnFailure")
    ),
    "train": Kind("TrainJob", "", "node", ("Node-0",), "trainer.kubeflow.org/v1alpha1", ("Never", "OnFailure")),
}


@dataclass
class Job:
    """A job of a round, and what was done to it."""

    kind: Kind
    name: str
    policy: str
    clean: str
    killed: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        return self.kind.path

    @property
    def is_train_job(self) -> bool:
        return self.kind.name == "TrainJob"

    @property
    def replicas(self) -> Sequence[str]:
        """The names of its Pods, which for a TrainJob have some letters more."""
        types = self.kind.types
        first = types[0].lower()
        if len(types) == 1:
            return [f"{self.name}-{first}-0", f"{self.name}-{first}-1"]
        return [f"{self.name}-launcher" if first == "launcher" else f"{self.name}-{first}-0", f"{self.name}-worker-0"]

    @property
    def good(self) -> str:
        """The condition that says that all is well."""
        return "Complete" if self.is_train_job else "Succeeded"

    @property
    def expected(self) -> str:
        """How upstream's controller lets it end."""
        is_mpi = self.kind.name == "MPIJob"
        is_tried_again = self.kind.api.endswith("v2beta1")  # a launcher, as a Job's Pod is
        decisive = [name for name in self.killed if not (is_mpi and (is_tried_again or "worker" in name))]
        return "Failed" if decisive and self.policy == "Never" else self.good

    def manifest(self, go: Path) -> dict[str, Any]:
        made = {"apiVersion": self.kind.api, "kind": self.kind.name, "metadata": {"name": self.name}}
        if self.is_train_job:
            runtime = {"kind": "TrainingRuntime", "name": self.name}
            return {**made, "spec": {"runtimeRef": runtime}}
        pod = self._pod(go)
        replica = {
            "replicas": 2 if len(self.kind.types) == 1 else 1, "restartPolicy": self.policy, "template": {"spec": pod},
        }  # fmt: skip
        replicas = {self.kind.replicas_field: dict.fromkeys(self.kind.types, replica)}
        return {**made, "spec": {**replicas, "runPolicy": {"cleanPodPolicy": self.clean}}}

    def _pod(self, go: Path) -> dict[str, Any]:
        main = {"name": self.kind.container, "image": "python", "command": ["python", "-c", _PROGRAM, str(go)]}
        return {"terminationGracePeriodSeconds": 1, "containers": [main]}

    def runtime(self, go: Path) -> dict[str, Any]:
        """Make the runtime of a TrainJob: two nodes, that may fail as the policy says."""
        pod = {**self._pod(go), "restartPolicy": self.policy}
        template = {
            "metadata": {"labels": {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}},
            "spec": {"backoffLimit": 0 if self.policy == "Never" else 6, "template": {"spec": pod}},
        }
        spec = {
            "mlPolicy": {"numNodes": 2},
            "template": {"spec": {"replicatedJobs": [{"name": "node", "template": template}]}},
        }
        return {"apiVersion": self.kind.api, "kind": "TrainingRuntime", "metadata": {"name": self.name}, "spec": spec}


class Lab:
    """A service that is killed and started again, and what tests ask of it."""

    def __init__(self, data: Path) -> None:
        self.service = ServiceProcess(data, "--stop-pods")
        self.service.data.mkdir()
        self.service.start()
        self.n_kills = 0
        self.finished: dict[str, Any] = {}
        self.ask("POST", "/k8s/api/v1/namespaces", {"metadata": {"name": _NAMESPACE}})

    def ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self.service.token}"}
        answer = httpx2.request(
            method, self.service.url + path, json=body, headers=headers, trust_env=False, timeout=30
        )
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def objects(self, plural: str, path: str = "/k8s/api/v1") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", f"{path}/namespaces/{_NAMESPACE}/{plural}")["items"]
        return found

    def conditions(self, job: Job) -> list[dict[str, Any]]:
        status = self.ask("GET", f"{job.path}/{job.name}").get("status") or {}
        return list(status.get("conditions") or ())

    def uid_of(self, pod: str) -> str:
        return next((obj["metadata"]["uid"] for obj in self.objects("pods") if _is(obj, pod)), "")

    def kill_replica(self, job: Job, pod: str, uid: str, after_s: float) -> None:
        """Kill what runs in a Pod, so long after it began to run."""
        marker = f"BEAMHALL_SANDBOX={uid}.".encode()

        def pids() -> list[int]:
            found = []
            for pid in self.service.processes():
                with contextlib.suppress(OSError):
                    if marker in Path(f"/proc/{pid}/environ").read_bytes():
                        found.append(pid)
            return found

        wait_for(f"processes of {pod}", pids, _PATIENCE_S)
        time.sleep(after_s)  # not a wait: the moment is what is varied
        for pid in pids():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        job.killed.append(pod)
        self.n_kills += 1

    def kill_service(self) -> None:
        self.service.kill()
        self.n_kills += 1


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Give a running service with an empty namespace."""
    lab = Lab(tmp_path_factory.mktemp("killed") / "data")
    yield lab
    lab.service.stop()


def _is(obj: dict[str, Any], pod: str) -> bool:
    """Tell whether an object is this Pod, whose name may have some letters more."""
    return bool(re.fullmatch(rf"{pod}(-[a-z0-9]{{5}})?", obj["metadata"]["name"]))


def _ends(lab: Lab, job: Job) -> bool:
    return any(c["type"] in (job.good, "Failed") and c["status"] == "True" for c in lab.conditions(job))


def _check_end(lab: Lab, job: Job) -> None:
    wait_for(f"the end of {job}", lambda: _ends(lab, job), _PATIENCE_S)
    found = lab.ask("GET", f"{job.path}/{job.name}")
    held = {c["type"]: c["status"] for c in found["status"]["conditions"]}
    lab.finished[f"{job.path}/{job.name}"] = found["status"]["conditions"]
    if job.is_train_job:
        assert held == {job.expected: "True"}, f"{job}: {json.dumps(found['status'])}"
        return
    assert next(iter(held)) == "Created", held
    assert list(held)[-1] == job.expected, f"{job}: {json.dumps(found['status'])}"
    held.pop("Restarting", None)  # upstream keeps it where a job ends before all of it was seen to run again
    assert held | {"Running": "False"} == {"Created": "True", "Running": "False", job.expected: "True"}, (job, held)
    assert found["status"]["completionTime"] >= found["status"]["startTime"]


def _check_nothing_is_left(lab: Lab, jobs: Sequence[Job]) -> None:
    """Look at what is left when all have ended: by their policies, and nothing that runs."""
    wait_for("no processes", lambda: not lab.service.processes() or None, _PATIENCE_S)
    pods = {obj["metadata"]["name"]: obj["status"]["phase"] for obj in lab.objects("pods")}
    services = {obj["metadata"]["name"] for obj in lab.objects("services")}
    assert set(pods.values()) <= {"Succeeded", "Failed"}, pods
    for job in jobs:
        if job.is_train_job:
            assert job.expected == "Failed" or sum(name.startswith(job.name) for name in pods) == 2, (job, pods)
        elif job.clean == "All":
            kept = {name for name in job.replicas if name.endswith("-launcher")}
            assert {name for name in job.replicas if name in pods} == kept, (job, pods)
            assert not services & set(job.replicas), (job, services)
        elif job.clean == "None":
            assert set(job.replicas) <= pods.keys(), (job, pods)
    groups = {obj["metadata"]["name"] for obj in lab.objects("podgroups", _SCHEDULING)}
    assert groups <= {job.name for job in jobs if job.is_train_job}, "what they waited for together goes with their end"


@pytest.mark.parametrize("seed", SEEDS)
def test_jobs_end_as_they_must_whoever_is_killed(lab: Lab, tmp_path: Path, seed: int) -> None:
    chance, before = random.Random(seed), lab.n_kills
    go = tmp_path / "go"
    jobs = [
        Job(kind, f"{name}-{seed}", chance.choice(kind.policies), chance.choice(("None", "Running", "All")))
        for name, kind in _KINDS.items()
    ]
    for job in jobs:
        if job.is_train_job:
            lab.ask("POST", job.path.replace("trainjobs", "trainingruntimes"), job.runtime(go))
        lab.ask("POST", job.path, job.manifest(go))
    victims = [(job, chance.choice(job.replicas)) for job in jobs]
    chance.shuffle(victims)
    deaths = set(chance.sample(range(len(victims)), SERVICE_KILLS))
    for number, (job, pod) in enumerate(victims):
        uid = wait_for(f"{pod} to be made", partial(lab.uid_of, pod), _PATIENCE_S)
        after_s = chance.uniform(0, 0.3)
        if number in deaths and chance.random() < 0.5:
            wait_for(f"{pod} to run", partial(_runs, lab, pod), _PATIENCE_S)
            lab.kill_service()
            lab.kill_replica(job, pod, uid, after_s)
            lab.service.start()
        else:
            lab.kill_replica(job, pod, uid, after_s)
            if number in deaths:
                lab.kill_service()
                lab.service.start()
    assert lab.n_kills - before == len(jobs) + SERVICE_KILLS
    wait_for("those that are lost to be seen so", lambda: all(
        _ends(lab, job) for job in jobs if job.expected == "Failed"), _PATIENCE_S)  # fmt: skip
    go.touch()
    for job in jobs:
        _check_end(lab, job)
    _check_nothing_is_left(lab, jobs)
    for job in jobs:
        path = f"{job.path}/{job.name}"
        assert lab.conditions(job) == lab.finished[path], "a finished job never changes"
        lab.ask("DELETE", f"{path}?propagationPolicy=Background")
    wait_for("no Pods", lambda: not lab.objects("pods"), _PATIENCE_S)
    wait_for("no Services", lambda: not lab.objects("services"), _PATIENCE_S)
    wait_for("no PodGroups", lambda: not lab.objects("podgroups", _SCHEDULING), _PATIENCE_S)


def _runs(lab: Lab, pod: str) -> bool:
    return any(_is(obj, pod) and (obj.get("status") or {}).get("phase") == "Running" for obj in lab.objects("pods"))
