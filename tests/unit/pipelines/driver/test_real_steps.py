"""Runs on a whole service, as a user starts it: real Pods, real Python steps, a real crash."""

import json
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.service import ServiceProcess, wait_for
from tests.unit.pipelines.dags import task
from tests.unit.pipelines.driver.specs import document

PROGRAM = """
import json, sys, time
told = json.loads(sys.argv[1])
x = int(told["inputs"]["parameterValues"].get("x", 20))
print("got", x, flush=True)
if x > 40:
    sys.exit("too much")
time.sleep(x / 40)
with open(told["outputs"]["outputFile"], "w") as file:
    json.dump({"parameterValues": {"out": x + 1, "xs": []}}, file)
with open(told["outputs"]["artifacts"]["art"]["artifacts"][0]["uri"], "a") as file:
    file.write("made")
"""
STEP = {"image": "python:3.11", "command": ["python3", "-c", PROGRAM], "args": ["{{$}}"]}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    """A service."""
    made = ServiceProcess(tmp_path / "data")
    made.start()
    yield made
    made.stop()


def asked(service: ServiceProcess, path: str, body: Mapping[str, Any] | None = None) -> Any:
    headers = {"Authorization": f"Bearer {service.token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{service.url}/apis/v2beta1{path}", data, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_steps_hand_on_values_outlive_a_crash_and_fail_with_their_last_words(service: ServiceProcess) -> None:
    chain = document({"a": task(), "b": task(x=("a", "out")), "c": task(x=41, after=("b",))}, executor=STEP)
    run_id = asked(service, "/runs", {"display_name": "chain", "pipeline_spec": chain})["run_id"]
    root = service.data / "artifacts" / "p" / run_id

    def is_over() -> Any:
        run = asked(service, f"/runs/{run_id}")
        return run if run["state"] in ("SUCCEEDED", "FAILED") else None

    wait_for("the first step to run", (root / "a/0").exists, 60)
    service.kill()
    service.start()
    run = wait_for("the run to end", is_over, 90)
    assert run["state"] == "FAILED"
    message = run["error"]["message"]
    assert message.startswith("/c: it exited with code 1\nThe last lines of its log:\n")
    assert "got 41\ntoo much\n" in message
    for name, value in (("a", 21), ("b", 22)):
        told = json.loads((root / name / "0/executor_output.json").read_text())
        assert told["parameterValues"]["out"] == value
        assert (root / name / "0/art").read_text() == "made"
    log = root / "a/0/logs/main.log"
    wait_for("the log to be kept", log.exists)
    assert log.read_text() == "got 20\n"
    wait_for("the processes to be gone", lambda: not service.processes())
