"""kill -9 of the service in the middle of a TFJob: it goes on, and ends exactly once with the right status."""

import json
import random
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.programs import CODE, IMAGE, tfjob
from tests.service import ServiceProcess, wait_for

JOBS = "/k8s/apis/kubeflow.org/v1/namespaces/lab/tfjobs"
PODS = "/k8s/api/v1/namespaces/lab/pods"


class Api:
    """Plain HTTP to a service, as curl would."""

    def __init__(self, service: ServiceProcess) -> None:
        self._url = service.url
        self._options: dict[str, Any] = {
            "headers": {"authorization": f"Bearer {service.token}"},
            "trust_env": False,
            "timeout": 30,
        }

    def post(self, path: str, body: object) -> dict[str, Any]:
        answer = httpx2.post(self._url + path, json=body, **self._options)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def get(self, path: str) -> dict[str, Any]:
        answer = httpx2.get(self._url + path, **self._options)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def text(self, path: str) -> str:
        return httpx2.get(self._url + path, **self._options).text


def _is_running(api: Api, name: str) -> bool:
    pods = api.get(PODS)["items"]
    return len(pods) == 3 and all(pod["status"]["phase"] == "Running" for pod in pods)


def _conditions(job: dict[str, Any]) -> dict[str, str]:
    return {c["type"]: c["status"] for c in job.get("status", {}).get("conditions", [])}


@pytest.mark.parametrize("seed", range(3))
def test_a_tfjob_survives_kills_of_the_service(make_service: Callable[..., ServiceProcess], seed: int) -> None:
    chance = random.Random(seed)
    service = make_service()
    service.start()
    service.add_image(IMAGE, "python", CODE)
    api = Api(service)
    api.post("/k8s/api/v1/namespaces", {"metadata": {"name": "lab"}})
    steps = 60
    name = api.post(JOBS, tfjob("lab", workers=2, steps=steps, pause_s=0.05, success_policy="AllWorkers"))["metadata"][
        "name"
    ]
    if seed:  # seed 0 kills at once, in the middle of starting
        wait_for("the job to run", lambda: _is_running(api, name))
    time.sleep(chance.uniform(0, 1.5))  # not a wait: the moment of the crash is what is varied
    service.kill()
    service.start()
    api = Api(service)

    def ended() -> dict[str, Any] | None:
        job = api.get(f"{JOBS}/{name}")
        return job if {"Succeeded", "Failed"} & _conditions(job).keys() else None

    job = wait_for("the job to end", ended, 60)
    assert job is not None
    assert _conditions(job) == {"Created": "True", "Running": "False", "Succeeded": "True"}
    log = api.text(f"{PODS}/{name}-worker-0/log").splitlines()
    said = [line for line in log if line.startswith("worker 0 step")]
    assert [line.split()[3] for line in said] == [f"{i}/{steps}" for i in range(1, steps + 1)], (
        "each step once, none lost"
    )
    assert json.dumps(job["status"]).count("completionTime") == 1
    statuses = [c for pod in api.get(PODS)["items"] for c in pod["status"]["containerStatuses"]]
    assert {c["restartCount"] for c in statuses} == {0}, json.dumps(statuses)


def test_pods_run_on_while_the_service_is_down(make_service: Callable[..., ServiceProcess]) -> None:
    service = make_service()
    service.start()
    service.add_image(IMAGE, "python", CODE)
    api = Api(service)
    api.post("/k8s/api/v1/namespaces", {"metadata": {"name": "lab"}})
    name = api.post(JOBS, tfjob("lab", workers=2, steps=40, pause_s=0.05, success_policy="AllWorkers"))["metadata"][
        "name"
    ]
    wait_for("the job to run", lambda: _is_running(api, name))
    service.kill()
    wait_for("the workers to end by themselves", lambda: len(list(service.data.glob("pods/*/**/exit.json"))) == 2)
    service.start()
    api = Api(service)
    wait_for("the job to be seen as ended", lambda: _conditions(api.get(f"{JOBS}/{name}")).get("Succeeded") == "True")
    assert "worker 1 step 40/40" in api.text(f"{PODS}/{name}-worker-1/log")
