import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from beamhall.history.queries import Order, Where
from beamhall.history.records import Artifact, ArtifactTask, Run, RunEvent, Task
from beamhall.kernel.kinds import POD
from beamhall.kernel.objects import key_of, labels_of
from beamhall.pipelines.roots import Root
from beamhall.storage import Storage
from tests.models.pipeline_driver import FOREVER, Act, World, exits
from tests.unit.pipelines.dags import anyway, loop, task
from tests.unit.pipelines.driver.specs import document

CHAIN = document({"a": task(), "b": task(x=("a", "out"))})


def gives(**parameters: Any) -> Act:
    return Act(parameters=parameters)


async def test_a_chain_ends_with_its_rows(world: World) -> None:
    world.behave = lambda path, given: gives(out=7, xs=[1])
    async with world.driver():
        run_id = await world.submit(CHAIN)
        run = await world.ended(run_id)
        await world.until(lambda: not world.pods())
    tasks = await world.tasks(run_id)
    assert (run.state, run.error, run.tasks) == ("SUCCEEDED", "", {"SUCCEEDED": 2})
    assert [entry["state"] for entry in run.state_history] == ["PENDING", "RUNNING", "SUCCEEDED"]
    assert run.created_at <= run.started_at <= run.finished_at
    assert {path: one.state for path, one in tasks.items()} == dict.fromkeys(("", "/a", "/b"), "SUCCEEDED")
    assert tasks["/b"].inputs["parameters"] == {"x": "7"}
    assert tasks["/a"].outputs["parameters"] == {"out": 7, "xs": [1]}
    assert tasks["/a"].parent_id == tasks[""].id
    assert [pod["name"][:4] for pod in tasks["/a"].pods] == ["p-a-"]
    assert [entry["state"] for entry in tasks["/b"].state_history] == ["PENDING", "RUNNING", "SUCCEEDED"]
    assert (world.directory / f"artifacts/p/{run_id}/a/0/logs/main.log").read_text() == "one\ntwo\n"


@pytest.mark.parametrize(
    ("root", "words"),
    [
        ("{}/outside", "pipeline root {}/outside is outside of the directories that this service uses; name it in the"),
        ("file://{}/outside", "is outside of the directories that this service uses"),
        ("{}/artifacts/../outside", 'has ".." in its path'),
        ("outside", "'outside' is no URI and no absolute path"),
    ],
)
async def test_the_service_makes_no_directories_for_whoever_asks(world: World, root: str, words: str) -> None:
    place, storage = str(world.directory), Storage(local_roots=[world.directory / "artifacts"])

    async def root_of(_: str) -> Root:
        return Root("", storage)

    world.root_of = root_of
    async with world.driver():
        run_id = await world.submit(CHAIN, pipeline_root=root.format(place))
        run = await world.ended(run_id)
    assert run.state == "FAILED"
    assert words.format(place) in run.error
    assert not (world.directory / "outside").exists()
    assert world.begun == []


