"""The corpus of pipelines of others: all that can run here ends as its index says, all else is taken or refused.

All runs are started at once, on one service, and go on at the same time.
"""

import os
import signal
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest

from tests.corpus import kfp
from tests.environments import share_environments
from tests.pipelines.runner import Runner
from tests.service import ServiceProcess

pytest.importorskip("kfp")

ROWS = kfp.rows()
RUNNABLE = [row for row in ROWS if row.runs_here]
OTHERS = [row for row in ROWS if not row.runs_here]

EXCEPTIONS: Mapping[str, str] = {
    "valid/create_pod_metadata_complex.yaml": "wants a variable to be empty text, and nothing sets it",
}
"""Rows that do not end as their index says, and why."""

OUTPUTS: Mapping[str, Any] = {
    "valid/critical/add_numbers.yaml": 10,
    "valid/critical/parameters_simple.yaml": [2, 4, 6],
    "valid/critical/pipeline_with_workspace.yaml": "Hello from workspace!",
    "valid/essential/concat_message.yaml": "Hello World!",
    "valid/identity.yaml": "test_value",
    "valid/local_execution/local_execution_pipeline_with_oneof.yaml": "selected:A",
    "valid/local_execution/pipeline_with_caching.yaml": 2,
    "valid/parameters_complex.yaml": 306,
}
"""What some task of a row gives, as the column ``expected_output`` says in words."""

NOT_PIPELINES = ("REJECTED", "unpacks; content is v1 Argo")

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.timeout(600),  # the first time, environments of some steps are made
    pytest.mark.skipif(not ROWS, reason="there is no corpus beside this checkout"),
]


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """A service with what the pipelines need."""
    directory = tmp_path_factory.mktemp("kfp-corpus")
    service = ServiceProcess(directory / "data", "--stop-pods")
    share_environments(service.data)
    service.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        kfp.prepare(service.url, service.token)
    with closing(Runner(service, directory)) as running:
        yield running
    service.stop()
    for pid in service.processes():
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def started(runner: Runner) -> Mapping[str, str]:
    """The ids of the runs, by row."""
    root = str(runner.service.data / "artifacts" / "elsewhere")
    return {row.file: kfp.start(runner.client, row, root) for row in RUNNABLE}


@pytest.mark.parametrize("row", RUNNABLE, ids=lambda row: row.file)
def test_a_pipeline_ends_as_its_index_says(runner: Runner, started: Mapping[str, str], row: kfp.Row) -> None:
    run = runner.ended(started[row.file], patience_s=500)
    differs = kfp.verdict(row, run.message["state"], run.error)
    if row.file in EXCEPTIONS:
        assert differs, f"ends as expected now: take it from the exceptions ({EXCEPTIONS[row.file]})"
        return
    assert not differs
    if row.file in OUTPUTS:
        given = [value for path in run.tasks for value in run.outputs(path).values()]
        assert OUTPUTS[row.file] in given, given


@pytest.mark.parametrize("row", OTHERS, ids=lambda row: row.file)
def test_what_cannot_run_here_is_taken_or_refused(runner: Runner, row: kfp.Row) -> None:
    path = kfp.CORPUS / row.file
    name, file = f"corpus-{time.time_ns()}", {"uploadfile": (path.name, path.read_bytes())}
    answer = runner.http.post("/pipelines/upload", params={"name": name}, files=file)
    if row.expected.startswith(NOT_PIPELINES):
        assert (answer.status_code, answer.json().keys() >= {"error_message", "error_details"}) == (400, True), (
            answer.text
        )
        assert answer.json()["error_message"].startswith("Failed to upload pipeline: ")
    else:
        assert answer.status_code == 200, answer.text
