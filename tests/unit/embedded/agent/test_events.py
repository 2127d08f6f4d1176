"""Events: one for one thing, counted, bounded."""

import asyncio

import pytest

from beamhall.embedded.agent.events import EventRecorder
from beamhall.kernel.kinds import EVENT
from tests.unit.embedded.agent.builders import at

POD = {"metadata": {"name": "p", "namespace": "ns", "uid": "u"}}


class HandClock:
    def __init__(self):
        self.s = 0.0

    def now(self):
        return at(self.s)

    def monotonic(self):
        return self.s


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
async def recorder(cluster, clock):
    return EventRecorder(cluster, clock, "node")


def events(cluster):
    return sorted((o for (k, _, _), o in cluster.objects.items() if k == EVENT), key=lambda e: e["message"])


async def test_the_same_thing_is_counted(cluster, clock, recorder):
    recorder.warning(POD, "Failed", "no", container="c")
    await recorder.flush()
    clock.s = 60
    recorder.warning(POD, "Failed", "no", container="c")
    recorder.normal(POD, "Started", "yes")
    await recorder.flush()
    first, second = events(cluster)
    assert (first["count"], first["firstTimestamp"], first["lastTimestamp"]) == (
        2,
        "2026-01-01T12:00:00Z",
        "2026-01-01T12:01:00Z",
    )
    assert first["involvedObject"]["fieldPath"] == "spec.containers{c}"
    assert first["source"] == {"component": "kubelet", "host": "node"}
    assert (second["type"], second["count"], second["involvedObject"]["uid"]) == ("Normal", 1, "u")


async def test_a_new_recorder_counts_on(cluster, clock, recorder):
    recorder.normal(POD, "Started", "yes")
    await recorder.flush()
    again = EventRecorder(cluster, clock, "node")
    again.normal(POD, "Started", "yes")
    await again.flush()
    (event,) = events(cluster)
    assert event["count"] == 2


async def test_progress_is_one_event_whose_message_changes(cluster, recorder):
    for text in ("first", "second"):
        recorder.normal(POD, "Pulling", text, slot="progress")
    await recorder.flush()
    (event,) = events(cluster)
    assert (event["message"], event["count"]) == ("second", 2)


async def test_a_pod_has_a_burst_and_then_one_every_ten_seconds(cluster, clock, recorder):
    for number in range(100):
        recorder.normal(POD, "Noise", str(number))
    await recorder.flush()
    assert len(events(cluster)) == 30
    clock.s = 20
    for number in range(100, 200):
        recorder.normal(POD, "Noise", str(number))
    await recorder.flush()
    assert len(events(cluster)) == 32


async def test_an_event_that_was_deleted_begins_anew(cluster, recorder):
    recorder.normal(POD, "Started", "yes")
    await recorder.flush()
    (event,) = events(cluster)
    await cluster.delete(EVENT, event["metadata"]["name"], "ns")
    recorder.normal(POD, "Started", "yes")
    await recorder.flush()
    (event,) = events(cluster)
    assert event["count"] == 1


async def test_a_long_message_is_cut(cluster, recorder):
    recorder.normal(POD, "Long", "x" * 5000)
    await recorder.flush()
    (event,) = events(cluster)
    assert len(event["message"]) == 1024


async def test_run_writes_what_is_recorded(cluster, recorder):
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(recorder.run())
        recorder.normal(POD, "Started", "yes")
        await cluster.until(lambda: events(cluster))
        task.cancel()


async def test_what_a_pod_that_is_gone_did_is_dropped_but_not_what_was_wrong(cluster, recorder):
    other = {"metadata": {"name": "q", "namespace": "ns", "uid": "v"}}
    recorder.normal(POD, "Started", "yes")
    recorder.warning(POD, "BackOff", "no")
    recorder.normal(other, "Started", "yes")
    recorder.forget(POD)
    await recorder.flush()
    assert [(e["reason"], e["involvedObject"]["name"]) for e in events(cluster)] == [("BackOff", "p"), ("Started", "q")]
