"""The training frameworks that are served: planners, definitions and admission, for ``beamhall.app``."""

from collections.abc import Callable, Mapping, Sequence

from beamhall.kernel.errors import Cause
from beamhall.kernel.kinds import TF_JOB, Kind
from beamhall.kernel.objects import Object, ReadOnlyObject
from beamhall.kernel.planner import Planner
from beamhall.training.crds import tf_job_definition
from beamhall.training.frameworks.tfjob import TFJob
from beamhall.training.planner import TrainingSettings, training_planner
from beamhall.training.validation import validate

Validate = Callable[[ReadOnlyObject, ReadOnlyObject | None], list[Cause]]
"""Says what is wrong with an object, given the one that it replaces."""


def training_planners(settings: TrainingSettings, cluster_domain: str = "") -> Sequence[Planner]:
    """Give the planner of every framework.

    Args:
        settings: How jobs are run.
        cluster_domain: Put after ``.svc`` in the host names of TF_CONFIG; empty: nothing.
    """
    return (training_planner(TFJob(cluster_domain), settings),)


def training_definitions() -> Sequence[Object]:
    """Give the CustomResourceDefinitions of every framework."""
    return (tf_job_definition(),)


def training_validators() -> Mapping[Kind, Validate]:
    """Give what admission asks for each kind: ``validate(obj, old)``, where ``old`` is None for a new object."""
    return {TF_JOB: validate_tfjob}


def validate_tfjob(obj: ReadOnlyObject, old: ReadOnlyObject | None = None) -> list[Cause]:
    """Say what is wrong with a TFJob: the rules of upstream's admission webhook. ``old`` is None for a new object."""
    return validate(TFJob(), obj, old)
