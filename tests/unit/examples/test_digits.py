"""The digits example: who a process is, and the whole job with the real TensorFlow."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

DIGITS = Path(__file__).resolve().parents[3] / "examples" / "digits"
CLUSTER = {"ps": ["j-ps-0.ns.svc:2222"], "worker": ["j-worker-0.ns.svc:2222", "j-worker-1.ns.svc:2222"]}


def load() -> ModuleType:
    """Load the example's pure module; the package itself is no part of Beamhall, and another test has its name."""
    spec = importlib.util.spec_from_file_location("digits_cluster", DIGITS / "trainer" / "cluster.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


cluster = load()


def read(type_: str, index: int, hosts: dict[str, Any]) -> Any:
    config = {"cluster": hosts, "task": {"type": type_, "index": index}, "environment": "cloud"}
    return cluster.read_task({"TF_CONFIG": json.dumps(config)})


@pytest.mark.parametrize("environ", [{}, {"TF_CONFIG": " "}])
def test_without_tf_config_it_trains_alone(environ: dict[str, str]) -> None:
    task = cluster.read_task(environ)
    assert (task.is_alone, task.is_lead, task.name) == (True, True, "worker 0")
    assert (list(task.trainers), list(task.slots)) == ([("worker", 0)], [0])


@pytest.mark.parametrize(
    ("type_", "index", "hosts", "is_lead", "slot"),
    [
        ("worker", 0, CLUSTER, True, 0),
        ("worker", 1, CLUSTER, False, 1),
        ("chief", 0, {**CLUSTER, "chief": ["c:1"]}, True, 0),
        ("master", 0, {**CLUSTER, "master": ["c:1"]}, True, 0),
        ("worker", 0, {**CLUSTER, "chief": ["c:1"]}, False, 1),
        ("worker", 1, {**CLUSTER, "chief": ["c:1"]}, False, 2),
        ("worker", 7, {"ps": ["p:1"], "worker": {"7": "w:1"}}, False, 7),
        ("worker", 0, {"ps": ["p:1"], "worker": {"0": "w:1"}}, True, 0),
    ],
)
def test_one_process_leads_and_each_has_its_row(
    type_: str, index: int, hosts: dict[str, Any], is_lead: bool, slot: int
) -> None:
    task = read(type_, index, hosts)
    assert (task.is_alone, task.is_lead, task.slot) == (False, is_lead, slot)


def test_the_shares_of_all_trainers_are_the_whole_data() -> None:
    hosts = {**CLUSTER, "chief": ["c:1"]}
    tasks = [read("chief", 0, hosts), read("worker", 0, hosts), read("worker", 1, hosts)]
    shares = [set(cluster.share_of(100, task)) for task in tasks]
    assert set.union(*shares) == set(range(100))
    assert sum(len(share) for share in shares) == 100
    assert len(cluster.share_of(100, read("worker", 7, {"ps": ["p:1"], "worker": {"7": "w:1"}}))) == 100


def test_a_run_has_one_name_in_all_its_processes_and_another_has_another() -> None:
    assert read("worker", 0, CLUSTER).run == read("ps", 0, CLUSTER).run
    assert read("worker", 0, {**CLUSTER, "ps": ["other:1"]}).run != read("worker", 0, CLUSTER).run


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("{}", "cannot be read"),
        ('{"cluster": 1, "task": {"type": "worker", "index": 0}}', "cannot be read"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}', "add PS"),
    ],
)
def test_a_tf_config_that_cannot_work_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cluster.read_task({"TF_CONFIG": text})


def test_the_manifest_has_the_shape_that_users_know() -> None:
    claim, job = yaml.safe_load_all((DIGITS / "tfjob.yaml").read_text())
    replicas = job["spec"]["tfReplicaSpecs"]
    assert {name: spec["replicas"] for name, spec in replicas.items()} == {"PS": 1, "Worker": 2}
    for spec in replicas.values():
        (container,) = spec["template"]["spec"]["containers"]
        assert (container["name"], spec["restartPolicy"]) == ("tensorflow", "OnFailure")
        assert container["command"][:3] == ["python", "-m", "trainer.task"]
    (volume,) = replicas["Worker"]["template"]["spec"]["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["metadata"]["namespace"] == job["metadata"]["namespace"]


def test_the_compiled_pipeline_is_that_of_its_source(tmp_path: Path) -> None:
    """`beamhall demo` runs the compiled one, so that it needs no SDK."""
    package = tmp_path / "pipeline.yaml"
    command = [str(Path(sys.executable).with_name("kfp")), "dsl", "compile", "--py", str(DIGITS / "pipeline.py")]
    subprocess.run([*command, "--output", str(package)], check=True, capture_output=True)
    assert yaml.safe_load(package.read_text()) == yaml.safe_load((DIGITS / "pipeline.yaml").read_text())
