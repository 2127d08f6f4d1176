"""The service is killed while Jobs run: every program runs once, and what runs for ever is there once."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tests.service import ServiceProcess, needs_kubectl, wait_for

pytestmark = needs_kubectl
COMPLETIONS = 60
KILLS = 3


def _job(name: str, seen: Path, **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "small", "command": ["sh", "-c", f"echo x >> {seen}; sleep 0.05"]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    spec = {"completions": COMPLETIONS, "parallelism": 8, "template": template, **spec}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def _deployment() -> dict[str, Any]:
    container = {"name": "c", "image": "small", "command": ["sleep", "1000"]}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def _has_lines(file: Path, number: int) -> bool:
    return len(file.read_text().splitlines()) >= number


def test_nothing_runs_twice(make_service: Callable[..., ServiceProcess], tmp_path: Path) -> None:
    service = make_service()
    content = {"environments": {"small": {"requirements": []}}, "images": [{"image": "small", "environment": "small"}]}
    (service.data / "images.yaml").write_text(yaml.safe_dump(content))
    service.start()
    seen = {name: tmp_path / name for name in ("plain", "parts")}
    for file in seen.values():
        file.touch()
    objects = [_job("plain", seen["plain"]), _job("parts", seen["parts"], completionMode="Indexed"), _deployment()]
    service.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))
    for number in range(1, KILLS + 1):
        least = number * COMPLETIONS // (KILLS + 1)
        wait_for("some programs to run", partial(_has_lines, seen["plain"], least), 60)
        service.kill()
        service.start()
    service.kubectl("wait", "job/plain", "job/parts", "--for=condition=Complete", "--timeout=60s")
    for name, file in seen.items():
        job = json.loads(service.kubectl("get", "job", name, "-o", "json"))
        pods = json.loads(service.kubectl("get", "pods", "-l", f"job-name={name}", "-o", "json"))["items"]
        counts = (job["status"]["succeeded"], job["status"].get("failed", 0), len(pods))
        assert counts == (COMPLETIONS, 0, COMPLETIONS)
        assert len(file.read_text().splitlines()) == COMPLETIONS
    service.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert len(json.loads(service.kubectl("get", "pods", "-l", "app=web", "-o", "json"))["items"]) == 3
