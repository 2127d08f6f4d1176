"""Events: their shape, one name for one thing said, counting, quiet, and what happens when they cannot be written."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from beamhall.kernel.kinds import EVENT, NODE, POD
from beamhall.kernel.objects import Key, Object
from beamhall.kernel.plan import Emit
from beamhall.runtime import events
from beamhall.runtime.events import EventRecorder, event_of
from tests.models.cluster import ModelCluster, unavailable
from tests.models.virtual_time import START, LoopClock, virtually

POD_OBJECT: Object = {"metadata": {"name": "p", "namespace": "a", "uid": "u", "resourceVersion": "7"}}
EMIT = Emit(POD, POD_OBJECT, "Started", "it started")


@asynccontextmanager
async def recording(cluster: ModelCluster) -> AsyncIterator[EventRecorder]:
    recorder = EventRecorder(cluster, LoopClock(), lambda kind, *where: cluster.objects.get(Key(kind, *where)))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(recorder.run())
        yield recorder
        await asyncio.sleep(1)
        task.cancel()


def test_the_shape_is_what_kubectl_describe_reads() -> None:
    event = event_of(EMIT, "tfjob", START, 1)
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "p",
        "namespace": "a",
        "uid": "u",
        "resourceVersion": "7",
    }
    assert event["metadata"]["namespace"] == "a"
    assert event["metadata"]["name"].startswith("p.")
    assert (event["type"], event["reason"], event["message"]) == ("Normal", "Started", "it started")
    assert event["source"] == {"component": "tfjob"}
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-01-01T00:00:00Z"
    assert event["eventTime"] is None
    assert event["count"] == 1


def test_events_of_cluster_scoped_objects_are_in_default() -> None:
    event = event_of(Emit(NODE, {"metadata": {"name": "n", "uid": "u"}}, "R", "m" * 5000), "c", START, 1)
    assert event["metadata"]["namespace"] == "default"
    assert "namespace" not in event["involvedObject"]
    assert len(event["message"]) == events.MESSAGE_LIMIT


@virtually
async def test_the_same_is_counted_and_not_written_all_the_time() -> None:
    cluster = ModelCluster()
    async with recording(cluster) as recorder:
        for _ in range(100):
            recorder.record(EMIT, "c")
            await asyncio.sleep(0.5)
    (event,) = cluster.all(EVENT)
    assert len(cluster.requests) <= 1 + 3 * 5
    assert 80 <= event["count"] <= 100
    assert event["firstTimestamp"] < event["lastTimestamp"]


@virtually
async def test_another_process_counts_on() -> None:
    cluster = ModelCluster()
    for _ in range(3):
        async with recording(cluster) as recorder:
            recorder.record(EMIT, "c")
    (event,) = cluster.all(EVENT)
    assert event["count"] == 3


@virtually
async def test_different_things_are_different_events() -> None:
    cluster = ModelCluster()
    other: Object = {"metadata": {**POD_OBJECT["metadata"], "uid": "another"}}
    async with recording(cluster) as recorder:
        recorder.record(EMIT, "c")
        recorder.record(Emit(POD, POD_OBJECT, "Started", "it started twice"), "c")
        recorder.record(Emit(POD, other, "Started", "it started"), "c")
    assert len(cluster.all(EVENT)) == 3


@virtually
async def test_what_cannot_be_written_is_lost_and_hurts_nobody() -> None:
    cluster = ModelCluster()
    cluster.failures = [unavailable("before")]
    async with recording(cluster) as recorder:
        recorder.record(EMIT, "c")
        recorder.record(Emit(POD, POD_OBJECT, "Ended", "it ended"), "c")
    assert [event["reason"] for event in cluster.all(EVENT)] == ["Ended"]


@virtually
async def test_too_many_are_dropped() -> None:
    recorder = EventRecorder(ModelCluster(), LoopClock(), lambda *_: None)
    for number in range(events.QUEUE_LIMIT + events.REMEMBERED + 50):
        recorder.record(Emit(POD, POD_OBJECT, "R", str(number)), "c")
    assert len(recorder._queue) == events.QUEUE_LIMIT
    assert len(recorder._series) == events.REMEMBERED


@virtually
async def test_what_is_fleeting_is_written_only_where_its_object_stays() -> None:
    cluster = ModelCluster()
    kept = await cluster.create(POD, {"metadata": {"name": "kept", "namespace": "a"}})
    gone = await cluster.create(POD, {"metadata": {"name": "gone", "namespace": "a"}})
    async with recording(cluster) as recorder:
        for pod in (gone, kept):
            recorder.record(Emit(POD, pod, "Scheduled", "on node n", is_fleeting=True), "scheduler")
        await asyncio.sleep(0.1)
        assert not cluster.all(EVENT)
        await cluster.delete(POD, "gone", "a")
        await cluster.create(POD, {"metadata": {"name": "gone", "namespace": "a"}})  # another of that name
    (event,) = cluster.all(EVENT)
    assert event["involvedObject"]["name"] == "kept"
    assert event["firstTimestamp"] == "2026-01-01T00:00:00Z"
