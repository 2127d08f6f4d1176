"""One Pod at a time: from create to its process, and a warm Python Pod from create to Succeeded."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import yaml

from benchmarks.figures import figure
from tests.service import ServiceProcess, wait_for

RUNS = 40
PODS = "/k8s/api/v1/namespaces/default/pods"


def measure() -> Iterator[dict[str, Any]]:
    """Measure over HTTP, as a client sees it, each beside the same command started without the service."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as directory:
        service = ServiceProcess(Path(directory) / "data", "--stop-pods")
        service.data.mkdir()
        (service.data / "images.yaml").write_text(
            yaml.safe_dump(
                {
                    "environments": {"numbers": {"requirements": ["numpy"], "warm": ["numpy"]}},
                    "images": [{"image": "bench/numbers", "environment": "numbers"}],
                }
            )
        )
        service.start()
        try:
            yield from _measure(Pods(service), service)
        finally:
            service.stop()


def _measure(pods: "Pods", service: ServiceProcess) -> Iterator[dict[str, Any]]:
    python = next(service.data.glob("environments/numbers-*/bin/python"), None)
    pods.run(["true"])  # makes the environment
    python = next(service.data.glob("environments/numbers-*/bin/python"))
    date = ["date", "+%s.%N"]
    started = [pods.run(date)[0] for _ in range(RUNS)]
    alone = _median_ms(lambda: float(subprocess.check_output(date)))
    yield figure("pod_create_to_process", "ms", started, at_most=30, peer_subprocess=alone)
    program = ["python", "-c", "import numpy"]
    for _ in range(3):
        pods.run(program)  # the warm parent is made
    ended = [pods.run(program)[1] for _ in range(RUNS)]
    fresh = _median_ms(lambda: subprocess.run([str(python), "-c", "import numpy"], check=True))
    yield figure("warm_numpy_pod_create_to_succeeded", "ms", ended, at_most=60, peer_fresh_python=fresh)


def _median_ms(run: Callable[[], Any]) -> float:
    taken = []
    for _ in range(RUNS):
        before = time.time()
        answer = run()
        taken.append(1000 * ((answer if isinstance(answer, float) else time.time()) - before))
    return sorted(taken)[RUNS // 2]


class Pods:
    """Runs Pods one after another on a service."""

    def __init__(self, service: ServiceProcess) -> None:
        headers = {"authorization": f"Bearer {service.token}"}
        self._http = httpx2.Client(base_url=service.url, headers=headers, trust_env=False, timeout=120)
        self._n = 0
        wait_for("the namespace", lambda: self._http.get("/k8s/api/v1/namespaces/default").status_code == 200)

    def run(self, command: list[str], image: str = "bench/numbers") -> tuple[float, float]:
        """Run one Pod; give the ms from create to the time that its program prints, and to the Succeeded event."""
        self._n += 1
        name = f"bench-{self._n}"
        container = {"name": "main", "image": image, "command": command}
        pod = {"metadata": {"name": name}, "spec": {"restartPolicy": "Never", "containers": [container]}}
        revision = self._http.get(PODS).json()["metadata"]["resourceVersion"]
        query = {"watch": "1", "resourceVersion": revision, "fieldSelector": f"metadata.name={name}"}
        with self._http.stream("GET", PODS, params=query) as changes:
            created = time.time()
            self._http.post(PODS, json=pod).raise_for_status()
            for line in changes.iter_lines():
                phase = json.loads(line)["object"].get("status", {}).get("phase")
                if phase in ("Succeeded", "Failed"):
                    break
            ended = time.time()
        assert phase == "Succeeded", phase
        printed = self._http.get(f"{PODS}/{name}/log").text.strip() if command[0] == "date" else ""
        self._http.delete(f"{PODS}/{name}")
        return 1000 * (float(printed or ended) - created), 1000 * (ended - created)
