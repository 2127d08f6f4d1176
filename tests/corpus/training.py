"""The training jobs of the corpus, applied as they are by the real ``kubectl``, and what must become of them.

The index says of each what is possible on a machine without GPUs: ``yes`` and ``partly`` end well; ``no`` waits, or
fails, for a reason that is told; ``data`` is taken. Images are mapped to environments by ``images.yaml``, written here:
for those whose program is simple enough to have one like it (``tests/programs/training``), with that.

As a program it does so on a service whose data directory is given and has no ``images.yaml`` of its own, with all rows
or those whose name contains an argument, and prints a table::

    python -m tests.corpus.training DATA [PART ...]
"""

import csv
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.programs import CODE
from tests.service import kubectl

_ABOVE = [parent / "shared/corpus/training" for parent in Path(__file__).resolve().parents[2:]]
CORPUS = next((path for path in _ABOVE if (path / "index.tsv").exists()), _ABOVE[0])

CPUS = os.cpu_count() or 1

_V1, _V2, _MPI = "training-operator-v1", "trainer-v2", "mpi-operator-v2beta1/v2beta1"
_NOWHERE = {"name": "HF_ENDPOINT", "value": "http://127.0.0.1:9"}

NEEDS_CPUS: Mapping[str, int] = {
    f"{_MPI}/pi/pi-intel.yaml": 3,
    f"{_V2}/examples/yaml/02-runtime-patches.yaml": 4,
    f"{_V2}/examples/yaml/03-kueue-integration.yaml": 6,
}
"""What rows ask for in all. Where that is not here, it must be said, and then they are made smaller."""

LOGS: Mapping[str, Sequence[str]] = {
    f"{_V1}/jax/cpu-demo/demo.yaml": [f"process {i} of 2: sum 3" for i in range(2)],
    f"{_V1}/paddlepaddle/simple-cpu.yaml": ["Distributed training completed"],
    f"{_V1}/pytorch/cpu-demo/demo.yaml": ["rank 0 of 4", "rank 3 of 4", "sum 10"],
    f"{_V1}/pytorch/smoke-dist/pytorch_job_sendrecv.yaml": ["rank 0 of 4: rank 3 answered [13.0, 13.0, 13.0]"],
    f"{_V2}/examples/yaml/01-multi-node.yaml": [f"WORLD_SIZE: {3 * CPUS}", f"RANK: {3 * CPUS - 1}"],
    f"{_V2}/examples/yaml/02-runtime-patches.yaml": ["CUSTOM_VAR: custom-value", "RANK: 1"],
    f"{_V2}/examples/yaml/03-kueue-integration.yaml": ["Step 10/10", "Training complete"],
}
"""What stands in the logs of rows that end well."""

_NO_GPU = "has no nvidia.com/gpu in all.*so it can never start here"
_NO_PROGRAM = "image 'ghcr.io/[^']*' has no entrypoint in the catalog"
_NO_HUB = "cannot download hf://.*: hf ended with 1"

REASONS: Mapping[str, str] = {
    f"{_MPI}/pi/pi-intel.yaml": r"Executable: /home/mpiuser/pi\s+Node: pi-worker-[01]",
    f"{_MPI}/tensorflow-benchmarks/tensorflow-benchmarks.yaml": _NO_GPU,
    f"{_V1}/pytorch/deepspeed-demo/pytorch_deepspeed_demo.yaml": _NO_GPU,
    f"{_V1}/pytorch/mnist/v1/pytorch_job_mnist_nccl.yaml": _NO_GPU,
    f"{_V1}/xgboost/xgboost-dist/xgboostjob_v1_iris_train.yaml": f"has only arguments, and {_NO_PROGRAM}",
    f"{_V1}/xgboost/xgboost-dist/xgboostjob_v1_iris_train_local.yaml": '"xgboostlocal" not found in namespace',
    f"{_V2}/runtimes/data-cache/torch_distributed_with_cache.yaml":
        'serviceaccount "kubeflow-trainer-cache-initializer" not found',
    f"{_V2}/runtimes/deepspeed_distributed.yaml": f"has no command, and {_NO_PROGRAM}",
    f"{_V2}/runtimes/mlx_distributed.yaml": f"has no command, and {_NO_PROGRAM}",
    f"{_V2}/runtimes/torchtune/llama3_2/llama3_2_1B.yaml": _NO_HUB,
    f"{_V2}/runtimes/torchtune/llama3_2/llama3_2_3B.yaml": _NO_HUB,
    f"{_V2}/runtimes/torchtune/qwen2_5/qwen2_5_1.5B.yaml": _NO_HUB,
}  # fmt: skip
"""What events or logs say of rows that cannot end well here."""

PROGRAMS: Mapping[str, str] = {"demo.py": "torch_ddp.py", "train.py": "jax_sum.py"}
"""Programs that rows name without a directory, and those here that do what theirs do."""


