"""kill -9 of the service at random moments of runs: they end as without, and no step that finished ran again."""

import os
import random
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.environments import share_environments
from tests.service import ServiceProcess, wait_for

pytest.importorskip("kfp")

from tests.pipelines.cases import ENDED, Ended
from tests.pipelines.killed import killed
from tests.pipelines.runner import Runner

KILLS = 3
SEEDS = 10
BEGAN = {
    "first": 1, "again": 3, "each-0": 1, "each-1": 1, "each-2": 1, "each-3": 1, "three": 1, "last": 1, "inside": 1,
    "fails": 2, "hear": 1,
}  # fmt: skip
"""How often each step begins."""


pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service that lives, and dies, through all tests of this module."""
    service = ServiceProcess(tmp_path_factory.mktemp("killed") / "data", "--stop-pods")
    share_environments(service.data)
    service.start()
    yield service
    service.stop()
    for pid in service.processes():
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def model(service: ServiceProcess) -> Mapping[str, Any]:
    """What becomes of a run when nobody kills the service."""
    with closing(Runner(service, service.data.parent)) as runner:
        place = runner.shared("model")
        run = runner.ended(runner.start(killed, caching=None, place=str(place)))
    _check_steps(place)
    return _shape(run)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_runs_end_as_if_the_service_had_never_been_killed(
    service: ServiceProcess, model: Mapping[str, Any], seed: int
) -> None:
    chance = random.Random(seed)
    directory = service.data.parent
    places = {}
    for number in range(KILLS):
        with closing(Runner(service, directory)) as runner:
            place = runner.shared(f"run-{seed}-{number}")
            places[runner.start(killed, caching=None, place=str(place))] = place
        time.sleep(chance.uniform(0, 0.8))  # not a wait: the moment of the crash is what is varied
        service.kill()
        service.start()
    with closing(Runner(service, directory)) as runner:
        for run_id, place in places.items():
            run = runner.ended(run_id, patience_s=250)
            assert run.message["state"] == "FAILED"
            assert "fails fails" in run.error
            assert _shape(run) == model
            _check_steps(place)
            _check_events(run, runner.get(f"/runs/{run_id}:events")["events"])
        wait_for("Pods of what succeeded to be gone", lambda: _kept(runner) <= {"/exit-handler-1/step-5", "/step-2"})
    wait_for("the last processes to be gone", lambda: service.processes() == [])


def _check_steps(place: Path) -> None:
    """Check what the steps of a run wrote down: each began as often as it had to, and ended once."""
    found = {path.name: path.read_text().splitlines() for path in place.iterdir()}
    assert {name: lines.count("begin") for name, lines in found.items()} == BEGAN
    assert {name: lines.count("end") for name, lines in found.items()} == dict.fromkeys(BEGAN, 1) | {"fails": 0}


def _shape(run: Ended) -> Mapping[str, Any]:
    """Give what is the same in each run: its tasks, how they ended, what they made, and how often they were tried."""
    return {
        path: (task["state"], task.get("attempt", 0), run.outputs(path), len(task.get("pods", ())) * (path != "/stamp"))
        for path, task in run.tasks.items()
    }


def _check_events(run: Ended, events: Sequence[Mapping[str, Any]]) -> None:
    """Check that the events alone tell how the run and each of its tasks ended, in their order and once."""
    numbers = [int(event["id"]) for event in events]
    assert numbers == sorted(set(numbers))
    assert events[-1]["kind"] == "run"
    assert events[-1]["data"]["state"] == run.message["state"]
    told: dict[str, list[str]] = {}
    for event in events:
        if event["kind"] == "task":
            told.setdefault(event["path"], []).append(event["data"]["state"])
    for path, task in run.tasks.items():
        if path:
            assert told[path][-1] == task["state"], path
            assert [state for state in told[path] if state in ENDED] == [task["state"]], path


def _kept(runner: Runner) -> set[str]:
    """Give the paths of the Pods that are there."""
    url = f"{runner.service.url}/k8s/api/v1/namespaces/default/pods"
    pods = runner.http.get(url).json()["items"]
    return {pod["metadata"]["annotations"]["pipelines.beamhall.io/path"] for pod in pods}
