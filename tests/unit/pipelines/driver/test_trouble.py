"""What goes wrong around runs: each ends in a clear row, and the driver goes on."""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from beamhall.history.queries import Where
from beamhall.history.records import Artifact, Run, Task
from beamhall.kernel.errors import ApiError, BadRequest, Forbidden, Invalid, ServiceUnavailable
from beamhall.kernel.kinds import PERSISTENT_VOLUME_CLAIM, POD
from tests.models.cluster import unavailable
from tests.models.pipeline_driver import FOREVER, Act, World
from tests.unit.pipelines.dags import INPUTS, task
from tests.unit.pipelines.driver.specs import document

ONE = document({"a": task()})
WELL = Act(parameters={"out": 1, "xs": []})


@pytest.fixture(autouse=True)
def goes_well(world: World) -> None:
    world.behave = lambda path, given: WELL


@pytest.mark.parametrize("error", [Forbidden("exceeded quota: lab"), Invalid("spec.containers[0].image: bad")])
async def test_a_pod_that_may_not_be_made_fails_its_step(world: World, error: ApiError) -> None:
    async with world.driver():
        world.cluster.failures.append(("before", error))
        run = await world.ended(await world.submit(ONE))
        assert run.error == f"/a: it could not be started: {error.message}"
        assert (await world.ended(await world.submit(ONE))).state == "SUCCEEDED"


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_lost_answer_is_asked_for_again(world: World, when: Any) -> None:
    async with world.driver():
        world.cluster.failures.append(unavailable(when))
        run = await world.ended(await world.submit(ONE))
    assert run.state == "SUCCEEDED", run.error
    assert world.begun == ["/a"]


async def test_while_the_history_cannot_be_written_nothing_is_done_and_nothing_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_full, tried = True, 0
    write = world.history.write

    async def maybe(do: Callable[[Any], Any]) -> Any:
        nonlocal tried
        if is_full:
            tried += 1
            raise ServiceUnavailable("the disk is full")
        return await write(do)

    async with world.driver():
        run_id = await world.submit(ONE)
        monkeypatch.setattr(world.history, "write", maybe)
        world.signals.wake(run_id)
        await world.until(lambda: tried > 1)
        assert not world.begun
        is_full = False
        run = await world.ended(run_id)
    assert run.state == "SUCCEEDED"
    assert world.begun == ["/a"]


async def test_an_image_that_cannot_be_had_fails_its_step_after_a_while(world: World) -> None:
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "add it to the catalog"}}
    status = {"phase": "Pending", "containerStatuses": [{"name": "main", "image": "i", "state": waiting}]}
    world.behave = lambda path, given: Act(status)
    async with world.driver(start_patience_s=0.05):
        run = await world.ended(await world.submit(ONE))
        await world.until(lambda: not world.pods())
    assert run.error == "/a: it cannot be started: ErrImagePull (image 'i'): add it to the catalog"


async def test_what_a_crash_left_is_swept_and_its_log_kept(world: World) -> None:
    world.behave = lambda path, given: FOREVER
    async with world.driver():
        run_id = await world.submit(ONE)
        await world.until(lambda: world.begun)
    await world.history.write(
        lambda tx: [tx.change(Task, Where("run_id", "=", run_id), state="SUCCEEDED", finished_at=1)]
    )
    async with world.driver():
        await world.until(lambda: not world.pods())
    assert (world.directory / f"artifacts/p/{run_id}/a/0/logs/main.log").exists()


async def test_pods_of_others_are_left_alone(world: World) -> None:
    pod = {"metadata": {"name": "x", "namespace": "lab", "labels": {"pipeline/runid": "of-argo"}}, "spec": {}}
    pod["metadata"]["annotations"] = {"pipelines.beamhall.io/path": "/x"}
    world.seen.add("uid-11")
    await world.cluster.create(POD, pod)
    async with world.driver(sweep_s=0.01):
        await world.ended(await world.submit(ONE))
        await asyncio.sleep(0.1)
        assert [pod["metadata"]["name"] for pod in world.pods()] == ["x"]


async def test_failed_pods_of_before_a_crash_go_when_their_pipeline_says(world: World) -> None:
    world.behave = lambda path, given: Act({"phase": "Failed"})
    async with world.driver(failed_pods_kept_s=3600.0):
        await world.ended(await world.submit(document({"a": task()}, config={"resourceTtlOnCompletion": 2})))
    async with world.driver(sweep_s=0.1, failed_pods_kept_s=3600.0):
        await world.until(lambda: not world.pods())


