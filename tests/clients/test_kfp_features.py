"""Every feature of pipelines, end to end: our own pipelines on a running service, each with the values it ends with."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from tests.environments import share_environments
from tests.service import ServiceProcess, wait_for

pytest.importorskip("kfp")

import kfp_server_api

from tests.pipelines import again, artifacts, branches, cluster, containers, exits, inside, loops, values  # noqa: F401
from tests.pipelines.cases import CASES, Case
from tests.pipelines.runner import Runner


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """A service for all cases."""
    directory = tmp_path_factory.mktemp("kfp-features")
    service = ServiceProcess(directory / "data", "--stop-pods")
    share_environments(service.data)
    containers.prepare(service.data, directory / "image")
    service.start()
    headers = {"authorization": f"Bearer {service.token}"}
    with httpx2.Client(base_url=f"{service.url}/k8s", headers=headers, trust_env=False) as http:
        cluster.prepare(http)
    with closing(Runner(service, directory)) as running:
        yield running
    service.stop()
    for pid in service.processes():
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def started(runner: Runner) -> Mapping[str, str]:
    """The runs of all cases, which go on at the same time."""
    return {name: runner.start_case(case) for name, case in CASES.items()}


@pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.name)
def test_a_case_ends_as_it_must(runner: Runner, started: Mapping[str, str], case: Case) -> None:
    run = runner.ended(started[case.name])
    assert run.message["state"] == case.state, run.error
    case.check(run)


def test_the_command_line_shows_what_a_pipeline_returned(runner: Runner, started: Mapping[str, str]) -> None:
    run = runner.ended(started["grid-in-words"])
    command = [sys.executable, "-m", "beamhall", "runs", "show", run.message["run_id"], "--data", runner.service.data]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()
    told = json.dumps(run.output())
    assert [line.split(maxsplit=1) for line in shown[-2:]] == [["RESULT", "VALUE"], ["Output", told]]


def test_results_are_used_again_while_they_are_there(runner: Runner) -> None:
    first = runner.ended(runner.start(again.cached, None, text="a"))
    second = runner.ended(runner.start(again.cached, None, text="a"))
    assert second.message["state"] == "SUCCEEDED"
    for path in ("/stamp", "/stamp-file", "/stamp-of", "/stamp-3"):
        assert (second.tasks[path].get("cached"), second.outputs(path)) == (True, first.outputs(path)), path
        assert "pods" not in second.tasks[path]
    made = [run.artifact("/stamp-file", "into") for run in (first, second)]
    assert made[0]["artifact_id"] == made[1]["artifact_id"]
    assert second.output("/stamp-2") != first.output("/stamp-2")  # not to be cached
    Path(made[0]["uri"]).unlink()
    third = runner.ended(runner.start(again.cached, None, text="a"))
    assert third.output("/stamp") == first.output("/stamp")
    assert third.output("/stamp-file") != first.output("/stamp-file")  # what it made was gone
    assert third.content("/stamp-file", "into") == "a"
    other = runner.ended(runner.start(again.cached, None, text="b"))
    assert other.output("/stamp").startswith("b ")
    assert other.output("/stamp-3") == first.output("/stamp-3")  # its key is all that counts
    none = runner.ended(runner.start(again.cached, caching=False, text="a"))
    assert not [path for path, task in none.tasks.items() if task.get("cached")]
    assert none.output("/stamp") != first.output("/stamp")


def test_an_imported_artifact_is_known_once_unless_it_is_imported_anew(runner: Runner) -> None:
    place = runner.shared("imported-again") / "data.txt"
    place.write_text("x")
    runs = [runner.ended(runner.start(again.imported_again, place=str(place))) for _ in range(2)]
    assert [run.message["state"] for run in runs] == ["SUCCEEDED"] * 2, runs[0].error
    paths = ("/importer", "/importer-2")
    once, anew = ([run.artifact(path, "artifact")["artifact_id"] for run in runs] for path in paths)
    assert once[0] == once[1]
    assert len({*once, *anew}) == 3


def test_files_go_where_a_run_says_if_they_may(runner: Runner) -> None:
    root = f"{runner.service.data}/artifacts/of-our-own"
    run = runner.ended(runner.start(again.placed, root=root))
    assert run.artifact("/stamp-file", "into")["uri"].startswith(f"{root}/placed/{run.message['run_id']}/stamp-file/")
    assert run.content("/stamp-file", "into") == "placed"
    with pytest.raises(kfp_server_api.ApiException) as caught:
        runner.start(again.placed, root="/etc/of-our-own")
    assert caught.value.status == 400
    assert "pipeline root /etc/of-our-own is outside of the directories" in caught.value.body


def test_a_run_that_is_ended_tidies_up(runner: Runner) -> None:
    place = runner.shared("ended-from-outside")
    key = runner.start(again.ended_from_outside, place=str(place))
    wait_for("the step", (place / "sleeping").exists, 60)
    runner.client.terminate_run(key)
    run = runner.ended(key)
    assert run.message["state"] == "FAILED"  # what clients of 2.17 take for an end
    states = [each["state"] for each in run.message["state_history"]]
    assert states[-3:] == ["CANCELING", "CANCELED", "FAILED"]
    ends = run.states("/exit-handler-1/sleep-for-ever", "/exit-handler-1", "/hear")
    assert ends == ["CANCELED", "CANCELED", "SUCCEEDED"]
    assert run.state("/exit-handler-1/stamp") in ("CANCELED", "SKIPPED")
    assert (run.output("/hear")["state"], run.output("/hear")["note"]) == ("CANCELLED", "all the same")


def test_pods_of_failed_steps_stay_as_long_as_the_pipeline_says(runner: Runner) -> None:
    run = runner.ended(runner.start(again.gone_soon))
    (pod,) = run.tasks["/fail"]["pods"]
    url = f"{runner.service.url}/k8s/api/v1/namespaces/default/pods/{pod['name']}"
    wait_for("the Pod to be gone", lambda: runner.http.get(url).status_code == 404, 60)
    assert "gone soon" in run.log("/fail")