@dataclass(frozen=True)
class Row:
    """One file and what is known of it."""

    file: str
    kind: str
    possible: str
    why: str

    @property
    def path(self) -> Path:
        """The file itself."""
        return CORPUS / self.file

    @property
    def manifest(self) -> dict[str, Any]:
        """The one object in it."""
        (found,) = [obj for obj in yaml.safe_load_all(self.path.read_text()) if obj]
        return dict(found)

    @property
    def namespace(self) -> str:
        """Where it goes."""
        return str(self.manifest["metadata"].get("namespace", "default"))

    @property
    def is_job(self) -> bool:
        """Whether it runs something."""
        return self.kind.endswith("Job")

    @property
    def is_runtime(self) -> bool:
        """Whether a TrainJob is needed to see what becomes of it."""
        return self.kind == "ClusterTrainingRuntime"

    @property
    def job(self) -> str:
        """The job that shows what becomes of it, as ``kubectl`` names it."""
        name = str(self.manifest["metadata"]["name"]).replace(".", "-")
        return f"trainjob/{name}" if self.is_runtime else f"{self.kind.lower()}/{name}"


def rows() -> Sequence[Row]:
    """Give all rows; none where there is no corpus."""
    if not (CORPUS / "index.tsv").exists():
        return ()
    with (CORPUS / "index.tsv").open(newline="") as file:
        return [
            Row(row["file"], row["kinds"].rpartition("/")[2], row["cpu_local"], row["why"])
            for row in csv.DictReader(file, delimiter="\t")
        ]


def write_catalog(data: Path) -> None:
    """Say in a data directory which environments, and which programs of ours, stand for the corpus's images."""
    programs = data / "programs"
    programs.mkdir(parents=True, exist_ok=True)
    for name, ours in PROGRAMS.items():
        shutil.copy(CODE / "training" / ours, programs / name)
    upstream, code = "ghcr.io/kubeflow/training-v1", str(CODE / "training")
    images: list[dict[str, Any]] = [
        {"image": "pytorch-cpu", "environment": "pytorch", "workdir": str(programs)},
        {"image": f"{upstream}/jaxjob-simple", "environment": "jax", "workdir": str(programs)},
        {
            "image": f"{upstream}/pytorch-dist-sendrecv-test", "environment": "pytorch", "path": [code],
            "entrypoint": ["python", "-m", "torch_send_recv"],
        },
    ]  # fmt: skip
    (data / "images.yaml").write_text(yaml.safe_dump({"images": images}))


