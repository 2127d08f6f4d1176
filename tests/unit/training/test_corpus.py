"""The job manifests of the corpus, for the kinds of training-operator and mpi-operator: accepted whole, and planned.

Which of them can also end here depends on their images; that is the index's last column.
"""

import csv
from pathlib import Path
from typing import Any

import pytest
import yaml

from beamhall.training.registry import training_frameworks
from beamhall.training.validation import validate
from tests.unit.training.jobs import Run

_PLACES = [parent / "shared/corpus/training" for parent in Path(__file__).resolve().parents]
CORPUS = next((place for place in _PLACES if place.is_dir()), None)
_FRAMEWORKS = {(f.kind.api_version, f.kind.kind): f for f in training_frameworks()}
_DEFAULTS = {"mpiImplementation": "OpenMPI", "slotsPerWorker": 1, "sshAuthMountPath": "/root/.ssh"}


def _rows() -> list[dict[str, str]]:
    if CORPUS is None:
        return []
    with (CORPUS / "index.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [row for row in rows if tuple(row["kinds"].rsplit("/", 1)) in _FRAMEWORKS]


def _job(row: dict[str, str]) -> dict[str, Any]:
    assert CORPUS is not None
    job: dict[str, Any] = yaml.safe_load((CORPUS / row["file"]).read_text())
    job["metadata"] |= {"name": "j", "namespace": "ns", "uid": "job-uid"}
    if job["apiVersion"].endswith("v2beta1"):
        job["spec"] = _DEFAULTS | job["spec"]  # as the definition does
    return job


@pytest.mark.skipif(CORPUS is None, reason="the corpus is not here")
def test_all_kinds_of_the_corpus_are_there() -> None:
    assert {row["kinds"].rsplit("/", 1)[1] for row in _rows()} == {
        "JAXJob", "MPIJob", "PaddleJob", "PyTorchJob", "XGBoostJob",
    }  # fmt: skip
    assert len(_rows()) == 10


@pytest.mark.parametrize("row", _rows(), ids=lambda row: row["file"])
def test_a_job_of_the_corpus_is_accepted_and_runs_to_its_end(row: dict[str, str]) -> None:
    job = _job(row)
    framework = _FRAMEWORKS[job["apiVersion"], job["kind"]]
    assert validate(framework, job) == []
    run = Run(job, framework)
    replicas = job["spec"][framework.replicas_field]
    assert len(run.pods) == sum(replica.get("replicas", 1) for replica in replicas.values())
    run.start()
    assert run.conditions == ["Created=True", "Running=True"]
    for pod in list(run.pods):
        run.end(pod, 0)
    assert run.conditions == ["Created=True", "Running=False", "Succeeded=True"]
