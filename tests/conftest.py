"""Fixtures for every test: a running service as a user runs it."""

import gc
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.distribution import ByModule, number_of_workers
from tests.postgresql import Server, is_installed, running_server
from tests.service import ServiceProcess

pytest.register_assert_rewrite("tests.pipelines")  # before any test imports it
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or each service, command and container would compile all it imports
settings.register_profile("beamhall", deadline=None)  # the time of an example says how busy the machine is
settings.load_profile("beamhall")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Say what ``-n auto`` means."""
    return number_of_workers()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByModule:
    """Distribute the tests over several workers."""
    return ByModule(config, log)


@pytest.fixture
def make_service(tmp_path: Path) -> Iterator[Callable[..., ServiceProcess]]:
    """Give a maker of services on this test's directory; they and their Pods are ended with the test."""
    made: list[ServiceProcess] = []

    def make(*options: str, name: str = "data") -> ServiceProcess:
        service = ServiceProcess(tmp_path / name, "--stop-pods", *options)
        service.data.mkdir(exist_ok=True)
        made.append(service)
        return service

    yield make
    for service in made:
        if service.process is not None:
            service.stop()
        for pid in service.processes():
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def service(make_service: Callable[..., ServiceProcess]) -> ServiceProcess:
    """Give a running service."""
    service = make_service()
    service.start()
    return service


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """Give a PostgreSQL server of the tests' own, where one is installed."""
    if not is_installed():
        pytest.skip("PostgreSQL is not installed")
    with running_server() as server:
        yield server


def pytest_collection_finish() -> None:
    """Keep what was collected out of Python's garbage collection: walking through it takes half a second each time."""
    gc.collect()
    gc.freeze()