class Cluster:
    """A service, by ``kubectl``."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig

    def kubectl(self, *args: str, stdin: str | None = None, check: bool = True) -> str:
        """Run it, as ``tests.service.kubectl``."""
        return kubectl(self._kubeconfig, *args, stdin=stdin, check=check)

    def prepare(self) -> None:
        """Make what the rows name and do not bring along; it may be there already."""
        for kind, name in (("Namespace", "kubeflow"), ("ServiceAccount", "training-sa")):
            made = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}
            self.kubectl("apply", "-f", "-", stdin=json.dumps(made))
        self.kubectl("label", "nodes", "--all", "node-type=training", "--overwrite")

    def start(self, row: Row) -> None:
        """Apply a row as it is; of a runtime that cannot run here also a TrainJob, for its reason to be seen."""
        if row.kind == "Kustomization":
            return
        self.kubectl("apply", "-f", str(row.path))
        if row.is_runtime and row.possible == "no":
            metadata = row.manifest["metadata"]
            nowhere = {"env": [_NOWHERE]}  # a hub that is reached would be asked for gigabytes
            initializer = {"initializer": {"dataset": nowhere, "model": nowhere}} if "torchtune" in row.file else {}
            job = {
                "apiVersion": "trainer.kubeflow.org/v1alpha1",
                "kind": "TrainJob",
                "metadata": {"name": row.job.partition("/")[2]},
                "spec": {"runtimeRef": {"name": metadata["name"]}, **initializer},
            }
            self.kubectl("apply", "-f", "-", stdin=json.dumps(job))

    def fit(self, row: Row) -> str:
        """See that a row which is too large for this machine says so, and start it anew, smaller; give what differs."""
        if NEEDS_CPUS.get(row.file, 0) <= CPUS:
            return ""
        if not self._sees(row, "cpu in all, .*so it can never start here"):
            return f"does not say that it is too large: {self.story(row)}"
        job = row.manifest
        for resources in _resources(job):
            for amounts in resources.values():
                amounts.pop("cpu", None)
        self.kubectl("delete", row.job, "-n", row.namespace)
        self.kubectl("apply", "-f", "-", stdin=json.dumps(job))
        return self.let_go(row)

    def let_go(self, row: Row) -> str:
        """See that a suspended job waits for whoever suspended it, and do their part; give what differs."""
        if not row.manifest["spec"].get("suspend"):
            return ""
        if not _within(30, lambda: "Suspended" in self.conditions(row)):
            return f"is not Suspended: {self.conditions(row)}"
        if self.kubectl("get", "pods", "-n", row.namespace, "-l", self._selector(row), "-o", "name"):
            return "has Pods while it is suspended"
        self.kubectl("patch", row.job, "-n", row.namespace, "--type=merge", "-p", '{"spec":{"suspend":false}}')
        return ""

    def differs(self, row: Row, patience_s: float) -> str:
        """Wait for what the index says of a row that was started, and give what is different; empty: nothing."""
        if row.possible == "data":
            return self._differs_as_data(row)
        if row.is_job and (said := self.let_go(row) or self.fit(row)):
            return said
        if row.possible == "no":
            if not self._sees(row, REASONS[row.file], patience_s):
                return f"nothing says {REASONS[row.file]}: {self.story(row)}"
            return "ended well" if self.conditions(row).keys() & {"Succeeded", "Complete"} else ""
        _within(patience_s, lambda: self.conditions(row).keys() & {"Succeeded", "Complete", "Failed"})
        if not self.conditions(row).keys() & {"Succeeded", "Complete"}:
            return f"has not ended well: {self.story(row)}"
        log = self.logs(row)
        return "; ".join(f"{text!r} is not in the log: {log}" for text in LOGS[row.file] if text not in log)

    def _differs_as_data(self, row: Row) -> str:
        if row.kind != "Kustomization":
            return "" if self.kubectl("get", "-f", str(row.path), "-o", "name") else "is not there"
        resources: list[str] = yaml.safe_load(row.path.read_text())["resources"]
        if (row.path.parent / resources[0]).exists():
            return "" if self.kubectl("apply", "-k", str(row.path.parent), "--dry-run=server") else "nothing in it"
        files = (resource.removesuffix(".yaml").split("_") for resource in resources)
        served = self.kubectl("get", "crds", "-o", "name")
        return ", ".join(f"no {plural}.{group}" for group, plural in files if f"/{plural}.{group}\n" not in served)

    def conditions(self, row: Row) -> Mapping[str, str]:
        """Give the conditions of a row's job that are true, with their messages."""
        found = json.loads(self.kubectl("get", row.job, "-n", row.namespace, "-o", "json"))
        conditions = (found.get("status") or {}).get("conditions") or ()
        return {c["type"]: c.get("message", "") for c in conditions if c["status"] == "True"}

    def logs(self, row: Row) -> str:
        """Give the logs of all Pods of a row's job."""
        return self.kubectl("logs", "-n", row.namespace, "-l", self._selector(row), "--tail=-1", check=False)

    def story(self, row: Row) -> str:
        """Give all that is told of a row's job: its conditions, the events about it and its Pods, their logs."""
        events = json.loads(self.kubectl("get", "events", "-n", row.namespace, "-o", "json"))["items"]
        name = row.job.partition("/")[2]
        about = (event["message"] for event in events if event["involvedObject"]["name"].startswith(name))
        return "\n".join([str(self.conditions(row)), *about, self.logs(row)])

    def _sees(self, row: Row, pattern: str, patience_s: float = 30) -> bool:
        return _within(patience_s, lambda: re.search(pattern, self.story(row)))

    def _selector(self, row: Row) -> str:
        label = (
            "jobset.sigs.k8s.io/jobset-name" if row.job.startswith("trainjob/") else "training.kubeflow.org/job-name"
        )
        return f"{label}={row.job.partition('/')[2]}"


def _resources(value: Any) -> Sequence[dict[str, Any]]:
    """Give all fields of an object that say what containers ask for."""
    if isinstance(value, list):
        return [found for item in value for found in _resources(item)]
    if not isinstance(value, dict):
        return ()
    own = [held for name, held in value.items() if name in ("resources", "resourcesPerNode")]
    return [*own, *(found for held in value.values() for found in _resources(held))]


def _within(patience_s: float, probe: Callable[[], object]) -> bool:
    until = time.monotonic() + patience_s
    while not probe():
        if time.monotonic() > until:
            return False
        time.sleep(0.25)
    return True


def main(data: Path, parts: Sequence[str]) -> None:
    """Run and print."""
    write_catalog(data)
    cluster = Cluster(data / "kubeconfig")
    cluster.prepare()
    wanted = [row for row in rows() if not parts or any(part in row.file for part in parts)]
    n_good = 0
    for row in wanted:
        began = time.monotonic()
        cluster.start(row)
        said = cluster.differs(row, 300)
        n_good += not said
        took_s = time.monotonic() - began
        print(f"{'DIFFERS' if said else 'ok     '} {took_s:6.1f} s  {row.possible:6} {row.file}  {said}", flush=True)
        if row.is_job or row.file in REASONS:
            cluster.kubectl("delete", row.job, "-n", row.namespace)
    print(f"{n_good} of {len(wanted)} as the index says")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
