"""What a retry does again: which rows of an ended run no longer count.

A retry is a restored run without these rows (``machine.RunMachine.restored``). Whoever drives it removes them, or files
them away, in one transaction before it restores. Knows nothing of how a run goes on.

What succeeded is kept, unless something that it came after runs again: an exit task follows its handler anew. What
failed or was canceled runs again, and so does what was skipped, which may be skipped again. Of DAGs and loops only what
is not kept runs again.

Source: reference "KFP", section 1.6; Argo Workflows, ``util.FormulateRetryWorkflow``.
"""

from collections.abc import Iterable, Mapping, Sequence

from beamhall.pipelines.engine.decisions import State
from beamhall.pipelines.engine.events import Row
from beamhall.pipelines.engine.rows import parent_of
from beamhall.pipelines.engine.shape import Shape, Shapes, TaskShape
from beamhall.pipelines.spec.ir import Pipeline


def stale(pipeline: Pipeline, rows: Iterable[Row]) -> Sequence[str]:
    """Give the paths of the rows that a retry of a run removes.

    Args:
        pipeline: What was run.
        rows: All that is stored of the run, which has ended and did not succeed.
    """
    return _Walk(pipeline, rows).stale


class _Walk:
    """One walk through the rows of a run."""

    def __init__(self, pipeline: Pipeline, rows: Iterable[Row]) -> None:
        self.stale: list[str] = []
        self._rows: Mapping[str, Row] = {row.path: row for row in rows}
        self._shapes = Shapes(pipeline)
        self._inside: dict[str, list[str]] = {}
        for path in self._rows:
            parent = parent_of(path)
            if parent is not None:
                self._inside.setdefault(parent, []).append(path)
        if "" in self._rows and self._rows[""].state is not State.SUCCEEDED:
            self.stale.append("")
            self._look_inside("", self._shapes.of(pipeline.root))

    def _look_inside(self, path: str, shape: Shape) -> None:
        """Look through an instance of a DAG that did not succeed, each task after those that it waited for."""
        waits = list(shape.waits)
        ready = list(shape.roots)
        again: set[int] = set()
        while ready:
            slot = ready.pop()
            task = shape.tasks[slot]
            if self._runs_again(f"{path}/{task.name}", task, comes_after=not again.isdisjoint(task.upstream)):
                again.add(slot)
            for dependent in task.dependents:
                waits[dependent] -= 1
                if not waits[dependent]:
                    ready.append(dependent)

    def _runs_again(self, path: str, task: TaskShape, *, comes_after: bool) -> bool:
        """Tell whether a task runs again, in whole or in part, and what of it does.

        A condition that did not hold gives the same again. That its task was not given up for another failure cannot be
        seen of its row, so what follows it runs again if it ignores failures, which costs no more than time.
        """
        row = self._rows.get(path)
        if row is None:
            return True
        if comes_after:
            self._drop(path)
            return True
        if row.state is State.SUCCEEDED:
            return False
        self.stale.append(path)
        self._look_into(path, task)
        return True

    def _look_into(self, path: str, task: TaskShape) -> None:
        if not task.task.is_loop:
            if task.executor is None:
                self._look_inside(path, self._shapes.of(task.component))
            return
        for iteration in self._inside.get(path, ()):
            if self._rows[iteration].state is not State.SUCCEEDED:
                self.stale.append(iteration)
                if task.executor is None:
                    self._look_inside(iteration, self._shapes.of(task.component))

    def _drop(self, path: str) -> None:
        """Drop a row and all below it."""
        waiting = [path]
        while waiting:
            here = waiting.pop()
            self.stale.append(here)
            waiting += self._inside.get(here, ())
