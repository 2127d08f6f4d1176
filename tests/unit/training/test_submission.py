"""From a script to a job: what it is for, its files, its manifest."""

import base64
from typing import Any

import pytest

from beamhall.training.registry import training_frameworks
from beamhall.training.submission.guessing import guess_framework
from beamhall.training.submission.manifests import FRAMEWORKS, Request, job_manifest
from beamhall.training.submission.packaging import MAX_BYTES, TooLargeToPackage, config_map
from beamhall.training.validation import validate


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import torch.nn as nn", ("pytorch", "torch")),
        ("from tensorflow import keras", ("tensorflow", "tensorflow")),
        ("def f():\n    import jax", ("jax", "jax")),
        ("import torch\nfrom mpi4py import MPI", ("mpi", "mpi4py")),
        ("import torch, xgboost", ("xgboost", "xgboost")),
        ("import os\nfrom . import torch\nfrom .torch import x", ("python", "")),
        ("# import torch\n'import jax'", ("python", "")),
    ],
)
def test_the_framework_is_what_is_imported(source: str, expected: tuple[str, str]) -> None:
    assert guess_framework(source) == expected


def test_what_is_no_python_is_said() -> None:
    with pytest.raises(SyntaxError):
        guess_framework("import")


def test_files_are_kept_as_they_are_text_or_not() -> None:
    made = config_map("c", {"a.py": b"x = 1\n", "pkg/a.py": b"", "pkg/data.bin": b"\xff\x00"})
    assert list(made["data"].values()) == ["x = 1\n", ""]
    assert [base64.b64decode(value) for value in made["binaryData"].values()] == [b"\xff\x00"]


def test_what_is_too_large_is_said_with_what_is_large() -> None:
    half = b"x" * (MAX_BYTES // 2)
    config_map("c", {"a.py": half})
    with pytest.raises(TooLargeToPackage, match=r"are 1\.5 MiB, .* 1\.0 MiB in all; the largest: b\.bin \(1\.0 MiB\)"):
        config_map("c", {"a.py": half, "b.bin": half * 2})


def _request(framework: str, **more: Any) -> Request:
    return Request("j", framework, "train.py", ("train.py", "pkg/a.py", "pkg/b.py"), ("--x", "1"), **more)


def _replicas(request: Request) -> dict[str, Any]:
    spec = job_manifest(request)["spec"]
    return next(value for field, value in spec.items() if field.endswith("ReplicaSpecs"))


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("workers", [1, 3])
def test_every_job_is_one_that_admission_takes(framework: str, workers: int) -> None:
    request = _request(framework, n_workers=workers, n_gpus=1, cpu="2", memory="1Gi")
    job = job_manifest(request)
    job["metadata"]["namespace"] = "a"
    kinds = {f.kind: f for f in training_frameworks() if f.owns(job)}
    assert validate(kinds[request.kind], job) == []
    wanted = workers + (framework == "mpi")
    assert sum(replica["replicas"] for replica in _replicas(request).values()) == wanted


def test_the_script_runs_by_itself_and_by_torchrun_where_a_worker_has_several_gpus() -> None:
    one = _replicas(_request("pytorch", n_workers=2, n_gpus=1))["Master"]["template"]["spec"]["containers"][0]
    assert one["command"] == ["python", "train.py", "--x", "1"]
    assert {"name": "LOCAL_RANK", "value": "0"} in one["env"]
    request = _request("pytorch", n_workers=2, n_gpus=4)
    many = _replicas(request)["Worker"]["template"]["spec"]["containers"][0]
    assert many["command"] == ["torchrun", "train.py", "--x", "1"]
    assert not [variable for variable in many["env"] if variable["name"] == "LOCAL_RANK"]
    assert job_manifest(request)["spec"]["nprocPerNode"] == "4"


def test_paddle_s_launcher_tells_several_workers_of_each_other() -> None:
    commands = [
        _replicas(_request("paddle", n_workers=n, n_gpus=gpus))["Worker"]["template"]["spec"]["containers"][0][
            "command"
        ]
        for n, gpus in ((1, 1), (1, 2), (2, 0))
    ]
    launched = ["python", "-m", "paddle.distributed.launch", "train.py", "--x", "1"]
    assert commands == [["python", "train.py", "--x", "1"], launched, launched]


def test_mpi_starts_a_process_in_each_worker_from_a_launcher_that_asks_for_nothing() -> None:
    replicas = _replicas(_request("mpi", n_workers=3, n_gpus=1, cpu="2"))
    launcher, worker = (replicas[t]["template"]["spec"]["containers"][0] for t in ("Launcher", "Worker"))
    assert launcher["command"] == ["mpirun", "-n", "3", "python", "train.py", "--x", "1"]
    assert "resources" not in launcher
    assert "command" not in worker
    assert worker["resources"] == {"limits": {"cpu": "2", "nvidia.com/gpu": "1"}}


def test_files_lie_in_a_working_directory_of_the_pods_own_and_checkpoints_on_the_claim() -> None:
    pod = _replicas(_request("jax"))["Worker"]["template"]["spec"]
    assert [(m["mountPath"], m.get("subPath")) for m in pod["containers"][0]["volumeMounts"]] == [
        ("/workspace", None),
        ("/workspace/train.py", "train.py"),
        ("/workspace/pkg", "pkg"),
        ("/checkpoints", None),
    ]
    assert pod["volumes"][2]["persistentVolumeClaim"] == {"claimName": "j-checkpoints"}
    without = _replicas(_request("jax", has_checkpoints=False))["Worker"]["template"]["spec"]
    assert len(without["volumes"]) == 2
    assert not [v for v in without["containers"][0]["env"] if v["name"] == "CHECKPOINT_DIR"]


@pytest.mark.parametrize(("restarts", "policy", "limit"), [(0, "ExitCode", 3), (2, "OnFailure", 3)])
def test_workers_that_are_killed_start_again_and_others_where_that_is_wanted(
    restarts: int, policy: str, limit: int
) -> None:
    request = _request("tensorflow", n_restarts=restarts)
    assert _replicas(request)["Worker"]["restartPolicy"] == policy
    assert job_manifest(request)["spec"]["runPolicy"] == {"backoffLimit": limit}
