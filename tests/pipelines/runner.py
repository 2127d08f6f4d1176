"""Cases and other pipelines on a running service, by the real SDK."""

import re
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import kfp
from kfp.compiler import Compiler

from tests.pipelines.cases import ENDED, Case, Ended
from tests.service import ServiceProcess

PATIENCE_S = 100.0


class Runner:
    """What submits pipelines to one service and waits for their ends.

    Args:
        service: It runs.
        directory: Compiled pipelines and shared directories go below it.
    """

    def __init__(self, service: ServiceProcess, directory: Path) -> None:
        self.service = service
        self._directory = directory
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self.client: Any = kfp.Client(host=service.url, existing_token=service.token, namespace="default")
        headers = {"authorization": f"Bearer {service.token}"}
        base = f"{service.url}/apis/v2beta1"
        self.http = httpx2.Client(base_url=base, headers=headers, trust_env=False, timeout=60)

    def close(self) -> None:
        """Close its connections."""
        self.http.close()

    def shared(self, name: str) -> Path:
        """Give a directory that steps may write to; it is there."""
        path = self._directory / "shared" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def compile(self, pipeline: Any) -> Path:
        """Compile a pipeline, as ``kfp dsl compile`` does."""
        path = self._directory / f"{pipeline.name}.yaml"
        if path.exists():
            return path
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Compiler().compile(pipeline, str(path))
        return path

    def start(self, pipeline: Any, /, caching: bool | None = False, root: str | None = None, **arguments: Any) -> str:
        """Start a run, and give its id."""
        started = self.client.create_run_from_pipeline_package(
            str(self.compile(pipeline)), arguments=arguments, run_name=pipeline.name, enable_caching=caching,
            pipeline_root=root,
        )  # fmt: skip
        return str(started.run_id)

    def start_case(self, case: Case) -> str:
        """Start the run of a case."""
        place = str(self.shared(case.name))
        given = {k: v.replace("{shared}", place) if isinstance(v, str) else v for k, v in case.arguments.items()}
        return self.start(case.pipeline, caching=None if case.caching else False, **given)

    def get(self, path: str, **query: Any) -> Mapping[str, Any]:
        """Ask the service for something."""
        answer = self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        found: Mapping[str, Any] = answer.json()
        return found

    def ended(self, run_id: str, patience_s: float = PATIENCE_S) -> Ended:
        """Wait for the end of a run."""
        deadline = time.monotonic() + patience_s
        while (run := self.get(f"/runs/{run_id}")).get("state") not in ENDED:
            assert time.monotonic() < deadline, f"{run['display_name']} is {run.get('state')}: {self.tasks(run_id)}"
            time.sleep(0.1)
        return Ended(self.http, run, self.tasks(run_id))

    def tasks(self, run_id: str) -> Mapping[str, Mapping[str, Any]]:
        """Give the tasks of a run by path."""
        found: dict[str, Mapping[str, Any]] = {}
        query: dict[str, Any] = {"run_id": run_id, "page_size": 200}
        while True:
            page = self.get("/tasks", **query)
            for task in page.get("tasks", ()):
                path = task.get("path", "")
                assert path not in found, f"{path} is listed twice"
                found[path] = task
            if not page.get("next_page_token"):
                return found
            query["page_token"] = page["next_page_token"]

    def outcome(self, run_id: str) -> Ended:
        """Give a run as it is now."""
        return Ended(self.http, self.get(f"/runs/{run_id}"), self.tasks(run_id))


def natural(path: str) -> list[Any]:
    """Give a key that sorts paths by the numbers in them."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path)]
