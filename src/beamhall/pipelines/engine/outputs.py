"""What a DAG gives: outputs of its tasks, under names of its own. Knows nothing of when. Read on in ``loop``."""

from collections.abc import Mapping

from beamhall.pipelines.engine.shape import Shape
from beamhall.pipelines.engine.values import NO_OUTPUTS, Outputs


def dag_outputs(shape: Shape, outputs: Mapping[int, Outputs]) -> Outputs:
    """Give the outputs of a DAG whose tasks gave these, by index.

    Where several tasks are named (OneOf), the first that gave the output counts. An output that nothing gave is
    absent: its producer was skipped.
    """
    dag = shape.dag.outputs
    if not dag.parameters and not dag.artifacts:
        return NO_OUTPUTS
    parameters, artifacts = {}, {}
    for name, output in dag.parameters.items():
        for selector in output.selectors:
            given = outputs.get(shape.index[selector.producer_subtask])
            if given is not None and selector.output_parameter_key in given.parameters:
                parameters[name] = given.parameters[selector.output_parameter_key]
                break
    for name, made in dag.artifacts.items():
        for chosen in made.artifact_selectors:
            given = outputs.get(shape.index[chosen.producer_subtask])
            if given is not None and chosen.output_artifact_key in given.artifacts:
                artifacts[name] = given.artifacts[chosen.output_artifact_key]
                break
    return Outputs(parameters, artifacts)
