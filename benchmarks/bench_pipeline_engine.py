"""The machine of a pipeline run: CPU time a task, and memory, for 10,000 tasks side by side, in a chain, in loops."""

import gc
import time
import tracemalloc
from collections import deque
from collections.abc import Iterator
from typing import Any

from beamhall.pipelines.engine.decisions import Start, State
from beamhall.pipelines.engine.events import Finished, Options, Row
from beamhall.pipelines.engine.machine import RunMachine
from beamhall.pipelines.engine.values import Outputs
from beamhall.pipelines.spec.ir import Pipeline
from beamhall.pipelines.spec.reading import read_pipeline
from benchmarks.figures import figure

TASKS = 10_000
STRING, INTEGER = {"parameterType": "STRING"}, {"parameterType": "NUMBER_INTEGER"}
LEAF = {
    "executorLabel": "exec",
    "inputDefinitions": {"parameters": {"x": {**INTEGER, "defaultValue": 1.0}, "name": STRING}},
    "outputDefinitions": {"parameters": {"out": INTEGER}},
}
NAME = {"name": {"runtimeValue": {"constant": "step"}}}


def measure() -> Iterator[dict[str, Any]]:
    """Measure each form once for time, and once more for memory."""
    for name, pipeline in (
        ("flat", _flat()),
        ("chain", _chain()),
        ("loop", _loop(collected=False)),
        ("collected", _loop(collected=True)),
    ):
        cpu_s, starts, _ = _played(pipeline)
        yield figure(f"engine_{name}_ms_a_task", "ms", [cpu_s * 1000 / starts], at_most=0.3)
        tracemalloc.start()
        _, _, peak_bytes = _played(pipeline)
        tracemalloc.stop()
        yield figure(f"engine_{name}_peak", "MiB", [peak_bytes / 2**20], tasks=starts)
    yield figure("engine_restore_ms_a_row", "ms", [_restored(_flat()) * 1000 / TASKS], at_most=0.3)


def _played(pipeline: Pipeline) -> tuple[float, int, int]:
    """Give CPU seconds, how many tasks ran, and the peak of traced memory. At most 1,000 decisions are kept around."""
    gc.collect()
    before = tracemalloc.get_traced_memory()[0] if tracemalloc.is_tracing() else 0
    began = time.process_time()
    machine = RunMachine(pipeline, {}, Options())
    ready = deque(one.path for one in machine.begin() if isinstance(one, Start))
    outputs = Outputs({"out": 1})
    count = 0
    while ready:
        count += 1
        for one in machine.handle(Finished(ready.popleft(), State.SUCCEEDED, outputs)):
            if isinstance(one, Start):
                ready.append(one.path)
    assert machine.has_ended
    peak = tracemalloc.get_traced_memory()[1] - before if tracemalloc.is_tracing() else 0
    return time.process_time() - began, count, peak


def _restored(pipeline: Pipeline) -> float:
    """Give the CPU seconds that a run takes to be restored when all but one of its tasks have ended."""
    rows = [Row("", State.RUNNING), *(Row(f"/t{number}", State.SUCCEEDED) for number in range(TASKS - 1))]
    began = time.process_time()
    machine, decisions = RunMachine.restored(pipeline, {}, Options(), rows)
    assert len(decisions) == 1
    assert not machine.has_ended
    return time.process_time() - began


def _pipeline(tasks: dict[str, Any], **components: Any) -> Pipeline:
    return read_pipeline(
        {
            "pipelineInfo": {"name": "p"},
            "schemaVersion": "2.1.0",
            "deploymentSpec": {"executors": {"exec": {"container": {"image": "i"}}}},
            "components": {"leaf": LEAF, **components},
            "root": {"dag": {"tasks": tasks}},
        }
    )


def _flat() -> Pipeline:
    return _pipeline({f"t{number}": _task() for number in range(TASKS)})


def _chain() -> Pipeline:
    made = {"t0": _task()}
    for number in range(1, TASKS):
        before = {"taskOutputParameter": {"producerTask": f"t{number - 1}", "outputParameterKey": "out"}}
        made[f"t{number}"] = _task(x=before)
    return _pipeline(made)


def _loop(*, collected: bool) -> Pipeline:
    output = {"out": {"valueFromParameter": {"producerSubtask": "t", "outputParameterKey": "out"}}}
    body = {
        "inputDefinitions": {"parameters": {"item": INTEGER}},
        "outputDefinitions": {"parameters": {"out": INTEGER}},
        "dag": {"tasks": {"t": _task(x={"componentInputParameter": "item"})}, "outputs": {"parameters": output}},
    }
    loop = {
        "componentRef": {"name": "body"},
        "parameterIterator": {"items": {"raw": str(list(range(TASKS)))}, "itemInput": "item"},
    }
    gather = {**LEAF, "inputDefinitions": {"parameters": {"all": {"parameterType": "LIST"}}}}
    reader = {
        "componentRef": {"name": "gather"},
        "inputs": {
            "parameters": {"all": {"taskOutputParameter": {"producerTask": "loop", "outputParameterKey": "out"}}}
        },
    }
    return _pipeline({"loop": loop, **({"gather": reader} if collected else {})}, body=body, gather=gather)


def _task(**parameters: Any) -> dict[str, Any]:
    return {"componentRef": {"name": "leaf"}, "inputs": {"parameters": {**NAME, **parameters}}}
