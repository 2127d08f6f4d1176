"""One no-op lightweight component of KFP as a Pod: its first start, prepared, and warm, beside a plain subprocess."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.bench_pods import Pods
from benchmarks.figures import figure
from tests.service import ServiceProcess

RUNS = 30
ROUNDS = 5
KFP = "2.14.3"
PREAMBLE = f"""
if ! [ -x "$(command -v pip)" ]; then
    python3 -m ensurepip || python3 -m ensurepip --user || apt-get install python3-pip
fi

PIP_DISABLE_PIP_VERSION_CHECK=1 python3 -m pip install --quiet --no-warn-script-location 'kfp=={KFP}' '--no-deps' \
'typing-extensions>=3.7.4,<5; python_version<"3.9"' && "$0" "$@"
"""
PROGRAM = """program_path=$(mktemp -d)

printf "%s" "$0" > "$program_path/ephemeral_component.py"
_KFP_RUNTIME=true python3 -m kfp.dsl.executor_main                         --component_module_path\
                         "$program_path/ephemeral_component.py"                         "$@"
"""
SOURCE = "\nimport kfp\nfrom kfp import dsl\nfrom kfp.dsl import *\nfrom typing import *\n\ndef noop():\n    pass\n\n"


def step(directory: str) -> list[str]:
    """Give the command line of a component that does nothing; its output goes to a directory."""
    given = json.dumps({"inputs": {}, "outputs": {"outputFile": f"{directory}/executor_output.json"}})
    arguments = ["--executor_input", given, "--function_to_execute", "noop"]
    return ["sh", "-c", PREAMBLE, "sh", "-ec", PROGRAM, SOURCE, *arguments]


def measure() -> Iterator[dict[str, Any]]:
    """Measure over HTTP, as a client sees it, from create to Succeeded."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as directory:
        for option in ("--no-warm-start", "--warm-start"):
            service = ServiceProcess(Path(directory) / "data", "--stop-pods", option)
            service.start()
            try:
                yield from _measure(service, directory, "warm" if option == "--warm-start" else "prepared")
            finally:
                service.stop()
        yield from _driven(f"{directory}/driven")


def _driven(data: str) -> Iterator[dict[str, Any]]:
    """Give what a step of a chain and of a fan-out takes: on the clock, of the service, and of the steps' processes."""
    command = [sys.executable, "-m", "benchmarks.step_driver", data, str(ROUNDS)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    aims = {"chain_wall": {"at_most": 20}, "fan_out_wall": {"at_most": 10}}
    for name, values in json.loads(done.stdout).items():
        yield figure(f"step_{name}", "ms", values, **aims.get(name, {}))


def _measure(service: ServiceProcess, directory: str, kind: str) -> Iterator[dict[str, Any]]:
    pods, command = Pods(service), step(directory)
    first = pods.run(command, "python:3.11")[1]
    for _ in range(3):
        pods.run(command, "python:3.11")
    before = _cpu_s(service)
    ended = [pods.run(command, "python:3.11")[1] for _ in range(RUNS)]
    used = 1000 * (_cpu_s(service) - before) / RUNS
    alone = _subprocess_ms(service, command)
    yield figure(f"step_first_{kind}", "ms", [first])
    yield figure(f"step_{kind}_create_to_succeeded", "ms", ended, peer_subprocess=alone)
    yield figure(f"step_{kind}_cpu_of_service", "ms", [used])


def _subprocess_ms(service: ServiceProcess, command: list[str]) -> float:
    """Give the median of running the component's program without Pods, in the same environment."""
    python = next(service.data.glob("environments/step-*/bin/python"))
    source = service.data / "component.py"
    source.write_text(SOURCE)
    line = [str(python), "-m", "kfp.dsl.executor_main", "--component_module_path", str(source), *command[7:]]
    taken = []
    for _ in range(RUNS):
        began = time.perf_counter()
        subprocess.run(line, check=True, env={**os.environ, "_KFP_RUNTIME": "true"}, capture_output=True)
        taken.append(1000 * (time.perf_counter() - began))
    return sorted(taken)[RUNS // 2]


def _cpu_s(service: ServiceProcess) -> float:
    """Give the processor time of the service's own process."""
    assert service.process is not None
    fields = Path(f"/proc/{service.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
