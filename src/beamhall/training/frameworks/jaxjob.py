"""JAXJob: JAX's processes meet at a coordinator, which worker 0 runs.

A program passes the variables to ``jax.distributed.initialize``; JAX does not read these names by itself.

Source: reference "Training jobs", sections 1.1, 1.4 and 1.6; kubeflow/training-operator v1.9,
``pkg/controller.v1/jax``.
"""

from collections.abc import Sequence

from beamhall.kernel.kinds import JAX_JOB
from beamhall.kernel.objects import Object
from beamhall.training.frameworks.ranked import WORKER, Ranked, variable
from beamhall.training.job import TrainingJob


class JAXJob(Ranked):
    """The framework of JAXJob objects."""

    kind = JAX_JOB
    replicas_field = "jaxReplicaSpecs"
    replica_types = (WORKER,)
    container = "jax"
    port_name = "jaxjob-port"
    port = 6666

    def environment(self, job: TrainingJob, type_: str, index: int, container: str) -> Sequence[Object]:
        """Give every container the coordinator's address and its own place."""
        return [
            variable("PYTHONUNBUFFERED", "1"),
            variable("COORDINATOR_PORT", job.port(WORKER)),
            variable("COORDINATOR_ADDRESS", job.child_name(WORKER, 0)),
            variable("NUM_PROCESSES", job.n_replicas),
            variable("PROCESS_ID", index),
        ]
