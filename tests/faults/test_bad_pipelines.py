"""Pipelines that mean harm, or are broken, over HTTP: a clear answer, no harm, a service that goes on."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from tests.service import ServiceProcess, wait_for
from tests.unit.pipelines.specs import spec, task

MiB = 2**20
GROWTH_BYTES = 400 * MiB
"""How much more memory the service may take at its worst; a package may have 32 MiB, twice that unpacked."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A service for all tests of this module."""
    service = ServiceProcess(tmp_path_factory.mktemp("bad") / "data", "--stop-pods")
    service.data.mkdir()
    service.start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def http(served: ServiceProcess) -> Any:
    headers = {"authorization": f"Bearer {served.token}"}
    with httpx2.Client(base_url=f"{served.url}/apis/v2beta1", headers=headers, trust_env=False, timeout=100) as client:
        yield client


def _changed(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    document = spec()
    change(document)
    return document


def _bomb() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("pipeline.yaml", "w") as file:
        for _ in range(1024):
            file.write(b"#" * MiB)
    return content.getvalue()


def _many(count: int) -> bytes:
    document = spec()
    document["root"]["dag"]["tasks"] = {f"t{n}": {"componentRef": {"name": "comp-a"}} for n in range(count)}
    return json.dumps(document).encode()


def _cycle(document: dict[str, Any]) -> None:
    document["root"]["dag"]["tasks"] = {"a": task(dependentTasks=["b"]), "b": task(dependentTasks=["a"])}


def _self(document: dict[str, Any]) -> None:
    document["components"]["comp-b"] = {"dag": {"tasks": {"b": {"componentRef": {"name": "comp-b"}}}}}
    document["root"]["dag"]["tasks"]["a"]["componentRef"]["name"] = "comp-b"


PACKAGES: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "broken YAML": (lambda: b"root: {a: [1", 400, "(line 2, column 1)"),
    "not text": (lambda: bytes(range(256)) * 100, 400, ""),
    "aliases within aliases": (lambda: b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", 400, "has an alias"),
    "deep": (lambda: b"[" * 100_000, 400, "nest"),
    "many values": (lambda: b"a: [" + b"1," * 5_000_000 + b"1]", 413, "values"),
    "a zip bomb": (_bomb, 413, "bytes"),
    "40 MB": (lambda: b"# " + b"x" * 40 * MiB, 413, "larger than 32 MiB"),
    "100,000 tasks": (lambda: _many(100_000), 400, "there are 100000 tasks; a specification may have 20000"),
    "a cycle": (lambda: yaml.safe_dump(_changed(_cycle)).encode(), 400, "a -> b"),
    "itself inside itself": (lambda: yaml.safe_dump(_changed(_self)).encode(), 400, "comp-b"),
    "an unknown field": (lambda: json.dumps({**spec(), "colour": 1}).encode(), 400, "unknown field 'colour'"),
    "a wrong type": (lambda: json.dumps({**spec(), "root": []}).encode(), 400, "root"),
    "no component": (lambda: json.dumps({**spec(), "components": {}}).encode(), 400, "tasks['a'].componentRef"),
}  # fmt: skip


def _memory(served: ServiceProcess, what: str) -> int:
    assert served.process is not None
    status = Path(f"/proc/{served.process.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(what))


@pytest.mark.parametrize("what", PACKAGES)
def test_what_is_no_pipeline_is_refused_in_words(served: ServiceProcess, http: httpx2.Client, what: str) -> None:
    make, status, words = PACKAGES[what]
    before = _memory(served, "VmRSS")
    answer = http.post("/pipelines/upload", params={"name": what}, files={"uploadfile": ("pipeline.yaml", make())})
    assert answer.status_code == status, answer.text[:500]
    message = answer.json()["error_message"]
    assert message.startswith("Failed to upload pipeline")
    assert words in message
    assert "Traceback" not in answer.text
    assert http.get("/pipelines").json() == {}
    assert _memory(served, "VmHWM") - before < GROWTH_BYTES


def _named(artifacts: list[str], tasks: list[str]) -> dict[str, Any]:
    """Give a pipeline whose tasks write a file for each artifact."""
    document = spec()
    script = 'for p in "$@"; do mkdir -p "$(dirname "$p")"; echo found > "$p"; done'
    outputs = {name: {"artifactType": {"schemaTitle": "system.Dataset"}} for name in artifacts}
    places = [f"{{{{$.outputs.artifacts['{name}'].path}}}}" for name in artifacts]
    container = {"image": "python:3.11", "command": ["sh", "-c", script, "sh"], "args": places}
    document["deploymentSpec"]["executors"]["exec-a"]["container"] = container
    document["components"]["comp-a"] = {"executorLabel": "exec-a", "outputDefinitions": {"artifacts": outputs}}
    document["root"] = {"dag": {"tasks": {name: task() for name in tasks}}}
    return document


def test_names_that_are_paths_are_refused(http: httpx2.Client) -> None:
    for name in ("../../../../up", "/root", "..", "a/../../b", "a\0b"):
        for document, words in (
            (_named([name], ["a"]), "is no name of an output"),
            (_named(["x"], [name]), "is no name of a task"),
        ):
            answer = http.post("/runs", json={"display_name": "evil", "pipeline_spec": document})
            assert answer.status_code == 400, (name, answer.text)
            assert words in answer.json()["message"], name


def test_odd_names_lead_nowhere_else(served: ServiceProcess, http: httpx2.Client) -> None:
    artifacts = ["%2e%2e%2f", "x y", "logs", "parameters", "executor_output.json", "é 漢", "a" * 300]
    tasks = ["logs", "0", "a.b", "parameters"]
    document = _named(artifacts, tasks)
    answer = http.post("/runs", json={"display_name": "odd", "pipeline_spec": document})
    assert answer.status_code == 200, answer.text
    key = answer.json()["run_id"]
    run = wait_for("the run to end", lambda: _ended(http, key), 90)
    assert run["state"] == "SUCCEEDED", run
    home = served.data / "artifacts" / "p" / key
    made = [path for path in served.data.parent.rglob("*") if path.is_file() and path.read_bytes() == b"found\n"]
    assert len(made) == len(artifacts) * len(tasks)
    assert all(home in path.resolve().parents for path in made)


def test_names_of_files_over_http_lead_nowhere_else(http: httpx2.Client) -> None:
    up = "..%2f.."
    for path in (f"/runs/{up}%2fx", f"/artifacts/{up}%2fetc%2fpasswd:download", f"/runs/x/nodes/y/artifacts/{up}:read"):
        answer = http.get(path)
        assert answer.status_code in (400, 404), (path, answer.text)


def test_the_service_goes_on(http: httpx2.Client) -> None:
    answer = http.post("/runs", json={"display_name": "good", "pipeline_spec": _good()})
    assert answer.status_code == 200, answer.text
    key = answer.json()["run_id"]
    assert wait_for("the run to end", lambda: _ended(http, key), 90)["state"] == "SUCCEEDED"


def _good() -> dict[str, Any]:
    document = spec()
    document["components"]["comp-a"] = {"executorLabel": "exec-a"}
    return document


def _ended(http: httpx2.Client, key: str) -> Any:
    run = http.get(f"/runs/{key}").json()
    return run if run["state"] in ("SUCCEEDED", "FAILED") else None
