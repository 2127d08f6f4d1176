"""PyTorchJob: PyTorch's processes find each other by MASTER_ADDR, or through torchrun by its PET_ variables.

Source: reference "Training jobs", sections 1.1, 1.4, 1.6 and 1.7; kubeflow/training-operator v1.9,
``pkg/controller.v1/pytorch``; torchrun reads ``PET_<OPTION>`` for each of its options.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from beamhall.kernel.errors import Cause
from beamhall.kernel.kinds import PYTORCH_JOB
from beamhall.kernel.objects import Object
from beamhall.training.frameworks.ranked import MASTER, WORKER, Ranked, elastic_range, rank, variable
from beamhall.training.job import Observed, TrainingJob


class PyTorchJob(Ranked):
    """The framework of PyTorchJob objects."""

    kind = PYTORCH_JOB
    replicas_field = "pytorchReplicaSpecs"
    container = "pytorch"
    port_name = "pytorchjob-port"
    port = 23456
    default_restart_policy = "OnFailure"

    def environment(self, job: TrainingJob, type_: str, index: int, container: str) -> Sequence[Object]:
        """Give every container the variables of ``torch.distributed`` and of torchrun."""
        return [
            variable("PYTHONUNBUFFERED", "1"),
            *_of_master(job, rank(job, type_, index)),
            variable("PET_NPROC_PER_NODE", n_processes(job)),
            *(_elastic(job) if is_elastic(job) else [variable("PET_NNODES", job.n_replicas)]),
        ]

    def is_succeeded(self, job: TrainingJob, observed: Observed) -> bool:
        """Follow the master, else all workers; of elastic workers one is enough."""
        if MASTER not in job.replicas and is_elastic(job):
            return observed.counts[WORKER].succeeded > 0
        return super().is_succeeded(job, observed)

    def validate(self, job: TrainingJob) -> Sequence[Cause]:
        """Apply upstream's rules for the master's number and for an elastic policy."""
        causes = [cause for cause in (self.must_be_one(job, MASTER),) if cause]
        if WORKER in job.replicas and job.replicas[WORKER].count < 1:
            causes.append(
                Cause("FieldValueForbidden", "must be at least 1", f"spec.{self.replicas_field}[{WORKER}].replicas")
            )
        if not is_elastic(job):
            return causes
        if WORKER not in job.replicas:
            message = "must be configured if elastic policy is used"
            causes.append(Cause("FieldValueRequired", message, f"spec.{self.replicas_field}[{WORKER}]"))
        if job.spec["elasticPolicy"].get("nProcPerNode") is not None and job.spec.get("nprocPerNode") is not None:
            message = "must not be used with spec.nprocPerNode"
            causes.append(Cause("FieldValueForbidden", message, "spec.elasticPolicy.nProcPerNode"))
        return causes


def is_elastic(job: TrainingJob) -> bool:
    """Tell whether workers may come and go while the job runs."""
    return job.spec.get("elasticPolicy") is not None


def n_processes(job: TrainingJob) -> str:
    """Give how many processes torchrun starts in each Pod: a number, ``auto``, ``cpu`` or ``gpu``."""
    old = (job.spec.get("elasticPolicy") or {}).get("nProcPerNode")
    return str(job.spec.get("nprocPerNode") or (old if old is not None else "auto"))


def _of_master(job: TrainingJob, own_rank: int) -> Iterator[Object]:
    if MASTER not in job.replicas:
        return
    per_node = n_processes(job)
    world_size = job.n_replicas * (int(per_node) if per_node.isdecimal() else 1)
    for prefix in ("", "PET_"):
        yield variable(f"{prefix}MASTER_PORT", job.port(MASTER))
        yield variable(f"{prefix}MASTER_ADDR", job.child_name(MASTER, 0))
    yield variable("WORLD_SIZE", world_size)
    yield variable("RANK", own_rank)
    yield variable("PET_NODE_RANK", own_rank)


def _elastic(job: TrainingJob) -> Iterator[Object]:
    policy: Mapping[str, Any] = job.spec["elasticPolicy"]
    host = policy.get("rdzvHost") or job.child_name(WORKER, 0)
    port = policy.get("rdzvPort")
    yield variable("PET_RDZV_ENDPOINT", f"{host}:{job.port(WORKER) if port is None else port}")
    yield variable("PET_RDZV_BACKEND", policy.get("rdzvBackend") or "c10d")
    yield variable("PET_NNODES", elastic_range(job))
    for name, field in (("PET_MAX_RESTARTS", "maxRestarts"), ("PET_RDZV_ID", "rdzvId")):
        if policy.get(field) is not None:
            yield variable(name, policy[field])
    if configuration := policy.get("rdzvConf"):
        pairs = (f"{pair.get('key', '')}={pair.get('value', '')}" for pair in configuration)
        yield variable("PET_RDZV_CONF", ",".join(pairs))
    # With a shared store, torchrun (2.13 at least) tells its address in the first round only: who comes later waits for
    # it in vain, so that no job could grow.
    yield variable("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    if policy.get("standalone"):
        yield variable("PET_STANDALONE", "")
