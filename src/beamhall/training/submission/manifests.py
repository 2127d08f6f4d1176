"""The job that runs a script: the right kind, its replicas, and how the script is started in each.

One process in each Pod is the script itself, told its place by the kind's variables; several, one for each GPU, are
started by ``torchrun``, those of MPI by ``mpirun``, and those of Paddle by its own launcher. A replica that is killed
(its memory, its node) starts again; one that ends with an error of its own ends the job, unless restarts are asked for.

Source: reference "Training jobs", sections 1.1 and 1.6.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from beamhall.kernel.kinds import JAX_JOB, MPI_JOB, PADDLE_JOB, PYTORCH_JOB, TF_JOB, XGBOOST_JOB, Kind
from beamhall.kernel.objects import Object
from beamhall.training.submission.guessing import PLAIN
from beamhall.training.submission.packaging import mount_files

CHECKPOINTS = "/checkpoints"
GPU = "nvidia.com/gpu"

_CHECKPOINTS_SIZE = "10Gi"
_KILLED_RESTARTS = 3
_MASTER, _WORKER, _LAUNCHER = "Master", "Worker", "Launcher"


@dataclass(frozen=True, slots=True)
class _Way:
    """How scripts of a framework are run: as which kind, in which container, led by what, in which image."""

    kind: Kind
    replicas_field: str
    container: str
    image: str
    leader: str = ""
    spec: Mapping[str, object] = field(default_factory=dict)


_WAYS = {
    PLAIN: _Way(PYTORCH_JOB, "pytorchReplicaSpecs", "pytorch", "python", _MASTER),
    "pytorch": _Way(PYTORCH_JOB, "pytorchReplicaSpecs", "pytorch", "pytorch/pytorch", _MASTER),
    "tensorflow": _Way(
        TF_JOB, "tfReplicaSpecs", "tensorflow", "tensorflow/tensorflow", spec={"successPolicy": "AllWorkers"}
    ),
    "jax": _Way(JAX_JOB, "jaxReplicaSpecs", "jax", "kubeflow/jax"),
    "xgboost": _Way(XGBOOST_JOB, "xgbReplicaSpecs", "xgboost", "kubeflow/xgboost", _MASTER),
    "paddle": _Way(PADDLE_JOB, "paddleReplicaSpecs", "paddle", "paddlepaddle/paddle"),
    "mpi": _Way(MPI_JOB, "mpiReplicaSpecs", "mpi", "mpioperator/openmpi", _LAUNCHER, {"slotsPerWorker": 1}),
}
FRAMEWORKS: Sequence[str] = tuple(_WAYS)


@dataclass(frozen=True, slots=True)
class Request:
    """What shall be run, and how.

    Attributes:
        name: The job's name.
        framework: One of ``FRAMEWORKS``.
        script: Its path among ``files``.
        files: The paths of all files of the job, relative to the working directory.
        arguments: The script's.
        n_workers: How many Pods, that of the master included; with MPI beside that of the launcher.
        n_gpus: How many GPUs each has.
        cpu: How much CPU each has, as Kubernetes writes it; empty: what is free.
        memory: Likewise.
        image: Empty: the framework's.
        environment: More variables.
        n_restarts: How often replicas that fail may start again, all together; 0: only those that are killed do.
        has_checkpoints: Whether there is a directory that outlives the Pods.
    """

    name: str
    framework: str
    script: str
    files: Sequence[str]
    arguments: Sequence[str] = ()
    n_workers: int = 1
    n_gpus: int = 0
    cpu: str = ""
    memory: str = ""
    image: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    n_restarts: int = 0
    has_checkpoints: bool = True

    @property
    def kind(self) -> Kind:
        """The kind of the job."""
        return _WAYS[self.framework].kind

    @property
    def image_used(self) -> str:
        """The image of its Pods."""
        return self.image or _WAYS[self.framework].image

    @property
    def code_name(self) -> str:
        """The name of the ConfigMap with its files."""
        return f"{self.name}-code"

    @property
    def claim_name(self) -> str:
        """The name of the claim with its checkpoints."""
        return f"{self.name}-checkpoints"


def checkpoints_claim(request: Request) -> Object:
    """Make the claim of a job's checkpoints: by the job's name, so that the next job of this name goes on from them."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": request.claim_name},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": _CHECKPOINTS_SIZE}}},
    }


