"""Runs with a pipeline root in S3, submitted by ``kfp.Client``: what they keep is read back through the API."""

import base64
import io
import json
import os
import signal
import tarfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from beamhall.embedded.agent.sandbox import detect_capabilities
from tests.s3_server import S3Server, s3_server
from tests.service import ServiceProcess

kfp = pytest.importorskip("kfp")

from kfp import dsl  # noqa: E402


def _produce(model: dsl.Output[dsl.Model], tree: dsl.Output[dsl.Artifact]):
    script = 'echo told; printf 0123456789 > "$0"; mkdir -p "$1/deep"; printf leaf > "$1/deep/leaf"'
    return dsl.ContainerSpec(image="python:3.11", command=["sh", "-ec", script], args=[model.path, tree.path])


def _consume(model: dsl.Input[dsl.Model], tree: dsl.Input[dsl.Artifact], copy: dsl.Output[dsl.Dataset]):
    script = 'cat "$0" "$1/deep/leaf" > "$2"; echo "copied $0"'
    arguments = [model.path, tree.path, copy.path]
    return dsl.ContainerSpec(image="python:3.11", command=["sh", "-ec", script], args=arguments)


produce, consume = dsl.container_component(_produce), dsl.container_component(_consume)


@dsl.pipeline(name="stored")
def stored():
    made = produce().set_cpu_request("500m").set_caching_options(False)
    used = consume(model=made.outputs["model"], tree=made.outputs["tree"])
    used.set_cpu_request("500m").set_caching_options(False)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        server.client().create_bucket(Bucket="lab")
        yield server


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServiceProcess]:
    service = ServiceProcess(tmp_path / "data", "--stop-pods")
    service.data.mkdir()
    service.start()
    yield service
    service.stop()
    for pid in service.processes():
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def web(served: ServiceProcess) -> Iterator[httpx2.Client]:
    headers = {"authorization": f"Bearer {served.token}"}
    with httpx2.Client(base_url=served.url, headers=headers, timeout=60) as client:
        yield client


def test_what_a_run_keeps_in_a_store_is_read_through_the_api(
    served: ServiceProcess, web: httpx2.Client, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not detect_capabilities().mounts.works:
        pytest.skip("this machine permits no mount namespaces")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    credentials = {"secretRef": {"secretName": "store", "accessKeyKey": "a", "secretKeyKey": "s"}}
    provider = {"endpoint": s3.url, "region": "us-east-1", "credentials": credentials}
    keys = {name: base64.b64encode(text.encode()).decode() for name, text in (("a", s3.key), ("s", s3.secret))}
    core = "/k8s/api/v1/namespaces/default"
    for what, name, data in (
        ("secrets", "store", keys),
        ("configmaps", "kfp-launcher", {"providers": json.dumps({"s3": {"default": provider}})}),
    ):
        web.post(f"{core}/{what}", json={"metadata": {"name": name}, "data": data}).raise_for_status()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        client = kfp.Client(host=served.url, existing_token=served.token)
        run_id = client.create_run_from_pipeline_func(stored, pipeline_root="s3://lab/mine").run_id
    run = client.wait_for_run_completion(run_id, timeout=100, sleep_duration=0.2)
    assert run.state == "SUCCEEDED", run.error
    api = "/apis/v2beta1"
    found = web.get(f"{api}/artifacts", params={"namespace": "default", "page_size": 50}).json()["artifacts"]
    artifacts: dict[str, Any] = {one["name"]: one for one in found}
    root = f"s3://lab/mine/stored/{run_id}"
    assert {name: one["uri"] for name, one in artifacts.items()} == {
        "model": f"{root}/produce/0/model", "tree": f"{root}/produce/0/tree", "copy": f"{root}/consume/0/copy",
    }  # fmt: skip

    def download(name: str, **headers: str) -> httpx2.Response:
        return web.get(f"{api}/artifacts/{artifacts[name]['artifact_id']}:download", headers=headers)

    assert download("copy").content == b"0123456789leaf"
    part = download("model", range="bytes=2-4")
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    with tarfile.open(fileobj=io.BytesIO(download("tree").content)) as archive:
        leaf = archive.extractfile(next(name for name in archive.getnames() if name.endswith("leaf")))
        assert leaf is not None
        assert leaf.read() == b"leaf"
    log = web.get(f"/apis/v1alpha1/runs/{run_id}/nodes/consume/log")
    assert log.text == f"copied /s3/{root.removeprefix('s3://')}/produce/0/model\n"
    s3.client().delete_object(Bucket="lab", Key=f"mine/stored/{run_id}/consume/0/copy")
    gone = download("copy")
    assert (gone.status_code, "there is nothing at" in gone.text) == (404, True)
