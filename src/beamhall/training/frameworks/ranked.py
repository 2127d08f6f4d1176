"""Jobs whose replicas are ranked: a master, where there is one, is rank 0, and the workers follow.

PyTorchJob, JAXJob, XGBoostJob and PaddleJob share these rules and upstream's wording of them; each adds its variables.

Source: reference "Training jobs", sections 1.3 to 1.6; kubeflow/training-operator v1.9, the ``UpdateJobStatus`` of each
kind's controller.
"""

from collections.abc import Mapping, Sequence

from beamhall.kernel.errors import Cause
from beamhall.kernel.objects import Object
from beamhall.training.job import Framework, Observed, Replica, TrainingJob

MASTER = "Master"
WORKER = "Worker"


class Ranked(Framework):
    """What the kinds with ranks have in common."""

    replica_types: Sequence[str] = (MASTER, WORKER)

    def is_master(self, job: TrainingJob, type_: str, index: int) -> bool:
        """The master, else worker 0."""
        return type_ == MASTER if MASTER in job.replicas else index == 0

    def is_succeeded(self, job: TrainingJob, observed: Observed) -> bool:
        """Follow the master if there is one, else all workers."""
        return observed.is_complete(deciding(job))

    def is_running(self, job: TrainingJob, observed: Observed) -> bool:
        """Follow the master if there is one, else any worker."""
        return observed.counts[deciding(job).type].active > 0

    def failure(self, job: TrainingJob, observed: Observed) -> str:
        """Fail with the first replica that failed for good."""
        for type_, counts in observed.counts.items():
            if counts.failed:
                return f"{self.kind.kind} {job.name} is failed because {counts.failed} {type_} replica(s) failed."
        return ""

    def say_running(self, job: TrainingJob) -> str:
        """Word the condition Running: with a master upstream leaves the namespace out."""
        if MASTER in job.replicas:
            return f"{self.kind.kind} {job.name} is running."
        return super().say_running(job)

    def say_succeeded(self, job: TrainingJob) -> str:
        """Word the condition Succeeded: as for Running."""
        if MASTER in job.replicas:
            return f"{self.kind.kind} {job.name} is successfully completed."
        return super().say_succeeded(job)

    def say_restarting(self, job: TrainingJob, type_: str, n: int) -> str:
        """Word the condition Restarting, without the namespace."""
        return f"{self.kind.kind} {job.name} is restarting because {n} {type_} replica(s) failed."

    def must_be_one(self, job: TrainingJob, type_: str) -> Cause | None:
        """Refuse a type that may have one replica only."""
        replica = job.replicas.get(type_)
        if replica is None or replica.count == 1:
            return None
        return Cause("FieldValueForbidden", "must be 1", f"spec.{self.replicas_field}[{type_}].replicas")


def deciding(job: TrainingJob) -> Replica:
    """Give the replica type that decides how the job goes: the master, else the workers."""
    return job.replicas.get(MASTER) or job.replicas[WORKER]


def rank(job: TrainingJob, type_: str, index: int) -> int:
    """Give a replica's rank: the masters come first."""
    if type_ == MASTER or MASTER not in job.replicas:
        return index
    return job.replicas[MASTER].count + index


def elastic_range(job: TrainingJob) -> str:
    """Give ``min:max`` of an elastic policy; what it leaves out is the number of workers."""
    policy: Mapping[str, int | None] = job.spec.get("elasticPolicy") or {}
    n_workers = job.replicas[WORKER].count if WORKER in job.replicas else 0
    least, most = (policy.get(field) for field in ("minReplicas", "maxReplicas"))
    return f"{n_workers if least is None else least}:{n_workers if most is None else most}"


def variable(name: str, value: object) -> Object:
    """Make an environment variable."""
    return {"name": name, "value": str(value)}
