"""Reports of progress: from a Pod of the very TrainJob only, whole or not at all, and all else is passed on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import pytest

from beamhall.client.local import LocalClient
from beamhall.client.protocol import Client
from beamhall.embedded.api.factory import create_app, create_resource_api
from beamhall.embedded.store.store import Store
from beamhall.gateway.progress import ProgressReports
from beamhall.kernel.identity import User
from beamhall.kernel.kinds import CUSTOM_RESOURCE_DEFINITION, NAMESPACE, POD, SERVICE_ACCOUNT, TRAIN_JOB
from beamhall.training.trainjobs.registry import trainer_definitions
from tests.api_server import ADMIN, RealClock, as_admin

_PATH = "/k8s/apis/trainer.kubeflow.org/v1alpha1/namespaces/lab/trainjobs/t/status"
_STATUS = {
    "progressPercentage": 40,
    "metrics": [{"name": "loss", "value": "0.5"}],
    "lastUpdatedTime": "2026-01-02T03:04:05.678+00:00",
}


class _Reports:
    """Reports from a Pod to an API server of the test's own."""

    def __init__(self, client: Client, app: Any, pod: dict[str, Any]) -> None:
        self._client = client
        self._app = app
        self._pod = pod

    async def post(self, body: Any, path: str = _PATH, **identity: str) -> httpx2.Response:
        """Send a report as the Pod, or as one with another ``name`` or ``uid``."""
        who = {"name": self._pod["metadata"]["name"], "uid": self._pod["metadata"]["uid"]} | identity
        extra = {f"authentication.kubernetes.io/pod-{key}": (value,) for key, value in who.items()}
        user = User("system:serviceaccount:lab:default", ("system:serviceaccounts",), extra=extra)
        transport = httpx2.ASGITransport(as_admin(self._app, user))
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as http:
            return await http.post(path, **content)

    async def told(self) -> Any:
        return (await self._client.get(TRAIN_JOB, "t", "lab")).get("status", {}).get("trainerStatus")


@asynccontextmanager
async def _reports(tmp_path: Path) -> AsyncIterator[_Reports]:
    store = await Store.open(tmp_path / "objects.db")
    try:
        api = create_resource_api(store, RealClock(), Random(1))
        client = LocalClient(api, ADMIN)
        for definition in trainer_definitions():
            await client.create(CUSTOM_RESOURCE_DEFINITION, definition)
        await client.create(NAMESPACE, {"metadata": {"name": "lab"}})
        await client.create(SERVICE_ACCOUNT, {"metadata": {"name": "default", "namespace": "lab"}})
        job = {"metadata": {"name": "t", "namespace": "lab"}, "spec": {"runtimeRef": {"name": "r"}}}
        await client.create(TRAIN_JOB, job)
        labels = {"jobset.sigs.k8s.io/jobset-name": "t"}
        pod = {
            "metadata": {"name": "p", "namespace": "lab", "labels": labels},
            "spec": {"containers": [{"name": "node", "image": "i"}]},
        }
        made = await client.create(POD, pod)
        yield _Reports(client, ProgressReports(create_app(api), client), made)
    finally:
        await store.close()


@pytest.mark.parametrize("path", [_PATH, _PATH.removeprefix("/k8s")])
async def test_a_report_replaces_the_one_before(tmp_path: Path, path: str) -> None:
    async with _reports(tmp_path) as reports:
        answer = await reports.post({"trainerStatus": _STATUS | {"estimatedRemainingSeconds": 9}}, path)
        assert (answer.status_code, answer.json()["trainerStatus"]["progressPercentage"]) == (200, 40)
        assert (await reports.told())["estimatedRemainingSeconds"] == 9
        assert (await reports.post({"trainerStatus": _STATUS}, path)).status_code == 200
        assert await reports.told() == {**_STATUS, "lastUpdatedTime": "2026-01-02T03:04:05Z"}
        assert (await reports.post({}, path)).status_code == 200
        assert (await reports.told())["progressPercentage"] == 40


@pytest.mark.parametrize(
    ("path", "identity"),
    [
        (_PATH.replace("/t/", "/other/"), {}),
        (_PATH.replace("/lab/", "/default/"), {}),
        (_PATH, {"uid": "another"}),
        (_PATH, {"name": "gone"}),
        (_PATH, {"name": ""}),
    ],
)
async def test_who_is_no_pod_of_the_trainjob_is_refused(tmp_path: Path, path: str, identity: dict[str, str]) -> None:
    async with _reports(tmp_path) as reports:
        answer = await reports.post({"trainerStatus": _STATUS}, path, **identity)
        assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")
        assert await reports.told() is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"no json", 422),
        (b"[]", 422),
        ({"trainerStatus": [1]}, 422),
        ({"trainerStatus": _STATUS | {"progressPercentage": 101}}, 422),
        ({"trainerStatus": _STATUS | {"lastUpdatedTime": "now"}}, 422),
        ({"trainerStatus": {"progressPercentage": 1}}, 422),
        (b" " * 70_000, 400),
    ],
)
async def test_what_is_no_report_is_refused(tmp_path: Path, body: Any, code: int) -> None:
    async with _reports(tmp_path) as reports:
        answer = await reports.post(body)
        assert (answer.status_code, answer.json()["kind"]) == (code, "Status")
        assert await reports.told() is None


async def test_everything_else_is_passed_on(tmp_path: Path) -> None:
    async with _reports(tmp_path) as reports:
        answer = await reports.post({}, "/api/v1/namespaces/lab/pods")
        assert answer.status_code == 403  # by the API's own rules: this account may make no Pods
        assert "cannot create resource" in answer.json()["message"]
