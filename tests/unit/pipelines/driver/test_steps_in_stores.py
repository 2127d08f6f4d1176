# ruff: noqa: PLC0415, PTH103, PTH110, PTH123
"""Runs whose files are in a store: real Pods, the KFP SDK's own command lines, a real S3 server."""

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, dsl

from beamhall.app.service import serving
from beamhall.app.settings import Settings
from beamhall.embedded.agent.sandbox import detect_capabilities
from beamhall.history.history import History, sqlite_url
from beamhall.kernel.kinds import CONFIG_MAP, SECRET
from beamhall.pipelines.driver.settings import DriverSettings
from beamhall.pipelines.roots import Roots
from beamhall.storage import Storage
from tests.api_server import RealClock
from tests.models.pipeline_driver import World
from tests.s3_server import S3Server, s3_server


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def prepare(data: dsl.Output[dsl.Dataset], tree: dsl.Output[dsl.Artifact]) -> int:
    import os

    assert data.path.startswith("/s3/"), data.path
    assert "lab-secret" not in str(os.environ)
    with open(data.path, "w") as file:
        file.write("prepared")
    os.makedirs(f"{tree.path}/deep")
    with open(f"{tree.path}/deep/leaf", "w") as file:
        file.write("leaf")
    data.metadata["rows"] = 7
    print("prepared it")
    return 41


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def train(data: dsl.Input[dsl.Dataset], tree: dsl.Input[dsl.Artifact], n: int, model: dsl.Output[dsl.Model]) -> str:
    with open(data.path) as file, open(f"{tree.path}/deep/leaf") as leaf, open(model.path, "w") as out:
        out.write(f"{file.read()} {leaf.read()} {n} {data.metadata['rows']}")
    return str(model.uri)


@dsl.pipeline(name="in-store")
def in_store() -> None:
    made = prepare().set_cpu_request("500m")  # who asks for nothing stands back, and tests may run beside much else
    task = train(data=made.outputs["data"], tree=made.outputs["tree"], n=made.outputs["Output"])
    task.set_cpu_request("500m")


def specification(directory: Path) -> Mapping[str, Any]:
    """Compile the pipeline, for the Python that has the SDK."""
    file = directory / "pipeline.yaml"
    compiler.Compiler().compile(in_store, str(file))
    text = json.dumps(yaml.safe_load(file.read_text()))
    return dict(json.loads(text.replace("python3 -m kfp", f"{sys.executable} -m kfp")))


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        server.client().create_bucket(Bucket="lab")
        yield server


@pytest.fixture
async def world(tmp_path: Path, s3: S3Server) -> AsyncIterator[World]:
    history = History(sqlite_url(tmp_path / "runs.db"))
    storage, clock = Storage(), RealClock()
    async with serving(Settings(data=tmp_path / "data", port=0, log_level="error")) as running:
        providers = {"s3": {"default": {
            "endpoint": s3.url, "region": "us-east-1", "maxRetries": 1,
            "credentials": {"secretRef": {"secretName": "store", "accessKeyKey": "a", "secretKeyKey": "s"}},
        }}}  # fmt: skip
        data = {"defaultPipelineRoot": "s3://lab/root", "providers": json.dumps(providers)}
        await running.client.create(
            CONFIG_MAP, {"metadata": {"name": "kfp-launcher", "namespace": "default"}, "data": data}
        )
        keys = {name: base64.b64encode(text.encode()).decode() for name, text in (("a", s3.key), ("s", s3.secret))}
        await running.client.create(SECRET, {"metadata": {"name": "store", "namespace": "default"}, "data": keys})
        made = World(
            tmp_path, history, DriverSettings(str(tmp_path / "artifacts")), client=running.client, namespace="default",
            root_of=Roots(running.client, storage, clock).of,
        )  # fmt: skip
        async with made.driver():
            yield made
    storage.close()
    await history.close()


async def test_steps_hand_on_artifacts_through_a_store(world: World, s3: S3Server, tmp_path: Path) -> None:
    if not detect_capabilities().mounts.works:
        pytest.skip("this machine permits no mount namespaces")
    document = await asyncio.to_thread(specification, tmp_path)
    run_id = await world.submit(document)
    run = await world.ended(run_id, 100)
    assert (run.state, run.error) == ("SUCCEEDED", "")
    root = f"s3://lab/root/in-store/{run_id}"
    assert run.pipeline_root == "s3://lab/root"
    tasks = await world.tasks(run_id)
    assert tasks["/train"].outputs["parameters"]["Output"] == f"{root}/train/0/model"
    client = s3.client()

    def stored(name: str, run_id: str = run_id) -> bytes:
        body: bytes = client.get_object(Bucket="lab", Key=f"root/in-store/{run_id}/{name}")["Body"].read()
        return body

    assert stored("train/0/model") == b"prepared leaf 41 7"
    assert stored("prepare/0/tree/deep/leaf") == b"leaf"
    assert json.loads(stored("prepare/0/executor_output.json"))["parameterValues"] == {"Output": 41}

    async def is_kept() -> bool:
        root_of = await world.root_of("default")
        return bool(await root_of.storage.exists(f"{root}/prepare/0/logs/main.log"))

    await world.until(is_kept)
    assert b"prepared it\n" in stored("prepare/0/logs/main.log")
    assert not list((tmp_path / "artifacts").glob("*"))
    assert not os.path.exists("/s3/lab")

    again = await world.submit(document)
    assert (await world.ended(again, 100)).state == "SUCCEEDED"
    assert all(task.cached for path, task in (await world.tasks(again)).items() if path)
    client.delete_object(Bucket="lab", Key=f"root/in-store/{run_id}/train/0/model")
    third = await world.submit(document)
    assert (await world.ended(third, 100)).state == "SUCCEEDED"
    found = await world.tasks(third)
    assert (found["/prepare"].cached, found["/train"].cached) == (True, False)
    assert (
        client.get_object(Bucket="lab", Key=f"root/in-store/{third}/train/0/model")["Body"].read()
        == b"prepared leaf 41 7"
    )


async def test_what_is_wrong_with_a_store_is_said_in_the_error_of_the_run(world: World, tmp_path: Path) -> None:
    run_id = await world.submit(await asyncio.to_thread(specification, tmp_path), pipeline_root="s3://nobucket/x")
    run = await world.ended(run_id, 100)
    assert run.state == "FAILED"
    assert "there is no bucket 'nobucket' in this store" in run.error