def job_manifest(request: Request) -> Object:
    """Make the job."""
    way = _WAYS[request.framework]
    # Restarts inside Pods end a job when they reach the limit, not when they pass it.
    policy = {"backoffLimit": request.n_restarts + 1 if request.n_restarts else _KILLED_RESTARTS}
    spec: Object = {way.replicas_field: _replicas(request, way), "runPolicy": policy, **way.spec}
    if way.kind == PYTORCH_JOB:
        spec["nprocPerNode"] = str(max(request.n_gpus, 1))
    return {
        "apiVersion": way.kind.api_version,
        "kind": way.kind.kind,
        "metadata": {"name": request.name},
        "spec": spec,
    }


def _replicas(request: Request, way: _Way) -> Object:
    command = _command(request, way)
    worker = _replica(request, way, command, request.n_workers)
    if way.leader == _LAUNCHER:
        mpirun = ["mpirun", "-n", str(request.n_workers), *command]
        idle = _replica(request, way, [], request.n_workers)
        return {_LAUNCHER: _replica(request, way, mpirun, 1, computes=False), _WORKER: idle}
    if way.leader == _MASTER:
        others = {_WORKER: worker | {"replicas": request.n_workers - 1}} if request.n_workers > 1 else {}
        return {_MASTER: worker | {"replicas": 1}, **others}
    return {_WORKER: worker}


def _command(request: Request, way: _Way) -> list[str]:
    script = [request.script, *request.arguments]
    # Both launchers read everything that they want to know from the kind's variables.
    if way.kind == PADDLE_JOB and max(request.n_workers, request.n_gpus) > 1:
        return ["python", "-m", "paddle.distributed.launch", *script]
    is_spread = way.kind == PYTORCH_JOB and request.n_gpus > 1
    return ["torchrun", *script] if is_spread else ["python", *script]


def _replica(request: Request, way: _Way, command: list[str], count: int, *, computes: bool = True) -> Object:
    container: Object = {"name": way.container, "image": request.image_used}
    if command:
        container["command"] = command
    variables = {**_own_variables(request, way), **request.environment}
    if variables:
        container["env"] = [{"name": name, "value": value} for name, value in variables.items()]
    wanted = {"cpu": request.cpu, "memory": request.memory, GPU: str(request.n_gpus or "")}
    limits = {name: amount for name, amount in wanted.items() if amount}
    if limits and computes:
        container["resources"] = {"limits": limits}
    pod: Object = {"containers": [container]}
    mount_files(pod, request.code_name, request.files)
    if request.has_checkpoints:
        pod["volumes"].append({"name": "checkpoints", "persistentVolumeClaim": {"claimName": request.claim_name}})
        container["volumeMounts"] = [
            *container["volumeMounts"], {"name": "checkpoints", "mountPath": CHECKPOINTS},
        ]  # fmt: skip
    policy = "OnFailure" if request.n_restarts else "ExitCode"
    return {"replicas": count, "restartPolicy": policy, "template": {"spec": pod}}


def _own_variables(request: Request, way: _Way) -> dict[str, str]:
    """Give what programs look for that the kind does not tell them."""
    variables = {"CHECKPOINT_DIR": CHECKPOINTS} if request.has_checkpoints else {}
    if way.kind == PYTORCH_JOB and request.n_gpus <= 1:
        # Scripts that are written for torchrun ask for these too.
        variables |= {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    if way.kind != MPI_JOB:
        variables["PYTHONUNBUFFERED"] = "1"
    return variables
