"""`beamhall backup` of a running service under load, `beamhall restore`, and what is said when that cannot be done."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from tests.service import ServiceProcess, wait_for

MAPS = "/k8s/api/v1/namespaces/default/configmaps"


def _beamhall(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "beamhall", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def _http(service: ServiceProcess) -> httpx2.Client:
    return httpx2.Client(
        base_url=service.url, headers={"authorization": f"Bearer {service.token}"}, trust_env=False, timeout=30
    )


@contextmanager
def writing(service: ServiceProcess) -> Iterator[list[str]]:
    """Create ConfigMaps one after another meanwhile; give the names of those that were acknowledged."""
    made: list[str] = []
    stop = threading.Event()

    def write() -> None:
        with _http(service) as http:
            while not stop.is_set():
                name = f"c{len(made)}"
                answer = http.post(MAPS, json={"metadata": {"name": name}, "data": {"n": "x" * 500}})
                assert answer.status_code == 201, answer.text
                made.append(name)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield made
    finally:
        stop.set()
        thread.join()


def test_a_backup_while_running_and_its_restore(make_service: Callable[..., ServiceProcess], tmp_path: Path) -> None:
    service = make_service()
    service.start()
    file = tmp_path / "backup.tar.gz"
    with writing(service) as made:
        wait_for("some writes", lambda: len(made) > 50)
        before = list(made)
        done = _beamhall("backup", str(file), "--data", str(service.data))
        wait_for("more writes", lambda: len(made) > len(before) + 20)
    assert done.returncode == 0, done.stderr
    assert str(file) in done.stdout
    assert file.stat().st_mode & 0o077 == 0

    refused = _beamhall("restore", str(file), "--data", str(service.data), "--force")
    assert refused.returncode == 1
    assert "is in use by another Beamhall" in refused.stderr
    with _http(service) as http:
        last = http.get(MAPS).json()["metadata"]["resourceVersion"]
    service.stop()
    refused = _beamhall("restore", str(file), "--data", str(service.data))
    assert refused.returncode == 1
    assert "replace it with --force" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1

    second = make_service(name="second")
    second.data.rmdir()
    done = _beamhall("restore", str(file), "--data", str(second.data))
    assert done.returncode == 0, done.stderr
    assert f"beamhall up --data {second.data}" in done.stdout
    second.start()
    assert second.token == service.token
    with _http(second) as http:
        names = {item["metadata"]["name"] for item in http.get(MAPS).json()["items"]}
        assert set(before) <= names < set(made) | {"kube-root-ca.crt"}, "all from before, and a part of what came later"
        event = http.get(MAPS, params={"watch": "1", "resourceVersion": last}).json()
        assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
        old = http.get(MAPS, params={"resourceVersion": last, "resourceVersionMatch": "Exact"})
        assert (old.status_code, old.json()["reason"]) == (410, "Expired")
        assert http.post(MAPS, json={"metadata": {"name": "goes-on"}}).status_code == 201


def test_a_damaged_store_is_said_with_the_mend(make_service: Callable[..., ServiceProcess]) -> None:
    service = make_service()
    service.start()
    service.stop()
    file = service.data / "objects.db"
    content = bytearray(file.read_bytes())
    content[2 * 4096 : 12 * 4096] = b"\xa5" * 10 * 4096
    file.write_bytes(content)
    done = _beamhall("up", "--data", str(service.data), "--port", "0")
    assert done.returncode == 1
    assert f"beamhall: {file} cannot be opened" in done.stderr
    assert "beamhall restore FILE --force" in done.stderr
    assert "Traceback" not in done.stderr
    doctor = _beamhall("doctor", "--data", str(service.data))
    assert doctor.returncode == 1
    (line,) = (line for line in doctor.stdout.splitlines() if "object store" in line)
    assert line.startswith("BAD")
    assert "mend: stop the service; `beamhall restore FILE --force" in doctor.stdout
    refused = _beamhall("backup", str(service.data.parent / "b"), "--data", str(service.data))
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert not (service.data.parent / "b").exists()


def test_a_file_that_is_no_backup_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no backup")
    done = _beamhall("restore", str(tmp_path / "file"), "--data", str(tmp_path / "data"))
    assert done.returncode == 1
    assert "is no backup of Beamhall" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    done = _beamhall("backup", "--data", str(tmp_path / "none"))
    assert done.returncode == 1
    assert "no data directory" in done.stderr
