"""What is worked out once of each DAG, and shared by all its instances: who waits for whom, who reads what.

Knows nothing of any run. Read on in ``scope``.
"""

from collections.abc import Mapping, Sequence

from beamhall.pipelines.engine.decisions import Kind
from beamhall.pipelines.spec.executors import Executor
from beamhall.pipelines.spec.ir import Component, Dag, Pipeline, Task
from beamhall.pipelines.spec.placeholders import has_placeholders
from beamhall.pipelines.spec.sources import TaskParameter

EXIT_HANDLER_PREFIX = "exit-handler-"
CONDITION_BRANCHES_PREFIX = "condition-branches-"


class TaskShape:
    """One task of a DAG.

    Attributes:
        name: Its name in the DAG.
        task: As it is specified.
        component: What it is an instance of.
        executor: What to execute; None for a DAG.
        kind: What its row stands for.
        upstream: Indices of the tasks that it waits for.
        dependents: Indices of the tasks that wait for it.
        reads: Indices of the tasks whose outputs are among its inputs.
        readers: How many tasks and outputs of the DAG read its outputs.
        platform: Where values of its platform configuration come from, by where they stand; constants are not in it.
        read_parameters: Names of its output parameters that anything reads.
        read_artifacts: Names of its output artifacts that anything reads.
        is_exit: Whether it runs even if the run is canceled.
        templates: Constants among its inputs that hold placeholders.
    """

    __slots__ = (
        "component", "dependents", "executor", "is_exit", "kind", "name", "platform", "read_artifacts",
        "read_parameters", "readers", "reads", "task", "templates", "upstream",
    )  # fmt: skip

    def __init__(self, pipeline: Pipeline, name: str, task: Task) -> None:
        self.name = name
        self.task = task
        self.component: Component = pipeline.component_of(task)
        self.executor: Executor | None = None if self.component.dag else pipeline.executor_of(self.component)
        self.kind = _kind_of(name, task, self.component)
        self.upstream: Sequence[int] = ()
        self.dependents: list[int] = []
        self.reads: Sequence[int] = ()
        self.readers = 0
        self.read_parameters: set[str] = set()
        self.read_artifacts: set[str] = set()
        self.is_exit = _is_exit(task)
        self.platform: Mapping[str, TaskParameter] = {
            where: source
            for where, source in pipeline.platform_sources(self.component).items()
            if source.runtime_value is None or source.runtime_value.runtime_parameter
        }
        self.templates = frozenset(
            key
            for key, source in task.inputs.parameters.items()
            if source.runtime_value is not None and has_placeholders(source.runtime_value.constant)
        )


class Shape:
    """A DAG: its tasks in the order of the specification, and by name."""

    __slots__ = ("component", "dag", "index", "roots", "tasks", "waits")

    def __init__(self, pipeline: Pipeline, component: Component) -> None:
        dag = component.dag
        assert dag is not None
        self.component = component
        self.dag: Dag = dag
        self.tasks: Sequence[TaskShape] = [TaskShape(pipeline, name, task) for name, task in dag.tasks.items()]
        self.index: Mapping[str, int] = {task.name: number for number, task in enumerate(self.tasks)}
        for number, task in enumerate(self.tasks):
            self._join(number, task, pipeline.upstream_of(task.task, dag))
        self._read_by_outputs()
        self.roots: Sequence[int] = [number for number, task in enumerate(self.tasks) if not task.upstream]
        self.waits: Sequence[int] = [len(task.upstream) for task in self.tasks]

    def _join(self, number: int, task: TaskShape, upstream_names: Sequence[str]) -> None:
        task.upstream = tuple(self.index[name] for name in upstream_names)
        for upstream in task.upstream:
            self.tasks[upstream].dependents.append(number)
        reads = set()
        for source in (*task.task.inputs.parameters.values(), *task.platform.values()):
            if (output := source.task_output_parameter) is not None and output.producer_task in self.index:
                reads.add(self.index[output.producer_task])
                self.tasks[self.index[output.producer_task]].read_parameters.add(output.output_parameter_key)
        for artifact in task.task.inputs.artifacts.values():
            if (made := artifact.task_output_artifact) is not None:
                reads.add(self.index[made.producer_task])
                self.tasks[self.index[made.producer_task]].read_artifacts.add(made.output_artifact_key)
        task.reads = tuple(reads)
        for read in task.reads:
            self.tasks[read].readers += 1

    def _read_by_outputs(self) -> None:
        for output in self.dag.outputs.parameters.values():
            for selector in output.selectors:
                producer = self.tasks[self.index[selector.producer_subtask]]
                producer.readers += 1
                producer.read_parameters.add(selector.output_parameter_key)
        for made in self.dag.outputs.artifacts.values():
            for artifact in made.artifact_selectors:
                producer = self.tasks[self.index[artifact.producer_subtask]]
                producer.readers += 1
                producer.read_artifacts.add(artifact.output_artifact_key)


class Shapes:
    """The DAGs of a pipeline, each worked out when it is first met."""

    __slots__ = ("_known", "pipeline")

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self._known: dict[int, Shape] = {}

    def of(self, component: Component) -> Shape:
        """Give the shape of a component that has a DAG. The component must be one of the pipeline's own."""
        shape = self._known.get(id(component))
        if shape is None:
            shape = self._known[id(component)] = Shape(self.pipeline, component)
        return shape


def _kind_of(name: str, task: Task, component: Component) -> Kind:
    """Name the kind of a task. The specification marks exit handlers and branches by their names only."""
    if task.is_loop:
        return Kind.LOOP
    if component.dag is None:
        return Kind.RUNTIME
    if name.startswith(CONDITION_BRANCHES_PREFIX):
        return Kind.CONDITION_BRANCH
    if name.startswith(EXIT_HANDLER_PREFIX):
        return Kind.EXIT_HANDLER
    return Kind.CONDITION if task.trigger_policy.condition else Kind.DAG


def _is_exit(task: Task) -> bool:
    """Tell exit tasks from tasks that ignore failures: both run after failures, but only exit tasks follow handlers."""
    if not task.runs_after_failure:
        return False
    if any(source.task_final_status is not None for source in task.inputs.parameters.values()):
        return True
    return any(name.startswith(EXIT_HANDLER_PREFIX) for name in task.dependent_tasks)
