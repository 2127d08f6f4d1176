"""Following a job: what is said, and that its end, or its removal, is the end of following."""

import asyncio

import pytest

from beamhall.cli.follow import end_of, follow_job
from beamhall.kernel.errors import NotFound
from beamhall.kernel.kinds import EVENT, TF_JOB
from tests.models.cluster import ModelCluster


def _job(condition: str) -> dict[str, object]:
    return {
        "metadata": {"name": "j", "namespace": "a"},
        "status": {"conditions": [{"type": condition, "status": "True", "message": "as it is"}]},
    }


def test_only_an_end_that_holds_is_an_end() -> None:
    assert end_of(_job("Running")) is None
    assert end_of({}) is None
    assert (end_of(_job("Failed")) or {})["message"] == "as it is"


async def test_a_job_that_ended_is_followed_no_longer() -> None:
    cluster = ModelCluster()
    job = await cluster.create(TF_JOB, _job("Succeeded"))
    said: list[str] = []
    async with asyncio.timeout(20):
        ended = await follow_job(cluster, TF_JOB, job, said.append)
    assert (end_of(ended) or {})["type"] == "Succeeded"


async def test_events_from_before_are_told_once_and_others_events_never() -> None:
    cluster = ModelCluster()
    job = await cluster.create(TF_JOB, _job("Succeeded"))
    for name, about, reason in (
        ("1", "j-ps-0", "Pulling"),
        ("2", "j-ps-1", "Pulling"),
        ("3", "x", "Pulled"),
        ("4", "j", "Odd"),
    ):
        event = {
            "metadata": {"name": name, "namespace": "a"},
            "involvedObject": {"name": about},
            "reason": reason,
            "message": "m",
        }
        await cluster.create(EVENT, event)
    said: list[str] = []
    async with asyncio.timeout(20):
        await follow_job(cluster, TF_JOB, job, said.append)
    assert said == ["  Pulling: m"]


async def test_a_job_that_is_deleted_is_an_error_that_says_so() -> None:
    cluster = ModelCluster()
    job = await cluster.create(TF_JOB, _job("Running"))

    async def follow_and_remove() -> None:
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            tasks.create_task(follow_job(cluster, TF_JOB, job, print))
            await asyncio.sleep(0)
            await cluster.delete(TF_JOB, "j", "a")

    with pytest.raises(ExceptionGroup) as raised:
        await follow_and_remove()
    assert raised.group_contains(NotFound, match="deleted while it was followed")
