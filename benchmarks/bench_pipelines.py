"""Whole runs, as a client of the KFP API sees them, beside ``kfp.local`` with its SubprocessRunner on this machine.

Every step is a Python component that gives back its input, in a process of its own. Nothing is taken from the cache.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import yaml
from kfp import compiler, dsl

from benchmarks.figures import figure
from tests.service import ServiceProcess

CHAIN, FANOUT = 50, 200
LAYERS, WIDTH = 10, 100
ITERATIONS = 10_000
RUNS = 5
PEER_STEPS = 10
API = "/apis/v2beta1"

Spec = Mapping[str, Any]


@dsl.component(base_image="python:3.11")
def passed_on(number: int) -> int:
    """Give back what it was given."""
    return number


@dsl.component(base_image="python:3.11")
def clock(file: str) -> None:
    """Write down when it runs."""
    import time  # noqa: PLC0415  a component imports what it uses

    with open(file, "w") as out:  # noqa: PTH123
        out.write(str(time.time()))


def measure() -> Iterator[dict[str, Any]]:
    """Measure one shape after another on one service."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as directory:
        service = ServiceProcess(Path(directory) / "data", "--stop-pods", "--log-level", "warning")
        service.start()
        try:
            runs = Runs(service)
            runs.took_s(chain(2))  # makes the environment, starts the parent that steps are forked from
            yield from _against_kfp_local(runs)
            yield from _submit(runs, Path(directory))
            yield from _many(runs, service)
        finally:
            service.stop()


def _against_kfp_local(runs: "Runs") -> Iterator[dict[str, Any]]:
    for name, spec, steps, aim_ms in (("chain", chain(CHAIN), CHAIN, 20), ("fanout", fanout(FANOUT), FANOUT, 10)):
        per_step = [1000 * runs.took_s(spec) / steps for _ in range(RUNS)]
        shipped = _kfp_local_ms(name, PEER_STEPS, "pip")
        without_pip = _kfp_local_ms(name, steps, "no-pip")
        peers = {"peer_kfp_local": shipped, "peer_kfp_local_without_pip": without_pip}
        yield figure(f"pipeline_{name}_of_{steps}_per_step", "ms", per_step, at_most=aim_ms, **peers)


def _kfp_local_ms(shape: str, steps: int, pip: str) -> float:
    """Give what a step takes in ``kfp.local``, in milliseconds."""
    command = [sys.executable, "-m", "benchmarks.peers.kfp_local", shape, str(steps), pip]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return 1000 * float(done.stdout.split()[-1]) / steps


def _submit(runs: "Runs", directory: Path) -> Iterator[dict[str, Any]]:
    """From the request to the user's code: the clock is read by the step itself."""
    delays = []
    for number in range(RUNS + 1):
        file = directory / f"clock-{number}"
        began = time.time()
        runs.took_s(compiled(clock), file=str(file))
        delays.append(1000 * (float(file.read_text()) - began))
    yield figure("pipeline_submit_to_first_step", "ms", delays[1:], at_most=100)


def _many(runs: "Runs", service: ServiceProcess) -> Iterator[dict[str, Any]]:
    took_s = runs.took_s(layers(LAYERS, WIDTH))
    yield figure(f"pipeline_{LAYERS}_layers_of_{WIDTH}", "s", [took_s], at_most=20)
    yield figure("pipeline_layers_peak_memory_of_service", "MiB", [_peak_mib(service)], at_most=350)
    took_s = runs.took_s(fanout(ITERATIONS), timeout_s=1200)
    yield figure(f"pipeline_loop_of_{ITERATIONS}_per_iteration", "ms", [1000 * took_s / ITERATIONS])
    yield figure("pipeline_loop_peak_memory_of_service", "MiB", [_peak_mib(service)], at_most=350)


def _peak_mib(service: ServiceProcess) -> float:
    """Give the most memory that the service's process ever had."""
    assert service.process is not None
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


