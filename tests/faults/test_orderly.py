"""Whatever a client sends or does, and whatever the disk does: an orderly answer, and the service goes on."""

import http.client
import json
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.faults.conftest import FullDisk, StalledWatch
from tests.service import ServiceProcess, wait_for

MAPS = "/k8s/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """Give one service for the tests that leave it as it was."""
    service = ServiceProcess(tmp_path_factory.mktemp("orderly") / "data", "--stop-pods")
    service.start()
    yield service
    service.stop()


def client_of(service: ServiceProcess) -> httpx2.Client:
    return httpx2.Client(
        base_url=service.url, headers={"authorization": f"Bearer {service.token}"}, trust_env=False, timeout=60
    )


def config_map(name: str, size: int = 10, n: int = 0) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {"n": str(n), "much": "x" * size}}


def test_a_full_disk_refuses_writes_and_nothing_else(full_disk: FullDisk) -> None:
    service = ServiceProcess(full_disk.path / "data", "--stop-pods")
    service.log = full_disk.path.with_name("service.log")
    service.start()
    made = []
    try:
        with client_of(service) as http:
            for number in range(5):
                assert http.post(MAPS, json=config_map(f"before{number}")).status_code == 201
                made.append(f"before{number}")
            full_disk.fill(service)
            refused = None
            for number in range(200):
                answer = http.post(MAPS, json=config_map(f"during{number}", size=200_000))
                if answer.status_code != 201:
                    refused = answer
                    break
                made.append(f"during{number}")
            assert refused is not None
            status = refused.json()
            assert (refused.status_code, status["kind"], status["reason"]) == (503, "Status", "ServiceUnavailable")
            assert "make room on the disk" in status["message"]
            assert refused.headers["retry-after"] == "5"
            assert http.get(f"{MAPS}/before0").status_code == 200
            assert {item["metadata"]["name"] for item in http.get(MAPS).json()["items"]} >= set(made)
            full_disk.free()
            wait_for(
                "writes to work again", lambda: http.post(MAPS, json=config_map("after")).status_code in (201, 409)
            )
            made.append("after")
        service.kill()
        service.start()
        with client_of(service) as http:
            assert {item["metadata"]["name"] for item in http.get(MAPS).json()["items"]} >= set(made)
    finally:
        service.stop()


def rss_mib(service: ServiceProcess) -> float:
    assert service.process is not None
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def test_a_stalled_watch_costs_little_and_loses_nothing(
    running: ServiceProcess, stalled_watch: Callable[[ServiceProcess, str], StalledWatch]
) -> None:
    number, size = 120, 400_000
    with client_of(running) as http:
        begun = http.post(MAPS, json=config_map("watched", size)).json()["metadata"]["resourceVersion"]
        path = f"{MAPS}?watch=1&resourceVersion={begun}&fieldSelector=metadata.name=watched"
        stalled = stalled_watch(running, path)
        before = rss_mib(running)
        for n in range(1, number + 1):
            assert http.put(f"{MAPS}/watched", json=config_map("watched", size, n)).status_code == 200
        grown = rss_mib(running) - before
        assert grown < 45, f"48 MB of changes wait for the client; the service grew by {grown:.0f} MiB"
        told = []
        for line in stalled.lines():
            event = json.loads(line)
            told.append((event["type"], int(event["object"]["data"]["n"])))
            if len(told) == number:
                break
        assert told == [("MODIFIED", n) for n in range(1, number + 1)]
        http.delete(f"{MAPS}/watched")


def connection_to(service: ServiceProcess) -> tuple[http.client.HTTPConnection, dict[str, str]]:
    where = urlsplit(service.url)
    headers = {"Authorization": f"Bearer {service.token}", "Content-Type": "application/json"}
    return http.client.HTTPConnection(where.hostname or "", where.port, timeout=60), headers


def test_a_large_object_is_refused_and_the_connection_lives(running: ServiceProcess) -> None:
    connection, headers = connection_to(running)
    body = json.dumps(config_map("large", 5_000_000)).encode()
    for _ in range(2):
        connection.request("POST", MAPS, body, headers)
        answer = connection.getresponse()
        status = json.loads(answer.read())
        assert (answer.status, status["kind"], status["reason"]) == (413, "Status", "RequestEntityTooLarge")
        connection.request("GET", MAPS, headers=headers)  # on the same connection
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
    connection.close()


@pytest.mark.parametrize(
    ("media_type", "body", "said"),
    [
        ("application/json", '{"metadata": {"name": "x"},\n "data": }', "line 2"),
        ("application/json", '{"metadata": {"name": "x"}', "malformed"),
        ("application/json", "\x00\xff", "malformed"),
        ("application/json", "[" * 100_000, ""),
        ("application/yaml", "metadata:\n  name: x\n bad: y\n", "line"),
        ("application/yaml", "a: &a [*a, *a]", ""),
        ("application/yaml", "\x00", ""),
        ("application/yaml", "- just\n- a list\n", "must be one ConfigMap"),
    ],
)
def test_what_cannot_be_read_is_said(running: ServiceProcess, media_type: str, body: str, said: str) -> None:
    with client_of(running) as http:
        answer = http.post(MAPS, content=body.encode("latin-1"), headers={"content-type": media_type})
        assert (answer.status_code, answer.json()["kind"], answer.json()["reason"]) == (400, "Status", "BadRequest")
        assert said in answer.json()["message"]


def test_bytes_that_are_no_http_harm_nobody(running: ServiceProcess) -> None:
    """Requests with bytes changed, cut and doubled, on the port itself."""
    chance = random.Random(11)
    where = urlsplit(running.url)
    body = json.dumps(config_map("fuzzed"))
    good = (
        f"POST {MAPS}?dryRun=All HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {running.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    ).encode()
    for _ in range(300):
        request = bytearray(good)
        for _ in range(chance.choice((1, 1, 3, 20))):
            at = chance.randrange(len(request))
            match chance.randrange(4):
                case 0:
                    request[at] = chance.randrange(256)
                case 1:
                    del request[at : at + chance.randrange(1, 30)]
                case 2:
                    request[at:at] = request[at : at + chance.randrange(1, 30)]
                case _:
                    request[at:at] = bytes(chance.randrange(256) for _ in range(5))
        with socket.create_connection((where.hostname, where.port), timeout=10) as opened:
            opened.sendall(request)
            opened.shutdown(socket.SHUT_WR)
            answer = b""
            try:
                while part := opened.recv(65536):
                    answer += part
            except ConnectionResetError:
                continue
        assert not answer.startswith(b"HTTP/1.1 5"), (bytes(request), answer)
    with client_of(running) as http:
        assert http.get("/healthz").status_code == 200
    assert running.process is not None
    assert running.process.poll() is None
    assert "Traceback" not in running.log.read_text()
