"""A training job as people are told of it, the same for every kind: its state, its replicas, where their logs are.

Pure; knows nothing of who asks. ``progress`` is what its trainer tells of itself.

Source: reference "Training jobs", sections 1.3 and 1.5, and "Trainer v2"; Pods of TrainJobs are named as its SDK names
its steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beamhall.kernel.kinds import (
    JAX_JOB,
    MPI_JOB,
    PADDLE_JOB,
    PYTORCH_JOB,
    TF_JOB,
    TRAIN_JOB,
    XGBOOST_JOB,
    Kind,
)
from beamhall.kernel.objects import Object, ReadOnlyObject, controller_of, labels_of, metadata_of, name_of, uid_of
from beamhall.training.conditions import CREATED, FAILED, RUNNING, SUCCEEDED, SUSPENDED
from beamhall.training.job import INDEX_LABEL, JOB_LABEL, TYPE_LABEL
from beamhall.training.jobsets.jobs import REPLICATED_LABEL, SET_LABEL

JOB_KINDS: Sequence[Kind] = (TF_JOB, PYTORCH_JOB, MPI_JOB, JAX_JOB, XGBOOST_JOB, PADDLE_JOB, TRAIN_JOB)
"""Every kind of training job; of MPIJob the version in which all of them can be read."""

COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"

_COMPLETE = "Complete"
_REPLICAS_FIELDS = {kind: f"{kind.kind.removesuffix('Job').lower()}ReplicaSpecs" for kind in JOB_KINDS} | {
    XGBOOST_JOB: "xgbReplicaSpecs"
}


@dataclass(frozen=True, slots=True)
class State:
    """How a job is, in a word.

    Attributes:
        name: ``Created``, ``Running``, ``Restarting``, ``Suspended``, ``Succeeded`` or ``Failed``.
        reason: Why, in a word.
        message: Why, for people.
    """

    name: str
    reason: str = ""
    message: str = ""

    @property
    def is_end(self) -> bool:
        """Tell whether a job in this state has ended for good."""
        return self.name in (SUCCEEDED, FAILED)


def find_kind(written: str) -> Kind | None:
    """Find the kind of training job that a user means: ``pytorchjob``, ``PyTorchJob``, ``tfjobs.kubeflow.org``."""
    wanted = written.lower()
    return next((kind for kind in JOB_KINDS if wanted in (kind.kind.lower(), kind.plural, kind.resource)), None)


def state_of(kind: Kind, job: ReadOnlyObject) -> State:
    """Tell how a job is. TrainJobs have no condition Running, so what runs is asked of their counts."""
    status: Mapping[str, Any] = job.get("status") or {}
    holding = [condition for condition in status.get("conditions") or () if condition.get("status") == "True"]
    if not holding:
        n_active = sum(entry.get("active", 0) for entry in status.get("jobsStatus") or ())
        return State(RUNNING if n_active else CREATED)
    last = holding[-1]
    name = str(last["type"])
    if kind == TRAIN_JOB and name not in (_COMPLETE, FAILED, SUSPENDED):
        return State(CREATED)
    return State(SUCCEEDED if name == _COMPLETE else name, str(last.get("reason", "")), str(last.get("message", "")))


def n_replicas(kind: Kind, job: ReadOnlyObject) -> int | None:
    """Give how many Pods a job wants; None: only its runtime says."""
    spec: Mapping[str, Any] = job.get("spec") or {}
    if kind == TRAIN_JOB:
        n_nodes = (spec.get("trainer") or {}).get("numNodes")
        return None if n_nodes is None else int(n_nodes)
    replicas: Mapping[str, Any] = spec.get(_REPLICAS_FIELDS[kind]) or {}
    counts = [(name, (written or {}).get("replicas")) for name, written in replicas.items()]
    return sum(int(n) if n is not None else int(not _is_mpi_worker(kind, name)) for name, n in counts)


def _is_mpi_worker(kind: Kind, type_: str) -> bool:
    return kind == MPI_JOB and type_.lower() == "worker"


def labels_of_pods(kind: Kind, name: str) -> str:
    """Give the selector of a job's Pods. Others may carry these labels too: ask ``is_pod_of``."""
    return f"{SET_LABEL}={name}" if kind == TRAIN_JOB else f"{JOB_LABEL}={name}"


def is_pod_of(kind: Kind, job: ReadOnlyObject, pod: ReadOnlyObject) -> bool:
    """Tell whether a Pod with the job's labels is the job's. A TrainJob owns its Pods through two others."""
    return kind == TRAIN_JOB or (controller_of(pod) or {}).get("uid") == uid_of(job)


def replica_name(kind: Kind, pod: ReadOnlyObject) -> str:
    """Name a replica within its job: ``worker-0``, ``launcher``, ``node-1``."""
    labels = labels_of(pod)
    if kind == TRAIN_JOB:
        index = labels.get(COMPLETION_INDEX, "")
        return f"{labels.get(REPLICATED_LABEL, 'node')}-{index}" if index else labels.get(REPLICATED_LABEL, "node")
    name = name_of(pod).removeprefix(f"{labels.get(JOB_LABEL, '')}-")
    return name if name != name_of(pod) else f"{labels.get(TYPE_LABEL, 'replica')}-{labels.get(INDEX_LABEL, '0')}"


def log_container(pod: ReadOnlyObject) -> str:
    """Name the container whose log is the replica's: the first one, which all kinds have as the one that trains."""
    containers: Sequence[Mapping[str, Any]] = (pod.get("spec") or {}).get("containers") or ()
    return str(containers[0].get("name", "")) if containers else ""


def job_overview(kind: Kind, job: ReadOnlyObject) -> Object:
    """Tell of a job, in JSON: what a list of jobs shows, and its progress."""
    status: Mapping[str, Any] = job.get("status") or {}
    state = state_of(kind, job)
    times = {field: status[field] for field in ("startTime", "completionTime") if status.get(field)}
    return {
        "kind": kind.kind,
        "name": name_of(job),
        "namespace": str(metadata_of(job).get("namespace", "")),
        "uid": uid_of(job),
        "state": state.name,
        "reason": state.reason,
        "message": state.message,
        "created": str(metadata_of(job).get("creationTimestamp", "")),
        "replicas": n_replicas(kind, job),
        "conditions": list(status.get("conditions") or ()),
        **times,
        **({"progress": dict(status["trainerStatus"])} if status.get("trainerStatus") else {}),
    }


def pod_overview(kind: Kind, pod: ReadOnlyObject) -> Object:
    """Tell of a Pod of a job, in JSON: which replica it is and how it is, with the exit code once it has one."""
    status: Mapping[str, Any] = pod.get("status") or {}
    name = log_container(pod)
    found = [entry for entry in status.get("containerStatuses") or () if entry.get("name") == name]
    container: Mapping[str, Any] = found[0] if found else {}
    ended: Mapping[str, Any] = (container.get("state") or {}).get("terminated") or {}
    waiting: Mapping[str, Any] = (container.get("state") or {}).get("waiting") or {}
    return {
        "name": name_of(pod),
        "uid": uid_of(pod),
        "replica": replica_name(kind, pod),
        "phase": str(status.get("phase") or "Pending"),
        "reason": str(ended.get("reason") or waiting.get("reason") or status.get("reason") or ""),
        "message": str(ended.get("message") or waiting.get("message") or status.get("message") or ""),
        "restarts": int(container.get("restartCount") or 0),
        **({"exitCode": int(ended["exitCode"]), "finishedAt": ended.get("finishedAt", "")} if ended else {}),
    }
