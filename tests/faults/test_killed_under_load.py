"""kill -9 at random moments while writers write and Pods run: nothing that was acknowledged is lost, and Pods end once.

Eight kills or more for each seed. Some come while the service starts. A failure is repeated with its seed:
``BEAMHALL_TEST_SEED=7 pytest tests/faults/test_killed_under_load.py`` runs that one alone.
"""

import http.client
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.programs import CODE, IMAGE
from tests.service import ServiceProcess, wait_for

KILLS = 8
WRITERS = 4
KEYS = 6
PODS_A_LIFE = 2
MAPS = "/k8s/api/v1/namespaces/default/configmaps"
PODS = "/k8s/api/v1/namespaces/default/pods"
SEEDS = [int(seed) for seed in os.environ.get("BEAMHALL_TEST_SEED", "1,2,3,4").split(",")]
ENDED = ("Succeeded", "Failed")


class Gone(Exception):
    """The service went away before it answered: what was asked may or may not have been done."""


class Connection:
    """A connection to one life of the service."""

    def __init__(self, service: ServiceProcess) -> None:
        where = urlsplit(service.url)
        self._http = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
        self._headers = {"Authorization": f"Bearer {service.token}", "Content-Type": "application/json"}

    def close(self) -> None:
        self._http.close()

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Send a request; raises ``Gone`` where there is no whole answer."""
        answer = self.open(method, path, body)
        try:
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException) as err:
            raise Gone from err

    def open(self, method: str, path: str, body: object = None) -> http.client.HTTPResponse:
        """Send a request and give its answer while it still comes."""
        try:
            self._http.request(method, path, None if body is None else json.dumps(body), self._headers)
            return self._http.getresponse()
        except (OSError, http.client.HTTPException) as err:
            raise Gone from err


class Writer:
    """Writes its own ConfigMaps; knows what was acknowledged, and the one write whose answer it did not get."""

    def __init__(self, number: int, seed: int) -> None:
        self._names = [f"w{number}-{key}" for key in range(KEYS)]
        self._random = random.Random(seed * 1000 + number)
        self.acknowledged: dict[str, str | None] = dict.fromkeys(self._names)
        self.unknown: dict[str, str | None] = {}
        self.last_revision = 0
        self.n_acknowledged = 0
        self.problem = ""

    def run(self, service: ServiceProcess) -> None:
        """Write until the service is gone."""
        connection = Connection(service)
        try:
            while not self.problem:
                self._write(connection)
        except Gone:
            pass
        finally:
            connection.close()

    def _write(self, connection: Connection) -> None:
        name = self._random.choice(self._names)
        new: str | None = str(self.n_acknowledged)
        if self.acknowledged[name] is None:
            request = ("POST", MAPS, {"metadata": {"name": name}, "data": {"n": new, "much": "x" * 300}})
        elif self._random.random() < 0.3:
            new, request = None, ("DELETE", f"{MAPS}/{name}", {})
        else:
            request = ("PUT", f"{MAPS}/{name}", {"metadata": {"name": name}, "data": {"n": new}})
        self.unknown = {name: new}
        status, answer = connection.ask(*request)
        if status >= 300:
            if status != 503:  # 503 is said by a service that is stopping, which kill -9 does not let it do
                self.problem = f"{request[:2]}: {answer}"
            return
        self.acknowledged[name] = new
        self.unknown = {}
        self.n_acknowledged += 1
        self.last_revision = int(answer["metadata"].get("resourceVersion") or self.last_revision)

    def check(self, there: dict[str, str]) -> None:
        """Hold what is there after a crash against what was acknowledged."""
        for name in self._names:
            found, known = there.get(name), self.acknowledged[name]
            allowed = [known, *([self.unknown[name]] if name in self.unknown else [])]
            assert found in allowed, f"{name} is {found!r} and not {allowed}"
            self.acknowledged[name] = found
        self.unknown = {}


class PodWatcher:
    """Follows Pods through all lives of the service, each time from where it was, and counts their ends."""

    def __init__(self, revision: str) -> None:
        self._revision = revision
        self._phases: dict[str, str] = {}
        self.ends: defaultdict[str, list[str]] = defaultdict(list)

    def run(self, service: ServiceProcess) -> None:
        connection = Connection(service)
        try:
            path = f"{PODS}?watch=1&allowWatchBookmarks=true&resourceVersion={self._revision}"
            answer = connection.open("GET", path)
            while line := answer.readline():
                self._see(json.loads(line))
        except (Gone, OSError, http.client.HTTPException, ValueError):  # ValueError: half a line
            pass
        finally:
            connection.close()

    def _see(self, event: dict[str, Any]) -> None:
        assert event["type"] != "ERROR", event
        self._revision = event["object"]["metadata"]["resourceVersion"]
        if event["type"] == "BOOKMARK":
            return
        name, phase = event["object"]["metadata"]["name"], event["object"]["status"].get("phase", "")
        if phase != self._phases.get(name) and (phase in ENDED or self._phases.get(name) in ENDED):
            self.ends[name].append(phase)
        self._phases[name] = phase


def a_pod(name: str, notes: Path, chance: random.Random) -> dict[str, Any]:
    """Give a Pod that notes its start and its end, and ends with a code of its own."""
    code, pause_s = chance.choice((0, 3)), chance.uniform(0, 1.5)
    script = f"echo start >> {notes}/{name}; sleep {pause_s:.2f}; echo end >> {notes}/{name}; exit {code}"
    container = {"name": "main", "image": IMAGE, "command": ["sh", "-c", script]}
    return {
        "metadata": {"name": name, "labels": {"code": str(code)}},
        "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]},
    }


class Scene:
    """One data directory, its writers and its Pods."""

    def __init__(self, service: ServiceProcess, seed: int, notes: Path) -> None:
        self.service = service
        self.chance = random.Random(seed)
        self.writers = [Writer(number, seed) for number in range(WRITERS)]
        self.notes = notes
        self.asked: dict[str, str] = {}
        self.watcher: PodWatcher | None = None

    def live(self, life: int) -> None:
        """Let the service live until it is killed."""
        self.service.start()
        connection = Connection(self.service)
        self._check(connection)
        if self.watcher is None:
            self.watcher = PodWatcher(connection.ask("GET", PODS)[1]["metadata"]["resourceVersion"])
        bodies: list[Callable[[ServiceProcess], None]] = [writer.run for writer in self.writers]
        threads = [threading.Thread(target=run, args=(self.service,)) for run in [*bodies, self.watcher.run]]
        for thread in threads:
            thread.start()
        try:
            for number in range(PODS_A_LIFE):
                pod = a_pod(f"p{life}-{number}", self.notes, self.chance)
                status, answer = connection.ask("POST", PODS, pod)
                assert status == 201, answer
                self.asked[pod["metadata"]["name"]] = pod["metadata"]["labels"]["code"]
            if life == 0:  # else a slow machine could kill each life before anybody had an answer
                wait_for("an answer to each writer", lambda: all(writer.n_acknowledged for writer in self.writers))
            time.sleep(self.chance.uniform(0, 0.5))  # not a wait: the moment of the crash is what is varied
        finally:
            self.service.kill()
            connection.close()
            for thread in threads:
                thread.join(30)
        assert not [writer.problem for writer in self.writers if writer.problem]

    def die_young(self) -> None:
        """Kill the service while it starts."""
        options = ["--data", str(self.service.data), "--port", "0", "--stop-pods"]
        with self.service.log.open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "beamhall", "up", *options], stdout=subprocess.DEVNULL, stderr=log
            )
        time.sleep(self.chance.uniform(0.1, 0.8))  # as above
        process.kill()
        process.wait()

    def _check(self, connection: Connection) -> None:
        answer = connection.ask("GET", MAPS)[1]
        there = {item["metadata"]["name"]: item["data"].get("n") for item in answer["items"]}
        for writer in self.writers:
            writer.check(there)
            assert int(answer["metadata"]["resourceVersion"]) >= writer.last_revision

    def end(self) -> None:
        """Start once more, let every Pod end, and look at all of it."""
        self.service.start()
        connection = Connection(self.service)
        self._check(connection)
        assert self.watcher is not None
        watching = threading.Thread(target=self.watcher.run, args=(self.service,))
        watching.start()

        def pods() -> dict[str, Any] | None:
            items = connection.ask("GET", PODS)[1]["items"]
            are_ended = all(pod["status"].get("phase") in ENDED for pod in items)
            return {pod["metadata"]["name"]: pod for pod in items} if are_ended else None

        found = wait_for("every Pod to end", pods, 60)
        assert found is not None
        assert found.keys() == self.asked.keys(), "a Pod that was acknowledged is there, and no other"
        for name, code in self.asked.items():
            (container,) = found[name]["status"]["containerStatuses"]
            assert container["state"]["terminated"]["exitCode"] == int(code), (name, container)
            assert container["restartCount"] == 0
            assert (self.notes / name).read_text() == "start\nend\n", f"{name} ran once"
        wait_for("the watcher", lambda: self.watcher is not None and self.watcher.ends.keys() == self.asked.keys())
        expected = {name: ["Succeeded" if code == "0" else "Failed"] for name, code in self.asked.items()}
        assert self.watcher.ends == expected, "every end was told once"
        wait_for("all processes of Pods to be gone", lambda: not self.service.processes())
        self.service.kill()
        watching.join(30)
        connection.close()
        wait_for("every helper of the service to be gone", lambda: not processes_of(self.service.data))


def processes_of(data: Path) -> list[str]:
    """Give the command lines of processes that have to do with a data directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if str(data).encode() in line and state != "Z":
                found.append(line.replace(b"\0", b" ").decode(errors="replace")[:300])
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_or_done_twice(
    make_service: Callable[..., ServiceProcess], tmp_path: Path, seed: int
) -> None:  # fmt: skip
    service = make_service()
    service.data.mkdir(exist_ok=True)
    service.start()
    service.add_image(IMAGE, "python", CODE)
    service.kill()
    notes = tmp_path / "notes"
    notes.mkdir()
    scene = Scene(service, seed, notes)
    n_kills = 0
    while n_kills < KILLS:
        scene.live(n_kills)
        n_kills += 1
        if scene.chance.random() < 0.3:
            scene.die_young()
            n_kills += 1
    scene.end()
    assert all(writer.n_acknowledged for writer in scene.writers)