async def test_failed_pods_stay_for_a_while(world: World) -> None:
    world.behave = lambda path, given: Act({"phase": "Failed"})
    async with world.driver(failed_pods_kept_s=60.0):
        run_id = await world.submit(ONE)
        await world.ended(run_id)
        await world.until((world.directory / f"artifacts/p/{run_id}/a/0/logs/main.log").exists)
        assert len(world.pods()) == 1


def metric(given: Mapping[str, Any]) -> Act:
    told = {"art": {"artifacts": [{"name": "art", "metadata": {"accuracy": 0.5, "note": "x"}}]}}
    return Act(parameters={"out": 1, "xs": []}, artifacts=told)


async def test_metrics_are_numbers(world: World) -> None:
    world.behave = lambda path, given: metric(given)
    spec = json.loads(json.dumps(ONE))
    kind = {"artifactType": {"schemaTitle": "system.Metrics"}}
    spec["components"]["leaf"]["outputDefinitions"]["artifacts"]["art"] = kind
    async with world.driver():
        run = await world.ended(await world.submit(spec))
    assert run.state == "SUCCEEDED", run.error
    found = {one.name: one for one in await world.history.read(lambda tx: tx.find(Artifact))}
    assert found["accuracy"].number_value == 0.5
    assert found["accuracy"].uri == ""
    assert set(found) == {"art", "accuracy"}


async def test_claims_are_made_and_deleted_without_pods(world: World) -> None:
    inputs = {"access_modes": "LIST", "size": "STRING", "pvc_name": "STRING"}
    create = {
        "executorLabel": "create",
        "inputDefinitions": {"parameters": {name: {"parameterType": kind} for name, kind in inputs.items()}},
        "outputDefinitions": {"parameters": {"name": {"parameterType": "STRING"}}},
    }
    delete = {
        "executorLabel": "delete",
        "inputDefinitions": {"parameters": {"pvc_name": {"parameterType": "STRING"}}},
    }
    spec = document(
        {
            "make": task("create", access_modes=["ReadWriteOnce"], size="1Gi", pvc_name="mine"),
            "drop": task("delete", pvc_name=("make", "name")),
        },
        create=create, delete=delete,
    )  # fmt: skip
    del spec["components"]["leaf"]
    spec["deploymentSpec"]["executors"] = {
        "create": {"container": {"image": "argostub/createpvc"}},
        "delete": {"container": {"image": "argostub/deletepvc"}},
    }
    async with world.driver():
        run_id = await world.submit(spec)
        run = await world.ended(run_id)
    assert run.state == "SUCCEEDED", run.error
    assert (await world.tasks(run_id))["/make"].outputs["parameters"] == {"name": "mine"}
    assert world.cluster.creations["persistentvolumeclaims", "mine", ""] == 1
    assert not world.cluster.all(PERSISTENT_VOLUME_CLAIM)
    assert not world.begun


def importer(uri: str, **more: Any) -> Any:
    spec = document({"i": task("imports")})
    spec["components"] = {
        "imports": {
            "executorLabel": "imports",
            "inputDefinitions": INPUTS,
            "outputDefinitions": {"artifacts": {"artifact": {"artifactType": {"schemaTitle": "system.Dataset"}}}},
        }
    }
    kind = {"schemaTitle": "system.Dataset"}
    spec["deploymentSpec"]["executors"] = {
        "imports": {"importer": {"artifactUri": {"constant": uri}, "typeSchema": kind, **more}}
    }
    return spec


async def test_an_importer_takes_what_is_known(world: World) -> None:
    async with world.driver():
        for spec in (importer("/data/x"), importer("/data/x"), importer("/data/x", reimport=True)):
            run = await world.ended(await world.submit(spec))
            assert run.state == "SUCCEEDED", run.error
    found = await world.history.read(lambda tx: tx.find(Artifact))
    assert [one.uri for one in found] == ["/data/x"] * 2


