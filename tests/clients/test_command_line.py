"""The real command: what it says when something is wrong, and that it leaves nothing behind."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.service import ServiceProcess


def _beamhall(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "beamhall", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_port_in_use_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = _beamhall("up", "--data", str(tmp_path / "data"), "--port", str(port))
    assert done.returncode == 1
    assert f"port {port} on 127.0.0.1 is in use" in done.stderr
    assert "--port" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_data_directory_in_use_is_said_with_who_uses_it(service: ServiceProcess) -> None:
    done = _beamhall("up", "--data", str(service.data), "--port", "0")
    assert done.returncode == 1
    assert f"data directory {service.data} is in use by another Beamhall" in done.stderr
    assert service.url in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_data_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = _beamhall("up", "--data", str(tmp_path / "file" / "data"), "--port", "0")
    assert done.returncode == 1
    assert str(tmp_path / "file") in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["up", "--port", "x"], "'x' is not a valid integer"),
        (["up", "--port", "70000"], "port 70000 is outside 0-65535"),
        (["up", "--gpus", "some"], "gpus is 'some'"),
        (["run", "no-such-file.yaml"], "'no-such-file.yaml' does not exist"),
        (["runs", "list", "--data", "/nonexistent-beamhall"], "no service runs on /nonexistent-beamhall"),
        (["train", "no-such-file.py"], "'no-such-file.py' does not exist"),
        (["jobs", "list", "--data", "/nonexistent-beamhall"], "no service runs on /nonexistent-beamhall"),
        (["launch"], "No such command 'launch'"),
        (["explain", "tfjob"], "KIND/NAME"),
        (["explain", "tfjob/x", "--data", "/nonexistent-beamhall"], "no service runs on /nonexistent-beamhall"),
        (["kubeconfig", "--data", "/nonexistent-beamhall"], "start the service once"),
        (["images", "prepare", "no-such-image-at-all", "--data", "/tmp/nonexistent-beamhall"], "images add"),
    ],
)
def test_wrong_use_is_answered_with_what_is_right(args: list[str], expected: str) -> None:
    done = _beamhall(*args)
    assert done.returncode != 0
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "",
        "up",
        "demo",
        "run",
        "runs",
        "runs logs",
        "train",
        "jobs",
        "jobs logs",
        "pipelines",
        "pipelines upload",
        "kubeconfig",
        "doctor",
        "images",
        "images add",
        "backup",
        "restore",
        "explain",
        "operator",
    ],
)
def test_help_teaches(command: str) -> None:
    done = _beamhall(*command.split(), "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: ")
    assert len(done.stdout.splitlines()) > 5


def test_doctor_finds_nothing_bad_here(service: ServiceProcess) -> None:
    done = _beamhall("doctor", "--data", str(service.data), "--json")
    findings = {line["subject"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 0, done.stdout
    assert service.url in findings["service"]["said"]
    assert {
        "platform",
        "data directory",
        "uv",
        "private mounts",
        "addresses for Pods",
        "limits",
        "GPUs",
    } <= findings.keys()


def test_ctrl_c_stops_cleanly_and_a_second_start_goes_on(service: ServiceProcess) -> None:
    headers = {"authorization": f"Bearer {service.token}"}
    path = "/k8s/api/v1/namespaces"
    made = httpx2.post(service.url + path, json={"metadata": {"name": "kept"}}, headers=headers, trust_env=False)
    assert made.status_code == 201
    token = service.token
    assert service.stop() == 0
    service.start()
    assert service.token == token
    kept = httpx2.get(f"{service.url}{path}/kept", headers=headers, trust_env=False)
    assert kept.status_code == 200
    assert kept.json()["metadata"]["uid"] == made.json()["metadata"]["uid"]


def test_secrets_are_private(service: ServiceProcess) -> None:
    for name in ("token", "kubeconfig", "tls/server.key"):
        assert (service.data / name).stat().st_mode & 0o077 == 0, name


def test_the_core_starts_without_what_it_does_not_need() -> None:
    program = (
        "import sys; import beamhall.app.service\n"
        "heavy = {'tensorflow', 'torch', 'jax', 'numpy', 'httpx2', 'cryptography.x509', 'lightkube.models', 'pynvml'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
