import os
import subprocess
import time
from pathlib import Path

import pytest

from beamhall.embedded.agent.sandbox.child import linux
from beamhall.embedded.agent.sandbox.strays import find_strays, kill_strays
from tests.unit.embedded.agent.sandbox.conftest import alive


@pytest.fixture
def process():
    """A process in a session of its own, with a marker."""
    marked = {**os.environ, "BEAMHALL_SANDBOX": f"stray-{os.getpid()}"}
    with subprocess.Popen(["sleep", "600"], env=marked, start_new_session=True) as running:
        while not Path(f"/proc/{running.pid}/environ").read_bytes():  # the kernel is still starting the program
            time.sleep(0.001)
        yield running
        running.kill()


def test_strays_are_found_by_their_marker(process):
    marker = f"stray-{os.getpid()}"
    assert find_strays(marker, 0, 0) == [process.pid]
    assert find_strays(marker + "0", 0, 0) == []
    assert find_strays("stray", 0, 0) == []
    assert kill_strays(marker, 0, 0) == []
    assert not alive(process.pid)


def test_strays_are_found_by_their_session(process):
    ticks = linux.start_ticks(process.pid)
    assert find_strays("none", process.pid, ticks) == [process.pid]


def test_a_session_of_a_stranger_is_left_alone(process):
    assert find_strays("none", process.pid, linux.start_ticks(process.pid) - 1) == []