async def test_an_importer_fetches_into_the_workspace_which_goes_with_the_run(world: World) -> None:
    spec = importer("s3://b/x", downloadToWorkspace=True)
    config = {"workspace": {"size": "1Gi"}}
    pair = {"pipeline_spec": spec, "platform_spec": {"platforms": {"kubernetes": {"pipelineConfig": config}}}}
    async with world.driver(launcher=("fetch",)):
        run = await world.ended(await world.submit(pair))
        assert run.state == "SUCCEEDED", run.error
        made = next(obj for _, _, kind, obj in world.cluster.log if kind == POD)
        container = made["spec"]["containers"][0]
        assert container["command"] == ["fetch", "--", "true"]
        told = json.loads(container["env"][0]["value"])
        assert told["fetch"][0][0] == "s3://b/x"
        assert Path(told["fetch"][0][1]).is_relative_to("/kfp-workspace")
        claim = made["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
        assert world.cluster.creations["persistentvolumeclaims", claim, ""] == 1
        await world.until(lambda: not world.cluster.all(PERSISTENT_VOLUME_CLAIM))


async def test_what_keeps_a_step_from_starting_is_told_while_it_does(world: World) -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: no GPU"}
    world.behave = lambda path, given: Act({"phase": "Pending", "conditions": [condition]})
    async with world.driver():
        run_id = await world.submit(ONE)

        async def told() -> str:
            return (await world.tasks(run_id)).get("/a", NOTHING).error

        assert await world.until(told) == "it waits for a node: 0/1 nodes: no GPU"
        world.cluster.status(POD, world.pods()[0]["metadata"]["name"], "lab", {"phase": "Succeeded"})
        await world.ended(run_id)
        assert (await world.tasks(run_id))["/a"].error != "it waits for a node: 0/1 nodes: no GPU"


NOTHING = Task(id="", namespace="", run_id="", path="", name="", created_at=0)


async def test_a_run_that_was_ended_can_be_retried(world: World) -> None:
    world.behave = lambda path, given: FOREVER if len(world.begun) == 1 else WELL
    async with world.driver():
        run_id = await world.submit(ONE)
        await world.until(lambda: world.begun)
        await world.ask(run_id, "TERMINATE", "CANCELING")
        assert (await world.ended(run_id)).error == "terminated"
        await world.ask(run_id, "RETRY", "PENDING")
        run = await world.ended(run_id)
    assert (run.state, run.error, run.error_code) == ("SUCCEEDED", "", 0)
    assert world.begun == ["/a", "/a"]


async def test_a_stop_outlives_a_crash(world: World) -> None:
    world.behave = lambda path, given: FOREVER
    run_id = await world.submit(ONE)
    async with world.driver():
        await world.until(lambda: world.begun)
    await world.ask(run_id, "TERMINATE", "CANCELING")
    async with world.driver():
        run = await world.ended(run_id)
        await world.until(lambda: not world.pods())
    assert (run.state, run.error) == ("FAILED", "terminated")
    assert (await world.tasks(run_id))["/a"].state == "CANCELED"
    assert world.begun == ["/a"]


async def test_rows_that_cannot_be_written_end_their_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    write, refusals = world.history.write, [BadRequest("the database cannot hold this value")]

    async def refusing(do: Callable[[Any], Any]) -> Any:
        if world.begun and refusals:
            raise refusals.pop()
        return await write(do)

    async with world.driver():
        monkeypatch.setattr(world.history, "write", refusing)
        run_id = await world.submit(ONE)
        run = await world.ended(run_id)
        await world.until(lambda: not world.pods())
        assert (run.state, run.error) == ("FAILED", "the database cannot hold this value")
        assert (await world.tasks(run_id))["/a"].state == "CANCELED"
        assert (await world.ended(await world.submit(ONE))).state == "SUCCEEDED"


async def test_a_deleted_run_leaves_no_workspace(world: World) -> None:
    world.behave = lambda path, given: Act({"phase": "Failed"})
    container = {"image": "i", "args": ["{{$}}"], "command": ["ls", "{{$.workspace_path}}"]}
    async with world.driver():
        run_id = await world.submit(document({"a": task()}, config={"workspace": {"size": "1Gi"}}, executor=container))
        assert (await world.ended(run_id)).state == "FAILED"
        assert len(world.cluster.all(PERSISTENT_VOLUME_CLAIM)) == 1
        await world.history.write(lambda tx: tx.remove(Run, Where("id", "=", run_id)))
        world.signals.wake(run_id)
        await world.until(lambda: not world.cluster.all(PERSISTENT_VOLUME_CLAIM))
