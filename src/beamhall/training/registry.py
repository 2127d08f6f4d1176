"""The training frameworks that are served: planners, definitions and admission, for ``beamhall.app``."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from beamhall.kernel.errors import Cause
from beamhall.kernel.kinds import Kind
from beamhall.kernel.objects import Object, ReadOnlyObject
from beamhall.kernel.planner import Planner
from beamhall.training import definitions
from beamhall.training.frameworks.jaxjob import JAXJob
from beamhall.training.frameworks.mpijob import MPIJob
from beamhall.training.frameworks.mpijobv2beta1 import MPIJobV2Beta1
from beamhall.training.frameworks.paddlejob import PaddleJob
from beamhall.training.frameworks.pytorchjob import PyTorchJob
from beamhall.training.frameworks.tfjob import TFJob
from beamhall.training.frameworks.xgboostjob import XGBoostJob
from beamhall.training.job import Framework
from beamhall.training.planner import TrainingSettings, training_planner
from beamhall.training.trainjobs.planner import TrainJobSettings, train_job_planner
from beamhall.training.trainjobs.registry import trainer_definitions, trainer_validators
from beamhall.training.trainjobs.runtime import Look
from beamhall.training.validation import validate

Validate = Callable[[ReadOnlyObject, ReadOnlyObject | None], list[Cause]]
"""Says what is wrong with an object, given the one that it replaces."""


def training_frameworks(cluster_domain: str = "", *, is_on_loopback: bool = False) -> Sequence[Framework]:
    """Give every framework. See ``training_planners`` and ``TrainingSettings``."""
    return (
        TFJob(cluster_domain),
        PyTorchJob(),
        MPIJob(is_on_loopback=is_on_loopback),
        MPIJobV2Beta1(is_on_loopback=is_on_loopback),
        JAXJob(),
        XGBoostJob(is_on_loopback=is_on_loopback),
        PaddleJob(),
    )


def training_planners(settings: TrainingSettings, cluster_domain: str = "") -> Sequence[Planner]:
    """Give the planner of every framework.

    Args:
        settings: How jobs are run.
        cluster_domain: Put after ``.svc`` in the host names of TF_CONFIG; empty: nothing.
    """
    frameworks = training_frameworks(cluster_domain, is_on_loopback=settings.is_on_loopback)
    return (
        *(training_planner(framework, settings) for framework in frameworks),
        train_job_planner(TrainJobSettings(settings.gang, settings.takes_reports, settings.is_on_loopback)),
    )


def training_definitions() -> Sequence[Object]:
    """Give the CustomResourceDefinitions of every framework."""
    return (
        definitions.tf_job_definition(),
        definitions.pytorch_job_definition(),
        definitions.mpi_job_definition(),
        definitions.jax_job_definition(),
        definitions.xgboost_job_definition(),
        definitions.paddle_job_definition(),
        *trainer_definitions(),
    )


def training_validators(look: Look) -> Mapping[Kind, Validate]:
    """Give what admission asks for each kind: ``validate(obj, old)``, where ``old`` is None for a new object.

    Args:
        look: Gives stored objects by kind, namespace and name; a TrainJob is held against its runtime.
    """
    validators = {framework.kind: partial(validate, framework) for framework in training_frameworks()}
    return {**validators, **trainer_validators(look)}
