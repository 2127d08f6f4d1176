"""What is served of Trainer and JobSet: planners, definitions and admission. Used by ``training.registry``."""

from collections.abc import Callable, Mapping, Sequence

from beamhall.kernel.errors import Cause
from beamhall.kernel.kinds import (
    CLUSTER_TRAINING_RUNTIME,
    JOB,
    JOB_SET,
    PERSISTENT_VOLUME_CLAIM,
    SERVICE,
    TRAIN_JOB,
    TRAINING_RUNTIME,
    Kind,
)
from beamhall.kernel.objects import Object, ReadOnlyObject
from beamhall.kernel.planner import Planner
from beamhall.training.jobsets.definition import job_set_definition
from beamhall.training.jobsets.planner import plan_job_set
from beamhall.training.jobsets.validation import validate_job_set
from beamhall.training.trainjobs.definitions import (
    cluster_training_runtime_definition,
    train_job_definition,
    training_runtime_definition,
)
from beamhall.training.trainjobs.runtime import Look
from beamhall.training.trainjobs.validation import validate_runtime, validate_train_job


def job_set_planner() -> Planner:
    """Give the planner of JobSets, which is for a cluster that has no JobSet controller."""
    return Planner("jobset", JOB_SET, plan_job_set, watches=(JOB, SERVICE, PERSISTENT_VOLUME_CLAIM))


def job_set_definitions() -> Sequence[Object]:
    """Give the CustomResourceDefinition of JobSet, which is for a cluster that has no JobSet controller."""
    return (job_set_definition(),)


def trainer_definitions() -> Sequence[Object]:
    """Give the CustomResourceDefinitions of Trainer."""
    return train_job_definition(), training_runtime_definition(), cluster_training_runtime_definition()


def trainer_validators(
    look: Look,
) -> Mapping[Kind, Callable[[ReadOnlyObject, ReadOnlyObject | None], list[Cause]]]:
    """Give what admission asks for each kind: ``validate(obj, old)``, where ``old`` is None for a new object.

    Args:
        look: Gives stored objects; a TrainJob is held against its runtime.
    """
    return {
        JOB_SET: validate_job_set,
        TRAIN_JOB: lambda obj, old: validate_train_job(obj, old, look),
        TRAINING_RUNTIME: validate_runtime,
        CLUSTER_TRAINING_RUNTIME: validate_runtime,
    }
