"""Whether the parts of a pipeline fit together; everything that is wrong is told at once, each with its path.

Of a pipeline without problems hold: every name that is referred to exists, there are no circles, of alternatives
exactly one is given, and constants, types and expressions can be used. Engine and steps rely on it. What stands between
the tasks of one DAG is in ``wiring``.

Source: ``kubeflow/pipelines/api/v2alpha1/pipeline_spec.proto``; reference "KFP", sections 1.6, 2.1 to 2.7.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

import msgspec

from beamhall.kernel.errors import Cause
from beamhall.pipelines.spec.executors import Executor
from beamhall.pipelines.spec.fields import Findings
from beamhall.pipelines.spec.ir import Component, Dag, ParameterSpec, Pipeline
from beamhall.pipelines.spec.mending import mended
from beamhall.pipelines.spec.reading import BadSpecification, parts_of, read_pipeline
from beamhall.pipelines.spec.sources import Json
from beamhall.pipelines.spec.types import TypeMismatch, conform, literal_problem, normal
from beamhall.pipelines.spec.wiring import Surroundings, check_outputs, check_task

MAX_INSTANCES = 100_000
"""How many tasks a run may have when each sub-DAG is counted as often as it is used; iterations of loops are not."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,126}[a-z0-9])?")
_TASK_NAME = re.compile(r"[A-Za-z0-9_][-A-Za-z0-9_.]{0,252}")


def checked_pipeline(documents: Json) -> Pipeline:
    """Read a pipeline (``reading.read_pipeline``) and check it.

    Raises:
        BadSpecification: Something is wrong; every cause names the path of a field.
    """
    pipeline = read_pipeline(documents)
    found = problems(pipeline)
    if not found:
        return pipeline
    if any(one.field.endswith(".componentInputParameter") for one in found):
        spec, platform = parts_of(documents)
        pipeline = read_pipeline({"pipeline_spec": mended(spec), "platform_spec": platform})
        if not problems(pipeline):
            return pipeline
    raise BadSpecification(found)


def problems(pipeline: Pipeline) -> Sequence[Cause]:
    """Say what is wrong with a pipeline as a whole; at most ``fields.MAX_PROBLEMS`` are told."""
    findings = Findings()
    _check_root(pipeline, findings)
    for name, component in pipeline.spec.components.items():
        _check_component(f"components[{name!r}]", component, pipeline, findings)
    for label, executor in pipeline.spec.deployment_spec.executors.items():
        _check_executor(f"deploymentSpec.executors[{label!r}]", executor, findings)
    for where, component, dag in pipeline.dags():
        _check_dag(where, component, dag, pipeline, findings)
    if not findings.problems:
        _check_nesting(pipeline, findings)
    return findings.problems


def _check_root(pipeline: Pipeline, findings: Findings) -> None:
    name = pipeline.name
    if not _NAME.fullmatch(name):
        message = "must be given" if not name else f"is {name!r}"
        findings.wrong("pipelineInfo.name", f"{message}: up to 128 lower-case letters, digits and '-'")
    if pipeline.root.dag is None:
        findings.wrong("root.dag", "must be given: the tasks of the pipeline", "FieldValueRequired")
    elif not pipeline.root.dag.tasks:
        findings.wrong("root.dag.tasks", "must have at least one task", "FieldValueRequired")
    _check_definitions("root", pipeline.root, findings)


def _check_component(where: str, component: Component, pipeline: Pipeline, findings: Findings) -> None:
    label = component.executor_label
    if (component.dag is None) == (not label):
        state = "both are" if label else "neither is"
        findings.wrong(where, f"must have either 'dag' or 'executorLabel'; {state} given")
    elif label and label not in pipeline.spec.deployment_spec.executors:
        findings.wrong(f"{where}.executorLabel", f"there is no executor {label!r}", "FieldValueNotFound")
    _check_definitions(where, component, findings)