async def test_a_store_that_only_kfp_brings_along_is_the_services_own_root(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pipelines that were compiled for it run; what users say themselves is meant."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    world.behave = lambda path, given: gives(out=7, xs=[])
    storage = Storage(local_roots=[world.directory / "artifacts"])

    async def root_of(_: str) -> Root:
        return Root("", storage)

    world.root_of = root_of
    async with world.driver():
        run_id = await world.submit({**CHAIN, "defaultPipelineRoot": "minio://mlpipeline/v2"})
        run = await world.ended(run_id)
        asked = await world.ended(await world.submit(CHAIN, pipeline_root="minio://mlpipeline/v2"))
    assert (run.state, run.pipeline_root) == ("SUCCEEDED", world.settings.pipeline_root)
    assert (asked.state, asked.pipeline_root) == ("FAILED", "minio://mlpipeline/v2")


async def test_followers_see_every_state(world: World) -> None:
    world.behave = lambda path, given: gives(out=7, xs=[])
    async with world.driver():
        run_id = await world.submit(CHAIN)
        await world.ended(run_id)
    events = await world.history.read(lambda tx: tx.find(RunEvent, Where("run_id", "=", run_id)))
    told = [(event.path, event.data["state"]) for event in events if event.kind == "task"]
    assert told == [("/a", "RUNNING"), ("/a", "SUCCEEDED"), ("/b", "RUNNING"), ("/b", "SUCCEEDED")]
    states = [event.data["state"] for event in events if event.kind == "run" and "state" in event.data]
    assert states == ["RUNNING", "SUCCEEDED"]


async def test_artifacts_have_rows_and_lineage(world: World) -> None:
    def behave(path: str, given: Mapping[str, Any]) -> Act:
        return Act(parameters={"out": 1, "xs": []}, artifacts={"art": {"artifacts": [{"name": "art"}]}})

    world.behave = behave
    async with world.driver():
        run_id = await world.submit(document({"a": task(), "b": task(art=("a", "art"))}))
        run = await world.ended(run_id)
    assert run.state == "SUCCEEDED", run.error
    links = await world.history.read(lambda tx: tx.find(ArtifactTask, Where("run_id", "=", run_id), order=Order("id")))
    artifacts = await world.history.read(lambda tx: tx.find(Artifact))
    tasks = await world.tasks(run_id)
    by_id = {artifact.id: artifact for artifact in artifacts}
    assert len(artifacts) == 2
    made, used = [
        next(link for link in links if (link.task_id, link.type) == (tasks[path].id, kind))
        for path, kind in (("/a", "OUTPUT"), ("/b", "INPUT"))
    ]
    assert made.artifact_id == used.artifact_id
    assert (used.producer_task, used.producer_key) == ("a", "art")
    assert by_id[made.artifact_id].uri == f"{world.settings.pipeline_root}/p/{run_id}/a/0/art"


async def test_a_failure_is_told_in_words(world: World) -> None:
    world.behave = lambda path, given: exits(3)
    async with world.driver():
        run_id = await world.submit(document({"a": task(), "b": task(after=("a",))}))
        run = await world.ended(run_id)
    tasks = await world.tasks(run_id)
    assert run.state == "FAILED"
    assert run.error.startswith("/a: it exited with code 3\nThe last lines of its log:\none\ntwo\n")
    assert f"beamhall runs logs {run_id} a" in run.error
    assert {path: one.state for path, one in tasks.items()} == {"": "FAILED", "/a": "FAILED", "/b": "SKIPPED"}
    assert run.tasks == {"FAILED": 1, "SKIPPED": 1}


async def test_a_task_is_tried_again_in_pods_of_its_own(world: World) -> None:
    world.behave = lambda path, given: exits(1) if world.begun.count(path) < 3 else gives(out=1, xs=[])
    retried = task()
    retried["retryPolicy"] = {"maxRetryCount": 2, "backoffDuration": "0.01s"}
    async with world.driver():
        run_id = await world.submit(document({"a": retried}))
        run = await world.ended(run_id)
    found = (await world.tasks(run_id))["/a"]
    assert run.state == "SUCCEEDED", run.error
    assert found.attempt == 2
    assert len({pod["name"] for pod in found.pods}) == 3
    states = [entry["state"] for entry in found.state_history]
    assert states == [*["PENDING", "RUNNING", "FAILED"] * 2, "PENDING", "RUNNING", "SUCCEEDED"]


async def test_retries_end(world: World) -> None:
    world.behave = lambda path, given: exits(1)
    retried = task()
    retried["retryPolicy"] = {"maxRetryCount": 2, "backoffDuration": "0s"}
    async with world.driver():
        run = await world.ended(await world.submit(document({"a": retried})))
    assert run.state == "FAILED"
    assert world.begun == ["/a"] * 3


async def test_terminate_stops_steps_and_runs_exit_tasks(world: World) -> None:
    world.behave = lambda path, given: gives(out=1, xs=[]) if path == "/exit" else FOREVER
    pipeline = document(
        {
            "exit-handler-1": task("body"),
            "exit": anyway(task(after=("exit-handler-1",), status={"status": "exit-handler-1"})),
        },
        body=dag_of({"a": task(), "b": task(after=("a",))}),
    )
    async with world.driver():
        run_id = await world.submit(pipeline)
        await world.until(lambda: world.begun)
        await world.ask(run_id, "TERMINATE", "CANCELING")
        run = await world.ended(run_id)
        await world.until(lambda: not world.pods())
    assert (run.state, run.error, run.error_code) == ("FAILED", "terminated", 1)
    states = [entry["state"] for entry in run.state_history]
    assert states == ["PENDING", "RUNNING", "CANCELING", "CANCELED", "FAILED"]
    tasks = await world.tasks(run_id)
    assert tasks["/exit-handler-1/a"].state == "CANCELED"
    assert tasks["/exit"].state == "SUCCEEDED"
    assert world.begun == ["/exit-handler-1/a", "/exit"]


def dag_of(tasks: Any) -> Any:
    return {"dag": {"tasks": tasks}}


async def test_a_run_that_never_began_is_terminated(world: World) -> None:
    run_id = await world.submit(CHAIN)
    await world.ask(run_id, "TERMINATE", "CANCELING")
    async with world.driver():
        run = await world.ended(run_id)
    assert (run.state, run.error) == ("FAILED", "terminated")
    assert not world.begun


async def test_a_retry_runs_only_what_failed(world: World) -> None:
    is_broken = True
    world.behave = lambda path, given: exits(1) if is_broken and path == "/b" else gives(out=1, xs=[])
    async with world.driver():
        run_id = await world.submit(document({"a": task(), "b": task(x=("a", "out")), "c": task(after=("b",))}))
        assert (await world.ended(run_id)).state == "FAILED"
        is_broken = False
        await world.ask(run_id, "RETRY", "PENDING")
        run = await world.ended(run_id)
    assert run.state == "SUCCEEDED", run.error
    assert run.tasks == {"SUCCEEDED": 3}
    assert world.begun == ["/a", "/b", "/b", "/c"]
    states = [entry["state"] for entry in run.state_history]
    assert states == ["PENDING", "RUNNING", "FAILED", "PENDING", "RUNNING", "SUCCEEDED"]
    assert (await world.tasks(run_id))["/b"].attempt == 1000


async def test_a_deleted_run_leaves_no_pods(world: World) -> None:
    world.behave = lambda path, given: FOREVER
    async with world.driver():
        run_id = await world.submit(CHAIN)
        await world.until(lambda: world.begun)
        await world.history.write(lambda tx: tx.remove(Run, Where("id", "=", run_id)))
        world.signals.wake(run_id)
        await world.until(lambda: not world.pods())
        other = await world.submit(document({"c": task()}))
        await world.until(lambda: "/c" in world.begun)
        assert (await world.run_of(other)).state == "RUNNING"


async def test_no_more_steps_run_at_once_than_may(world: World) -> None:
    world.behave = lambda path, given: FOREVER
    async with world.driver(steps_at_once=3):
        run_id = await world.submit(document({f"t{number}": task() for number in range(10)}))
        await world.until(lambda: len(world.begun) == 3)
        await asyncio.sleep(0.05)
        assert len(world.begun) == 3
        assert (await world.run_of(run_id)).tasks == {"RUNNING": 3, "PENDING": 7}


async def test_runs_take_turns(world: World) -> None:
    world.behave = lambda path, given: gives(out=1, xs=[])
    async with world.driver(steps_at_once=1):
        big = await world.submit(document({f"big{number}": task() for number in range(30)}))
        await world.until(lambda: len(world.begun) > 2)
        small = await world.submit(document({f"small{number}": task() for number in range(3)}))
        await world.ended(small)
        assert sum(path.startswith("/big") for path in world.begun) < 25
        assert (await world.ended(big)).state == "SUCCEEDED"


async def test_the_same_again_is_taken_from_the_cache_while_it_is_there(world: World) -> None:
    def behave(path: str, given: Mapping[str, Any]) -> Act:
        made.append(Path(given["outputs"]["artifacts"]["art"]["artifacts"][0]["uri"]))
        made[-1].parent.mkdir(parents=True, exist_ok=True)
        made[-1].write_text("x")
        return gives(out=1, xs=[])

    made: list[Path] = []

    world.behave = behave
    cached = task()
    cached["cachingOptions"] = {"enableCache": True}
    async with world.driver():
        first = await world.submit(document({"a": cached}))
        assert (await world.ended(first)).state == "SUCCEEDED"
        second = await world.submit(document({"a": cached}))
        assert (await world.ended(second)).state == "SUCCEEDED"
        assert world.begun == ["/a"]
        found = (await world.tasks(second))["/a"]
        assert found.cached
        assert found.outputs == (await world.tasks(first))["/a"].outputs
        made[0].unlink()
        third = await world.submit(document({"a": cached}))
        assert (await world.ended(third)).state == "SUCCEEDED"
        assert world.begun == ["/a", "/a"]
        assert not (await world.tasks(third))["/a"].cached
    async with world.driver(caching=False):
        fourth = await world.submit(document({"a": cached}))
        await world.ended(fourth)
        assert world.begun == ["/a"] * 3


async def test_pods_of_failed_steps_go_when_their_pipeline_says_whatever_else_is_kept(world: World) -> None:
    world.behave = lambda path, given: exits(1)
    async with world.driver(failed_pods_kept_s=3600.0):
        kept = await world.submit(document({"a": task()}))
        await world.ended(kept)
        await world.until(lambda: world.pods())
        gone = await world.submit(document({"a": task()}, config={"resourceTtlOnFailure": 1}))
        await world.ended(gone)
        await world.until(lambda: len(world.pods()) == 1)
        assert labels_of(world.pods()[0])["pipeline/runid"] == kept


@pytest.mark.parametrize("state", ["RUNNING", "PENDING"])
async def test_a_crash_before_the_cache_was_asked_changes_nothing(world: World, state: str) -> None:
    """What was begun and has no Pod yet is looked for in the cache."""

    def behave(path: str, given: Mapping[str, Any]) -> Act:
        made = Path(given["outputs"]["artifacts"]["art"]["artifacts"][0]["uri"])
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text("x")
        return gives(out=1, xs=[])

    world.behave = behave
    cached = task()
    cached["cachingOptions"] = {"enableCache": True}
    async with world.driver():
        first = await world.submit(document({"a": cached}))
        assert (await world.ended(first)).state == "SUCCEEDED"
    fields = {"state": state, "cached": False, "outputs": {}, "finished_at": 0}
    second = await world.submit(document({"a": cached}))
    async with world.driver():
        await world.ended(second)

    def crash(tx: Any) -> None:
        tx.change(Run, Where("id", "=", second), state="RUNNING", finished_at=0)
        tx.change(Task, Where("run_id", "=", second), Where("path", "=", "/a"), **fields)
        tx.change(Task, Where("run_id", "=", second), Where("path", "=", ""), state="RUNNING", finished_at=0)

    await world.history.write(crash)
    async with world.driver():
        assert (await world.ended(second)).state == "SUCCEEDED"
    assert world.begun == ["/a"]
    assert (await world.tasks(second))["/a"].cached


async def test_a_run_that_takes_too_long_fails(world: World) -> None:
    world.behave = lambda path, given: FOREVER
    async with world.driver():
        run_id = await world.submit(document({"a": task()}, config={"activeDeadlineSeconds": "1"}))
        run = await world.ended(run_id)
        await world.until(lambda: not world.pods())
    assert run.state == "FAILED"
    assert run.error == "it took longer than it may: 1 s (activeDeadlineSeconds of the pipeline)"
    assert run.error_code == 4


async def test_a_stored_specification_that_is_none_fails_its_run(world: World) -> None:
    async with world.driver():
        run = await world.ended(await world.submit({"pipelineInfo": {"name": "p"}}))
        assert run.state == "FAILED"
        assert "invalid pipeline" in run.error
        fine = await world.ended(await world.submit(document({"a": task()})))
        assert fine.state in ("SUCCEEDED", "FAILED")


async def test_parameters_that_do_not_fit_fail_the_run(world: World) -> None:
    async with world.driver():
        run = await world.ended(await world.submit(CHAIN, parameters={"n": "no number"}))
    assert run.state == "FAILED"
    assert "'n'" in run.error


async def test_a_pod_that_somebody_deletes_fails_its_step(world: World) -> None:
    world.behave = lambda path, given: FOREVER
    async with world.driver():
        run_id = await world.submit(document({"a": task()}))
        await world.until(lambda: world.begun)
        world.cluster.remove(key_of(POD, world.pods()[0]))
        run = await world.ended(run_id)
    assert run.state == "FAILED"
    assert run.error == "/a: its Pod was deleted"


async def test_a_crash_loses_nothing_and_runs_nothing_twice(world: World) -> None:
    world.behave = lambda path, given: FOREVER if path == "/c" and world.begun.count("/c") == 1 else gives(out=1, xs=[])
    run_id = await world.submit(document({"a": task(), "b": task(after=("a",)), "c": task(after=("b",))}))
    async with world.driver():
        await world.until(lambda: "/c" in world.begun)
    pod = next(pod for pod in world.pods() if "-c-" in pod["metadata"]["name"])
    world.cluster.status(POD, pod["metadata"]["name"], "lab", {"phase": "Succeeded"})
    async with world.driver():
        run = await world.ended(run_id)
        await world.until(lambda: not world.pods())
    assert world.begun == ["/a", "/b", "/c"]
    assert run.state in ("SUCCEEDED", "FAILED")


async def test_a_loop_gathers(world: World) -> None:
    world.behave = lambda path, given: gives(out=int(path[6:-1]) if path[-1] == "]" else 0, xs=[])
    async with world.driver():
        run_id = await world.submit(document({"loop": loop("[1, 2, 3]", "leaf"), "b": task(l=("loop", "out"))}))
        run = await world.ended(run_id)
    tasks = await world.tasks(run_id)
    assert run.state == "SUCCEEDED", run.error
    assert tasks["/b"].inputs["parameters"]["l"] == [0, 1, 2]
    assert tasks["/loop"].iteration == 3
