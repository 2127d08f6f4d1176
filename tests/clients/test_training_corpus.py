"""The corpus of training jobs of others: all end as its index says is possible, with the real ``kubectl``.

All are started at once, on one service without GPUs, and go on at the same time.
"""

import json
import os
import signal
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import yaml

from tests.corpus import training
from tests.environments import share_environments
from tests.programs import CODE
from tests.service import ServiceProcess, needs_kubectl, wait_for

ROWS = training.rows()
_XGBOOST = [row for row in ROWS if row.kind == "XGBoostJob"]
_PATIENCE_S = 240.0

pytestmark = [
    needs_kubectl,
    pytest.mark.heavy,
    pytest.mark.timeout(600),  # the first time, environments are made
    pytest.mark.skipif(not ROWS, reason="there is no corpus beside this checkout"),
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service with what the jobs name."""
    data = tmp_path_factory.mktemp("training-corpus") / "data"
    for directory in (data.parent, *data.parent.parents[:2]):  # pytest's own are closed to the user of a row's Pods
        directory.chmod(0o711)
    running = ServiceProcess(data, "--stop-pods", "--gpus", "0")
    share_environments(running.data)
    training.write_catalog(running.data)
    running.start()
    yield running
    running.stop()
    for pid in running.processes():
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def cluster(service: ServiceProcess) -> training.Cluster:
    """The service, on which all rows are started."""
    cluster = training.Cluster(service.kubeconfig)
    cluster.prepare()
    for row in ROWS:
        cluster.start(row)
    return cluster


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.file)
def test_a_row_ends_as_its_index_says(cluster: training.Cluster, row: training.Row) -> None:
    if "runAsUser" in row.path.read_text() and os.geteuid() != 0:
        pytest.skip("only root has Pods of other users")
    assert not cluster.differs(row, _PATIENCE_S)


def test_patches_of_a_runtime_are_in_what_is_made_of_it(cluster: training.Cluster) -> None:
    made: dict[str, Any] = json.loads(cluster.kubectl("get", "jobset", "runtime-patches-example", "-o", "json"))
    assert made["metadata"]["labels"] == {"team": "ml-platform", "cost-center": "research"}


def test_xgboost_jobs_train_once_the_catalog_says_what_their_image_runs(
    cluster: training.Cluster, service: ServiceProcess
) -> None:
    """The image's own program needs a module that XGBoost has no more; one of today takes its place."""
    entry = {
        "image": "*/xgboost-dist-iris", "environment": "xgboost", "path": [str(CODE / "training")],
        "entrypoint": ["python", "-m", "xgb_train"],
    }  # fmt: skip
    file = service.data / "images.yaml"
    catalog = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({"images": [*catalog["images"], entry]}))
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "xgboostlocal"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }  # fmt: skip
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(claim))
    for row in _XGBOOST:
        wait_for(f"the end of {row.job}", partial(_has_succeeded, cluster, row), _PATIENCE_S)
        assert "of 3: accuracy 0.9" in cluster.logs(row)
    volume = cluster.kubectl("get", "pvc", "xgboostlocal", "-o", "jsonpath={.spec.volumeName}")
    path = service.data / cluster.kubectl("get", "pv", volume, "-o", "jsonpath={.spec.hostPath.path}")
    assert json.loads((path / "2.json").read_text())["learner"], "the model is in the volume"


def _has_succeeded(cluster: training.Cluster, row: training.Row) -> bool:
    return "Succeeded" in cluster.conditions(row)
