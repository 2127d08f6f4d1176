"""Which controllers run: the planners of every capability, as the runtime wants them."""

from collections.abc import Collection, Iterable

from beamhall.embedded.workloads.registry import workload_definitions, workload_planners
from beamhall.kernel.objects import Object
from beamhall.kernel.planner import Planner
from beamhall.runtime.controller import Controller
from beamhall.training.planner import TrainingSettings
from beamhall.training.registry import training_definitions, training_planners
from beamhall.training.trainjobs.registry import job_set_definitions, job_set_planner

_GRACE_AFTER_FINISH_S = 5.0


def embedded_controllers(capabilities: Collection[str], own_node: str) -> list[Controller]:
    """Give the controllers of the embedded cluster: its own workloads, and those of the capabilities named."""
    controllers = _controllers((*workload_planners(own_node), job_set_planner()))
    if "training" not in capabilities:
        return controllers
    # One machine must not run a finished job's parameter servers for ever, and starts jobs whole or not at all.
    training = TrainingSettings(
        gang="scheduler-plugins",
        terminate_after_finish_s=_GRACE_AFTER_FINISH_S,
        is_on_loopback=True,
        takes_reports=True,
    )
    return controllers + _controllers(training_planners(training))


def embedded_definitions() -> list[Object]:
    """Give the definitions of the custom kinds that the embedded cluster's controllers work on."""
    return [*workload_definitions(), *job_set_definitions(), *training_definitions()]


def operator_controllers(settings: TrainingSettings, cluster_domain: str) -> list[Controller]:
    """Give the controllers that run against another cluster: the capabilities only."""
    return _controllers(training_planners(settings, cluster_domain))


def _controllers(planners: Iterable[Planner]) -> list[Controller]:
    return [Controller.of(planner) for planner in planners]
