"""TFJob: TensorFlow's replicas find each other through TF_CONFIG.

Only what differs from other training jobs is here. Knows nothing of Pods, Services or statuses: see
``training.planner``.

Source: reference "Training jobs", sections 1.1, 1.4, 1.6 and 1.7; kubeflow/training-operator v1.9,
``pkg/controller.v1/tensorflow``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beamhall.kernel.errors import Cause
from beamhall.kernel.kinds import TF_JOB
from beamhall.kernel.objects import Object
from beamhall.training.job import Framework, Observed, Replica, TrainingJob

CHIEF = "Chief"
MASTER = "Master"
WORKER = "Worker"
PS = "PS"
EVALUATOR = "Evaluator"


@dataclass(frozen=True)
class TFJob(Framework):
    """The framework of TFJob objects.

    Attributes:
        cluster_domain: Put after ``.svc`` in host names, such as ``cluster.local``; upstream's CUSTOM_CLUSTER_DOMAIN.
    """

    cluster_domain: str = ""

    kind = TF_JOB
    replicas_field = "tfReplicaSpecs"
    replica_types = (CHIEF, EVALUATOR, MASTER, PS, WORKER)
    container = "tensorflow"
    port_name = "tfjob-port"
    port = 2222

    def environment(self, job: TrainingJob, type_: str, index: int, container: str) -> Sequence[Object]:
        """Give TF_CONFIG to the container ``tensorflow`` of a job with more than one replica."""
        if container != self.container or job.n_replicas == 1:
            return ()
        task = {"type": type_.lower(), "index": index}
        config: dict[str, Any]
        if job.spec.get("enableDynamicWorker"):
            config = {"cluster": self._sparse_cluster(job, type_, index), "task": task}
        else:
            hosts = {t.lower(): self._addresses(job, replica) for t, replica in job.replicas.items()}
            config = {"cluster": dict(sorted(hosts.items())), "task": task, "environment": "cloud"}
        return ({"name": "TF_CONFIG", "value": json.dumps(config, separators=(",", ":"))},)

    def is_master(self, job: TrainingJob, type_: str, index: int) -> bool:
        """The chief or master, else worker 0."""
        if _chief(job) is not None:
            return type_ in (CHIEF, MASTER)
        return type_ == WORKER and index == 0

    def is_succeeded(self, job: TrainingJob, observed: Observed) -> bool:
        """Follow the chief or master if there is one, else the workers by ``successPolicy``.

        A job with neither (upstream never ends it) has succeeded when all of its replicas have.
        """
        if (chief := _chief(job)) is not None:
            return observed.is_complete(chief)
        workers = job.replicas.get(WORKER)
        if workers is None:
            return all(observed.is_complete(replica) for replica in job.replicas.values())
        if observed.is_complete(workers):
            return True
        return job.spec.get("successPolicy") != "AllWorkers" and (WORKER, 0) in observed.succeeded

    def is_running(self, job: TrainingJob, observed: Observed) -> bool:
        """Follow the chief or master if there is one, else the workers, else anything."""
        deciding = _chief(job) or job.replicas.get(WORKER)
        types = [deciding.type] if deciding else list(job.replicas)
        return any(observed.counts[t].active > 0 for t in types)

    def failure(self, job: TrainingJob, observed: Observed) -> str:
        """Fail with the first failed replica; with ``enableDynamicWorker`` only when no worker is left."""
        for type_, counts in observed.counts.items():
            if counts.failed == 0:
                continue
            if type_ == WORKER and job.spec.get("enableDynamicWorker"):
                n_ended = counts.failed + counts.succeeded
                if n_ended < job.replicas[WORKER].count:
                    continue
            return f"TFJob {job.namespace}/{job.name} has failed because {counts.failed} {type_} replica(s) failed."
        return ""

    def validate(self, job: TrainingJob) -> Sequence[Cause]:
        """Refuse more than one chief or master, counting both types together."""
        chiefs = [job.replicas[t] for t in (CHIEF, MASTER) if t in job.replicas]
        if len(chiefs) > 1 or any(replica.count > 1 for replica in chiefs):
            return (
                Cause("FieldValueForbidden", "must not have more than 1 Chief or Master role", "spec.tfReplicaSpecs"),
            )
        return ()

    def _sparse_cluster(self, job: TrainingJob, type_: str, index: int) -> Mapping[str, Any]:
        """Tell a worker of itself and all parameter servers, and a parameter server of itself."""
        servers = self._addresses(job, job.replicas[PS]) if PS in job.replicas else []
        if type_ == PS:
            return {"worker": {}, "ps": [servers[index]]}
        if type_ == WORKER:
            return {"worker": {str(index): self._addresses(job, job.replicas[WORKER])[index]}, "ps": servers}
        return {"worker": {}, "ps": []}

    def _addresses(self, job: TrainingJob, replica: Replica) -> list[str]:
        domain = f".{self.cluster_domain}" if self.cluster_domain else ""
        port = job.port(replica.type)
        return [f"{job.host(replica.type, index)}{domain}:{port}" for index in range(replica.count)]


def _chief(job: TrainingJob) -> Replica | None:
    return job.replicas.get(CHIEF) or job.replicas.get(MASTER)
