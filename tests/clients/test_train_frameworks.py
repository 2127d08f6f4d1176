"""``beamhall train`` with the real framework of each kind of job, on two workers; both have one model at the end."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.environments import share_environments
from tests.programs import CODE
from tests.service import ServiceProcess

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]  # the first time, environments are made

SAID = {
    "torch_ddp.py": ("pytorchjob/", r"(master-0|worker-0) \| rank \d of 2 on \S+: weight (3\.0\d+) sum 3"),
    "tf_mirrored.py": ("tfjob/", r"(worker-[01]) \| rank \d of 2: weight (2\.9\d+|3\.0\d+)"),
    "jax_sum.py": ("jaxjob/", r"(worker-[01]) \| process \d of 2: (sum 3)"),
    "xgb_train.py": ("xgboostjob/", r"(master-0|worker-0) \| rank \d of 2: accuracy (0\.9\d+|1\.0+)"),
    "paddle_ddp.py": ("paddlejob/", r"(worker-[01]) \| rank \d of 2: weight (2\.9\d+|3\.0\d+) sum 3"),
}
"""The kind that is guessed for each program, and what its workers say: who, and what all have in common."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """Give a running service."""
    running = ServiceProcess(tmp_path_factory.mktemp("train-frameworks") / "data", "--stop-pods")
    share_environments(running.data)
    running.start()
    yield running
    running.stop()


def _train(service: ServiceProcess, program: str) -> str:
    script = str(CODE / "training" / program)
    command = [sys.executable, "-m", "beamhall", "train", script, "--workers", "2"]
    if (os.cpu_count() or 1) > 1:  # else they would stand back behind everything else on the machine
        command += ["--cpu", "1"]
    environment = {**os.environ, "BEAMHALL_DATA": str(service.data)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=380, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the job succeeded" in done.stdout
    return done.stdout


@pytest.mark.parametrize("program", SAID)
def test_a_script_trains_on_two_workers(service: ServiceProcess, program: str) -> None:
    kind, pattern = SAID[program]
    said = _train(service, program)
    assert said.startswith(kind)
    results = dict(re.findall(pattern, said))
    assert len(results) == 2, said
    assert len(set(results.values())) == 1, f"all have the same: {results}"


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="no mpirun on this machine: apt-get install openmpi-bin")
def test_a_script_runs_under_mpi_in_two_workers(service: ServiceProcess) -> None:
    said = _train(service, "mpi_pi.py")
    assert said.startswith("mpijob/mpi-pi-")
    assert re.search(r"launcher \| pi is about 3\.1\d+ by 2 ranks on mpi-pi-\w+-worker-0,mpi-pi-\w+-worker-1", said)
