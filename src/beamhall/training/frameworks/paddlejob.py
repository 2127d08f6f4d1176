"""PaddleJob: Paddle's launcher meets at PADDLE_MASTER, which is worker 0, or the master where there is one.

Source: reference "Training jobs", sections 1.1, 1.4, 1.6 and 1.7; kubeflow/training-operator v1.9,
``pkg/controller.v1/paddlepaddle``.
"""

from collections.abc import Sequence

from beamhall.kernel.kinds import PADDLE_JOB
from beamhall.kernel.objects import Object
from beamhall.training.frameworks.ranked import MASTER, Ranked, deciding, elastic_range, variable
from beamhall.training.job import TrainingJob


class PaddleJob(Ranked):
    """The framework of PaddleJob objects."""

    kind = PADDLE_JOB
    replicas_field = "paddleReplicaSpecs"
    container = "paddle"
    port_name = "master"
    port = 36543
    default_restart_policy = "OnFailure"

    def environment(self, job: TrainingJob, type_: str, index: int, container: str) -> Sequence[Object]:
        """Give every container what ``paddle.distributed.launch`` reads: collective without a master, else PS mode."""
        is_elastic = job.spec.get("elasticPolicy") is not None
        first = deciding(job).type
        port = job.port(first)
        result = [
            variable("PYTHONUNBUFFERED", "1"),
            variable("PADDLE_JOB_ID", job.name),
            variable("PADDLE_NNODES", elastic_range(job) if is_elastic else job.n_replicas),
        ]
        if (type_, index) == (first, 0):
            # It must know its own address, not only its name, to see that it is the one to listen.
            result += [
                {"name": "POD_IP_DUMMY", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                variable("PADDLE_MASTER", f"$(POD_IP_DUMMY):{port}"),
            ]
        else:
            result.append(variable("PADDLE_MASTER", f"{job.child_name(first, 0)}:{port}"))
        if MASTER in job.replicas:
            result.append(variable("PADDLE_SERVER_NUM" if type_ == MASTER else "PADDLE_TRAINER_NUM", "1"))
        return result

    def is_master(self, job: TrainingJob, type_: str, index: int) -> bool:
        """The master only: workers alone have none."""
        return type_ == MASTER
