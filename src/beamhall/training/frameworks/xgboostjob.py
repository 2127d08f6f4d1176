"""XGBoostJob: the master runs the tracker that XGBoost's workers meet at; LightGBM reads the list of workers.

Source: reference "Training jobs", sections 1.1, 1.4, 1.6 and 1.7; kubeflow/training-operator v1.9,
``pkg/controller.v1/xgboost``.
"""

from collections.abc import Sequence

from beamhall.kernel.errors import Cause
from beamhall.kernel.kinds import XGBOOST_JOB
from beamhall.kernel.objects import Object
from beamhall.training.frameworks.loopback import choose_ports_on_loopback
from beamhall.training.frameworks.ranked import MASTER, WORKER, Ranked, rank, variable
from beamhall.training.job import TrainingJob


class XGBoostJob(Ranked):
    """The framework of XGBoostJob objects.

    Args:
        is_on_loopback: Whether Pods have addresses on the loopback network, as those of the embedded cluster do.
    """

    kind = XGBOOST_JOB
    replicas_field = "xgbReplicaSpecs"
    container = "xgboost"
    port_name = "xgboostjob-port"
    port = 9999

    def __init__(self, *, is_on_loopback: bool = False) -> None:
        self.is_on_loopback = is_on_loopback

    def environment(self, job: TrainingJob, type_: str, index: int, container: str) -> Sequence[Object]:
        """Give every container the tracker's address and its own rank."""
        result = [
            variable("MASTER_PORT", job.port(MASTER)),
            variable("MASTER_ADDR", job.child_name(MASTER, 0)),
            variable("WORLD_SIZE", job.n_replicas),
            variable("RANK", rank(job, type_, index)),
            variable("PYTHONUNBUFFERED", "1"),
        ]
        if WORKER in job.replicas and job.n_replicas > 1:
            names = (job.child_name(WORKER, i) for i in range(job.replicas[WORKER].count))
            result += [variable("WORKER_PORT", job.port(WORKER)), variable("WORKER_ADDRS", ",".join(names))]
        return result

    def finish_pod(self, job: TrainingJob, type_: str, index: int, pod: Object) -> None:
        """Let XGBoost listen where it tells its peers that it does."""
        if self.is_on_loopback:
            choose_ports_on_loopback(pod)

    def validate(self, job: TrainingJob) -> Sequence[Cause]:
        """Ask for exactly one master."""
        if MASTER not in job.replicas:
            return (Cause("FieldValueRequired", "must be present", f"spec.{self.replicas_field}[{MASTER}]"),)
        return [cause for cause in (self.must_be_one(job, MASTER),) if cause]
