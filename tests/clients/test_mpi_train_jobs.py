"""TrainJobs over MPI really run: the launcher reaches its nodes through the API, by mpirun, and may do nothing else."""

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.environments import share_environments
from tests.programs import CODE
from tests.service import ServiceProcess, needs_kubectl, wait_for

pytestmark = [
    needs_kubectl,
    pytest.mark.skipif(shutil.which("mpirun") is None, reason="no mpirun on this machine: apt-get install openmpi-bin"),
    pytest.mark.heavy,
    pytest.mark.timeout(300),
]
_PATIENCE_S = 150.0


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """Give a running service that has images of MPI's runtimes, and the namespace ``lab``."""
    running = ServiceProcess(tmp_path_factory.mktemp("mpi") / "data", "--stop-pods")
    share_environments(running.data)
    for image in ("ghcr.io/kubeflow/trainer/deepspeed-runtime", "ghcr.io/kubeflow/trainer/mlx-runtime"):
        running.add_image(image, "mpi", CODE / "training")
    running.start()
    try:
        running.kubectl("create", "namespace", "lab")
        yield running
    finally:
        running.stop()


def _create(service: ServiceProcess, name: str, runtime: str, *command: str, **trainer: Any) -> None:
    requests = {"requests": {"cpu": "500m"}}
    said = {"command": list(command), "resourcesPerNode": requests, **trainer}
    manifest = {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": name, "namespace": "lab"},
        "spec": {"runtimeRef": {"name": runtime}, "trainer": said},
    }
    service.kubectl("create", "-f", "-", stdin=json.dumps(manifest))


def _end(service: ServiceProcess, name: str) -> str:
    """Wait for the end of a TrainJob; give which it is."""

    def ended() -> str:
        job = json.loads(service.kubectl("-n", "lab", "get", "trainjob", name, "-o", "json"))
        conditions = (job.get("status") or {}).get("conditions") or ()
        return next(
            (c["type"] for c in conditions if c["type"] in ("Complete", "Failed") and c["status"] == "True"), ""
        )

    return str(wait_for("the TrainJob's end", ended, _PATIENCE_S))


def _log(service: ServiceProcess, name: str) -> str:
    selector = f"jobset.sigs.k8s.io/jobset-name={name},jobset.sigs.k8s.io/replicatedjob-name=launcher"
    return service.kubectl("-n", "lab", "logs", "-l", selector, "--tail=-1", check=False)


def test_ranks_on_the_nodes_and_the_launcher(service: ServiceProcess) -> None:
    _create(
        service, "pi", "deepspeed-distributed", "mpirun", "-np", "4", "python", "-m", "mpi_pi",
        numNodes=2, numProcPerNode=2,
    )  # fmt: skip
    assert _end(service, "pi") == "Complete", _log(service, "pi")
    account = "--as=system:serviceaccount:lab:pi-mpi-launcher"
    for verb, what in (("create", "pods/exec"), ("get", "secrets"), ("delete", "pods")):
        assert service.kubectl("-n", "lab", "auth", "can-i", verb, what, account, check=False).split()[0] == "no"
    assert "by 4 ranks on pi-node-0-0,pi-node-0-0,pi-launcher-0-0,pi-launcher-0-0" in _log(service, "pi")