def _check_definitions(where: str, component: Component, findings: Findings) -> None:
    inputs = component.input_definitions
    for name, spec in inputs.parameters.items():
        _check_default(f"{where}.inputDefinitions.parameters[{name!r}].defaultValue", name, spec, findings)
    for name in inputs.parameters.keys() & inputs.artifacts.keys():
        findings.wrong(
            f"{where}.inputDefinitions.artifacts[{name!r}]", f"there is an input parameter {name!r} too",
            "FieldValueDuplicate",
        )  # fmt: skip
    outputs = component.output_definitions
    for kind, names in (("parameters", outputs.parameters), ("artifacts", outputs.artifacts)):
        for name in names:
            if "/" in name or "\0" in name or name in (".", "..", ""):
                path = f"{where}.outputDefinitions.{kind}[{name!r}]"
                findings.wrong(path, "is no name of an output: it becomes the name of a file")


def _check_default(where: str, name: str, spec: ParameterSpec, findings: Findings) -> None:
    value = None if spec.default_value is msgspec.UNSET else spec.default_value
    if value is None:
        return
    try:
        message = literal_problem(name, spec, normal(conform(value, spec.parameter_type)))
    except TypeMismatch as error:
        message = str(error)
    if message:
        findings.wrong(where, message)


def _check_executor(where: str, executor: Executor, findings: Findings) -> None:
    container, importer = executor.container, executor.importer
    if (container is None) == (importer is None):
        state = "neither is" if container is None else "both are"
        findings.wrong(where, f"must have either 'container' or 'importer'; {state} given")
    if container is not None and not container.image:
        findings.wrong(f"{where}.container.image", "must be given", "FieldValueRequired")
    for number, variable in enumerate(container.env if container is not None else ()):
        if not variable.name or "=" in variable.name or "\0" in variable.name:
            findings.wrong(f"{where}.container.env[{number}].name", f"{variable.name!r} is no name of a variable")
    if importer is not None and importer.artifact_uri is None:
        findings.wrong(f"{where}.importer.artifactUri", "must be given", "FieldValueRequired")


def _check_dag(where: str, component: Component, dag: Dag, pipeline: Pipeline, findings: Findings) -> None:
    around = Surroundings(f"{where}.dag", component, dag, pipeline, findings)
    for name, task in dag.tasks.items():
        here = f"{where}.dag.tasks[{name!r}]"
        if not _TASK_NAME.fullmatch(name):
            findings.wrong(here, f"{name!r} is no name of a task: letters, digits, '-', '_' and '.'")
        check_task(here, name, task, around)
    check_outputs(around)
    known = {
        name: [one for one in pipeline.upstream_of(task, dag) if one in dag.tasks] for name, task in dag.tasks.items()
    }
    circle = _circle(known)
    if circle:
        told = " -> ".join(circle[:8] + (["..."] if len(circle) > 8 else []))
        findings.wrong(f"{where}.dag.tasks[{circle[0]!r}]", f"these tasks wait for each other: {told}")


def _circle(upstream: Mapping[str, Iterable[str]]) -> list[str]:
    """Give the names on a circle, the first one again at its end; empty if there is none."""
    try:
        TopologicalSorter(upstream).prepare()
    except CycleError as error:
        return [str(name) for name in error.args[1]]
    return []


def _check_nesting(pipeline: Pipeline, findings: Findings) -> None:
    """Find components that contain themselves, and sub-DAGs that make more tasks than anybody can mean."""
    parts = {
        name: [task.component_ref.name for task in component.dag.tasks.values()] if component.dag is not None else []
        for name, component in pipeline.spec.components.items()
    }
    circle = _circle(parts)
    if circle:
        findings.wrong(f"components[{circle[0]!r}].dag", f"contains itself: {' -> '.join(circle[:8])}")
        return
    sizes: dict[str, int] = {}
    for name in TopologicalSorter(parts).static_order():
        sizes[name] = 1 + sum(sizes[part] for part in parts[name])
    assert pipeline.root.dag is not None
    n_instances = sum(sizes[task.component_ref.name] for task in pipeline.root.dag.tasks.values())
    if n_instances > MAX_INSTANCES:
        message = f"nested pipelines make {n_instances:.3g} tasks; a run may have {MAX_INSTANCES} outside of loops"
        findings.wrong("root.dag", message)


def _rough(number: int) -> str:
    return str(number) if number < 10**9 else "more than a thousand million"
