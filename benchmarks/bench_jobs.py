"""Many short Jobs: 1,000 of one process each, from the first create to the last Complete, over HTTP."""

import asyncio
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import yaml

from benchmarks.figures import figure
from tests.service import ServiceProcess, wait_for

JOBS = 1_000
CLIENTS = 16
PROGRAM = "/bin/true"
PATH = "/k8s/apis/batch/v1/namespaces/default/jobs"


def measure() -> Iterator[dict[str, Any]]:
    """Measure how many Jobs are finished a second, beside the same programs started one after another."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as directory:
        service = ServiceProcess(Path(directory) / "data", "--stop-pods")
        service.data.mkdir()
        content = {
            "environments": {"empty": {"requirements": []}},
            "images": [{"image": "bench/empty", "environment": "empty"}],
        }
        (service.data / "images.yaml").write_text(yaml.safe_dump(content))
        service.start()
        try:
            headers = {"authorization": f"Bearer {service.token}"}
            with httpx2.Client(base_url=service.url, headers=headers, trust_env=False) as http:
                wait_for("the namespace", lambda: http.get("/k8s/api/v1/namespaces/default").status_code == 200)
            asyncio.run(_run(service, "warm-up", 1))  # makes the environment
            taken_s = asyncio.run(_run(service, "bench", JOBS))
        finally:
            service.stop()
    began = time.monotonic()
    for _ in range(JOBS):
        subprocess.run([PROGRAM], check=True)
    alone = JOBS / (time.monotonic() - began)
    yield figure("jobs_finished", "per s", [JOBS / taken_s], at_least=40, peer_subprocess=alone)


async def _run(service: ServiceProcess, prefix: str, number: int) -> float:
    """Make Jobs and wait until all are complete; give the seconds."""
    headers = {"authorization": f"Bearer {service.token}"}
    async with httpx2.AsyncClient(base_url=service.url, headers=headers, trust_env=False, timeout=300) as http:
        revision = (await http.get(PATH)).json()["metadata"]["resourceVersion"]
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            names = iter([f"{prefix}-{i}" for i in range(number)])
            for _ in range(min(CLIENTS, number)):
                group.create_task(_create(http, names))
            group.create_task(_wait(http, revision, number))
        return time.monotonic() - began


async def _create(http: httpx2.AsyncClient, names: Iterator[str]) -> None:
    for name in names:
        container = {"name": "main", "image": "bench/empty", "command": [PROGRAM]}
        template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
        job = {"metadata": {"name": name}, "spec": {"template": template}}
        (await http.post(PATH, json=job)).raise_for_status()


async def _wait(http: httpx2.AsyncClient, revision: str, number: int) -> None:
    """Follow the Jobs by a watch until so many are complete."""
    done: set[str] = set()
    query = {"watch": "1", "resourceVersion": revision}
    async with http.stream("GET", PATH, params=query) as changes:
        async for line in changes.aiter_lines():
            job = json.loads(line)["object"]
            for condition in (job.get("status") or {}).get("conditions") or ():
                assert condition["type"] != "Failed", condition
                if condition["type"] == "Complete":
                    done.add(job["metadata"]["name"])
            if len(done) == number:
                return
