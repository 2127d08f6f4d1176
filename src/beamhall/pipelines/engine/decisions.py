"""What the machine decides. Whoever drives it writes the rows first, then acts. Knows nothing of how it came to this.

A *path* names an instance of a task: ``""`` is the root, a task of a DAG appends ``/name``, an iteration of a loop
appends ``[index]``: ``/for-loop-1[3]/train``. Parents follow from paths (``rows.parent_of``). Read on in ``events``.
"""

from enum import StrEnum

import msgspec

from beamhall.pipelines.engine.values import Inputs, Outputs
from beamhall.pipelines.spec.executors import Executor
from beamhall.pipelines.spec.ir import Component, RetryPolicy, Task


class State(StrEnum):
    """States of runs and tasks. Source: KFP v2beta1, ``RuntimeState``."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"
    CANCELING = "CANCELING"
    CANCELED = "CANCELED"
    PAUSED = "PAUSED"

    @property
    def is_final(self) -> bool:
        """Whether nothing follows it, except by a retry."""
        return self in _FINAL


_FINAL = frozenset((State.SUCCEEDED, State.SKIPPED, State.FAILED, State.CANCELED))


class Kind(StrEnum):
    """What a row stands for. Source: KEP 12147 of Kubeflow Pipelines, ``PipelineTaskDetail.TaskType``."""

    ROOT = "ROOT"
    RUNTIME = "RUNTIME"
    DAG = "DAG"
    LOOP = "LOOP"
    ITERATION = "LOOP_ITERATION"
    CONDITION = "CONDITION"
    CONDITION_BRANCH = "CONDITION_BRANCH"
    EXIT_HANDLER = "EXIT_HANDLER"


class Start(msgspec.Struct, frozen=True):
    """Begin a task that has an executor. Its end comes back as ``events.Finished``, after all of its attempts.

    Attributes:
        path: Its path.
        task: The task of the DAG; for an iteration, the task that loops.
        component: The component that it is an instance of.
        executor: The container or importer to execute.
        inputs: Resolved: constants, defaults and conversions are done.
        retry: How often to try again: the task's own policy, or that of the nearest sub-DAG around it that has one.
        iteration: Index of the iteration where the task itself loops, else None.
        again: Its row was there when the run was restored: it may be running, or have finished, already.
    """

    path: str
    task: Task
    component: Component
    executor: Executor
    inputs: Inputs
    retry: RetryPolicy | None = None
    iteration: int | None = None
    again: bool = False


class Note(msgspec.Struct, frozen=True):
    """Write the row of something that needs no executor: a DAG, a loop, or a task that was never started.

    Attributes:
        path: Its path.
        kind: What it is. RUNTIME is a task with an executor that ended without being started.
        state: Its state now.
        name: Name of the task, for an iteration that of its loop; empty for the root.
        inputs: What it was given; None where earlier notes said it, or it never had any.
        outputs: What it gave, when it has succeeded.
        error: Why it failed: the path of the task that did, and its error.
        iterations: How many iterations the loop has, once that is known.
        iteration: Index of an iteration.
    """

    path: str
    kind: Kind
    state: State
    name: str = ""
    inputs: Inputs | None = None
    outputs: Outputs | None = None
    error: str = ""
    iterations: int | None = None
    iteration: int | None = None


class Stop(msgspec.Struct, frozen=True):
    """End a started task at once. What it came to still comes back as ``events.Finished``."""

    path: str


class Forget(msgspec.Struct, frozen=True):
    """All at and below this path is final, and the machine will not speak of it again: drop it from memory."""

    path: str


class End(msgspec.Struct, frozen=True):
    """The run has ended: nothing is running, nothing will start."""

    state: State
    error: str = ""


Decision = Start | Note | Stop | Forget | End
