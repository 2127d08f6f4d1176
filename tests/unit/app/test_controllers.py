"""Which controllers run where."""

from beamhall.app.controllers import embedded_controllers, operator_controllers
from beamhall.training.planner import TrainingSettings


def test_jobsets_are_of_the_cluster_and_trainjobs_a_capability() -> None:
    without = {controller.name for controller in embedded_controllers((), "n")}
    assert {"job", "jobset"} <= without
    assert "trainjob" not in without
    assert "trainjob" in {controller.name for controller in embedded_controllers(("training",), "n")}
    outside = {controller.name for controller in operator_controllers(TrainingSettings(), "")}
    assert "trainjob" in outside
    assert not outside & {"job", "jobset"}  # a real cluster has its own
