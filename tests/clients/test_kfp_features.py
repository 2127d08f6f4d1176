"""Every feature of pipelines, end to end: our own pipelines on a running service, each with the values it ends with."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import closing

import httpx2
import pytest

from tests.environments import share_environments
from tests.service import ServiceProcess

pytest.importorskip("kfp")
pytest.register_assert_rewrite("tests.pipelines")

from tests.pipelines import artifacts, branches, cluster, containers, exits, loops, values  # noqa: E402, F401
from tests.pipelines.cases import CASES, Case  # noqa: E402
from tests.pipelines.runner import Runner  # noqa: E402

pytestmark = pytest.mark.xdist_group("kfp-features")


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