class Runs:
    """Runs pipelines of a service, over HTTP."""

    def __init__(self, service: ServiceProcess) -> None:
        headers = {"authorization": f"Bearer {service.token}"}
        self._http = httpx2.Client(base_url=service.url, headers=headers, timeout=60, trust_env=False)

    def took_s(self, spec: Spec, timeout_s: float = 300, **parameters: Any) -> float:
        """Run to the end and give the seconds between the request and the end, as the events of the run tell it."""
        body = {"display_name": "bench", "pipeline_spec": spec, "runtime_config": {"parameters": parameters}}
        began = time.time()
        answer = self._http.post(f"{API}/runs", json=body)
        assert answer.status_code == 200, answer.text
        run_id = answer.json()["run_id"]
        headers = {"accept": "text/event-stream"}
        with self._http.stream("GET", f"{API}/runs/{run_id}:events", headers=headers, timeout=timeout_s) as events:
            for _ in events.iter_bytes():  # there is one every ten seconds, even where nothing goes on any more
                assert time.time() - began < timeout_s, f"run {run_id} did not end within {timeout_s} s"
        ended = time.time()
        run = self._http.get(f"{API}/runs", params={"page_size": 1, "sort_by": "created_at desc"}).json()["runs"][0]
        assert run["run_id"] == run_id
        assert run["state"] == "SUCCEEDED", run
        return ended - began


def compiled(component: Any) -> dict[str, Any]:
    """Compile a component alone."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "p.yaml"
        compiler.Compiler().compile(component, str(file))
        spec: dict[str, Any] = yaml.safe_load(file.read_text())
    task = next(iter(spec["root"]["dag"]["tasks"].values()))
    task["cachingOptions"] = {}
    return spec


def chain(steps: int) -> Spec:
    """Give a pipeline of steps that each take what the one before gave."""
    tasks = {"t0": _task({"number": _constant(0)})}
    for number in range(1, steps):
        before = {"taskOutputParameter": {"producerTask": f"t{number - 1}", "outputParameterKey": "Output"}}
        tasks[f"t{number}"] = _task({"number": before}, f"t{number - 1}")
    return _pipeline("chain", tasks)


def layers(depth: int, width: int) -> Spec:
    """Give a pipeline of layers; each step takes what one of the layer before gave, and waits for two of them."""
    tasks = {}
    for layer in range(depth):
        for number in range(width):
            if not layer:
                tasks[f"t{layer}-{number}"] = _task({"number": _constant(number)})
                continue
            above = [f"t{layer - 1}-{number}", f"t{layer - 1}-{(number + 1) % width}"]
            before = {"taskOutputParameter": {"producerTask": above[0], "outputParameterKey": "Output"}}
            tasks[f"t{layer}-{number}"] = _task({"number": before}, *above)
    return _pipeline("layers", tasks)


def fanout(steps: int) -> Spec:
    """Give a pipeline of one loop."""
    item = "pipelinechannel--loop-item-param-1"
    loop = {
        "componentRef": {"name": "comp-for-loop-2"},
        "parameterIterator": {"itemInput": item, "items": {"raw": str(list(range(steps)))}},
        "taskInfo": {"name": "for-loop-2"},
    }
    inner = {
        "dag": {"tasks": {"step": _task({"number": {"componentInputParameter": item}})}},
        "inputDefinitions": {"parameters": {item: {"parameterType": "NUMBER_INTEGER"}}},
    }
    return _pipeline("fanout", {"for-loop-2": loop}, {"comp-for-loop-2": inner})


def _constant(value: int) -> dict[str, Any]:
    return {"runtimeValue": {"constant": value}}


def _task(parameters: Mapping[str, Any], *after: str) -> dict[str, Any]:
    waits = {"dependentTasks": list(after)} if after else {}
    return {
        "componentRef": {"name": "comp-passed-on"}, "inputs": {"parameters": parameters},
        "taskInfo": {"name": "passed-on"}, "cachingOptions": {}, **waits,
    }  # fmt: skip


def _pipeline(name: str, tasks: Mapping[str, Any], components: Mapping[str, Any] | None = None) -> Spec:
    spec = compiled(passed_on)
    spec["pipelineInfo"] = {"name": name}
    spec["components"] = {"comp-passed-on": spec["components"]["comp-passed-on"], **(components or {})}
    spec["root"] = {"dag": {"tasks": dict(tasks)}}
    return spec
