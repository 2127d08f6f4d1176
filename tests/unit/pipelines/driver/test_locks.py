"""Runs that name a mutex or a semaphore wait for each other, over crashes too, and no longer than they must."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest

from beamhall.kernel.kinds import CONFIG_MAP
from beamhall.pipelines.driver.files import Root
from beamhall.pipelines.driver.locks import Locks
from beamhall.pipelines.spec.platform import PipelineConfig
from tests.models.cluster import ModelCluster
from tests.models.pipeline_driver import FOREVER, Act, World
from tests.unit.pipelines.dags import task
from tests.unit.pipelines.driver.specs import document

SEMAPHORE = {"semaphoreKey": "licences"}
WELL = Act(parameters={"out": 1, "xs": []})


@pytest.fixture(autouse=True)
def runs_until_told(world: World) -> None:
    world.behave = lambda path, given: FOREVER


def one(name: str, config: Mapping[str, Any]) -> Any:
    return document({name: task()}, config=dict(config))


def limits(**given: str) -> Any:
    return {"metadata": {"name": "semaphore-config", "namespace": "lab"}, "data": given}


def end(world: World, path: str) -> None:
    """End the Pod of a task well."""
    (pod,) = [pod for pod in world.pods() if pod["metadata"]["annotations"]["pipelines.beamhall.io/path"] == path]
    world.end_pod(pod, {"phase": "Succeeded"})


def has_begun(world: World, number: int) -> bool:
    return len(world.begun) == number


async def state(world: World, run_id: str) -> str:
    return (await world.run_of(run_id)).state


async def test_runs_of_one_mutex_follow_each_other(world: World) -> None:
    mutex = {"mutexName": "m"}
    async with world.driver(poll_s=3600):
        first = await world.submit(one("a", mutex))
        await world.until(lambda: world.begun == ["/a"])
        second = await world.submit(one("b", mutex))
        await world.submit(one("c", {"mutexName": "another"}))
        await world.until(lambda: "/c" in world.begun)
        assert await state(world, second) == "PENDING"
        end(world, "/a")
        await world.ended(first)
        await world.until(lambda: "/b" in world.begun)  # told, long before anybody looks


async def test_a_semaphore_lets_as_many_runs_go_on_as_its_config_map_says(world: World) -> None:
    await world.cluster.create(CONFIG_MAP, limits(licences="2"))
    async with world.driver(poll_s=3600):
        runs = []
        for number, name in enumerate("abcd"):
            runs.append(await world.submit(one(name, SEMAPHORE)))
            await world.until(partial(has_begun, world, min(number + 1, 2)))
        await world.submit(document({"e": task()}))
        await world.until(lambda: "/e" in world.begun)
        assert world.begun == ["/a", "/b", "/e"]
        end(world, "/b")
        await world.until(lambda: "/c" in world.begun)  # the one that has waited longest
        assert await state(world, runs[3]) == "PENDING"
        end(world, "/a")
        await world.until(lambda: "/d" in world.begun)


async def test_a_semaphore_without_a_limit_is_a_mutex(world: World) -> None:
    await world.cluster.create(CONFIG_MAP, limits(others="7"))
    async with world.driver(poll_s=0.05):
        await world.submit(one("a", SEMAPHORE))
        await world.until(lambda: world.begun == ["/a"])
        second = await world.submit(one("b", SEMAPHORE))
        await world.submit(document({"c": task()}))
        await world.until(lambda: "/c" in world.begun)
        assert await state(world, second) == "PENDING"


async def test_a_limit_that_is_no_number_fails_the_run(world: World) -> None:
    await world.cluster.create(CONFIG_MAP, limits(licences="many"))
    async with world.driver():
        run = await world.ended(await world.submit(one("a", SEMAPHORE)))
    assert run.state == "FAILED"
    assert run.error == (
        "ConfigMap semaphore-config of namespace lab: key 'licences' is 'many'; it must be how many runs may go on at "
        "once, such as '2'"
    )


async def test_after_a_crash_the_runs_that_had_begun_keep_their_locks(world: World) -> None:
    mutex = {"mutexName": "m"}
    async with world.driver():
        first = await world.submit(one("a", mutex))
        await world.until(lambda: world.begun == ["/a"])
        second = await world.submit(one("b", mutex))
    usual, gate, asked = world.root_of, asyncio.Event(), []

    async def slow_for_the_first(namespace: str) -> Root:
        asked.append(namespace)
        if len(asked) == 1:  # the run that had begun, which is looked at first
            await gate.wait()
        return await usual(namespace)

    world.root_of = slow_for_the_first
    async with world.driver(poll_s=0.02):
        other = await world.submit(document({"c": task()}))
        await world.until(lambda: "/c" in world.begun)
        end(world, "/c")
        await world.ended(other)
        assert await state(world, second) == "PENDING"
        gate.set()
        await world.until(lambda: len(asked) > 4)
        assert await state(world, second) == "PENDING"
        end(world, "/a")
        await world.ended(first)
        await world.until(lambda: "/b" in world.begun)


async def test_a_run_that_waits_can_be_ended_and_one_that_is_retried_waits(world: World) -> None:
    mutex = {"mutexName": "m"}
    world.behave = lambda path, given: Act({"phase": "Failed"}) if path == "/f" else FOREVER
    async with world.driver(poll_s=3600):
        failed = await world.submit(one("f", mutex))
        assert (await world.ended(failed)).state == "FAILED"
        await world.submit(one("a", mutex))
        await world.until(lambda: "/a" in world.begun)
        waiting = await world.submit(one("b", mutex))
        await world.ask(waiting, "TERMINATE", "CANCELING")
        assert (await world.ended(waiting)).state == "FAILED"
        await world.ask(failed, "RETRY", "PENDING")
        await world.submit(document({"c": task()}))
        await world.until(lambda: "/c" in world.begun)
        assert world.begun == ["/f", "/a", "/c"]


async def test_both_kinds_of_locks_are_taken_together_or_not_at_all() -> None:
    locks = Locks(ModelCluster())
    both, mutex = PipelineConfig(mutex_name="m", semaphore_key="s"), PipelineConfig(mutex_name="m")
    semaphore = PipelineConfig(semaphore_key="s")
    assert await locks.take("1", "lab", mutex, 1)
    assert not await locks.take("2", "lab", both, 2)
    assert await locks.take("3", "lab", semaphore, 3)
    assert await locks.take("4", "other", both, 4)
    assert locks.give_back("1") == {"2"}
    assert not await locks.take("2", "lab", both, 2)
    assert await locks.take("5", "lab", mutex, 5)
    assert locks.give_back("3") == {"2"}
    assert not locks.give_back("2")
