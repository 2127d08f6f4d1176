"""The whole runtime on a cluster in memory: it does what plans say, once, then rests, and bears what goes wrong."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from beamhall.client.protocol import ALL, Page, Selection
from beamhall.client.reflector import Pace
from beamhall.kernel.errors import Forbidden
from beamhall.kernel.kinds import EVENT, POD, Kind
from beamhall.kernel.objects import Key, Object, ReadOnlyObject, name_of, owner_reference
from beamhall.kernel.plan import Plan, View
from beamhall.runtime.controller import Controller
from beamhall.runtime.manager import Manager
from tests.models.cluster import ModelCluster, unavailable
from tests.models.crews import CREW, CREWS, crew
from tests.models.virtual_time import LoopClock, virtually

CONTROLLER = Controller.of(CREWS)


@asynccontextmanager
async def running(cluster: ModelCluster, controllers: Sequence[Controller] = (CONTROLLER,)) -> AsyncIterator[Manager]:
    manager = Manager(cluster, controllers, LoopClock(), pace=Pace(jitter=lambda: 0.5))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(manager.run())
        await manager.ready()
        yield manager
        task.cancel()


async def settle() -> None:
    """Let a minute of virtual time pass, so that whatever wants to happen happens."""
    await asyncio.sleep(60)


def pods(cluster: ModelCluster) -> list[str]:
    return [name_of(pod) for pod in cluster.all(POD)]


@virtually
async def test_children_are_made_kept_and_removed() -> None:
    cluster = ModelCluster()
    async with running(cluster):
        await cluster.create(CREW, crew("c", 3))
        await settle()
        assert pods(cluster) == ["c-0", "c-1", "c-2"]
        assert cluster.all(CREW)[0]["status"] == {"ready": 0, "pods": ["c-0", "c-1", "c-2"]}
        cluster.status(POD, "c-1", "a", {"phase": "Failed"})
        await settle()
        assert cluster.creations["pods", "c-1", cluster.all(CREW)[0]["metadata"]["uid"]] == 2
        await cluster.patch(CREW, "c", "a", {"spec": {"replicas": 1}})
        await settle()
        assert pods(cluster) == ["c-0"]


@virtually
async def test_at_the_fixed_point_nothing_is_written_or_planned() -> None:
    cluster = ModelCluster()
    plans: list[str] = []

    def counting(obj: ReadOnlyObject, view: View) -> Plan:
        plans.append(name_of(obj))
        return CREWS.plan(obj, view)

    async with running(cluster, [replace(CONTROLLER, plan=counting)]):
        await cluster.create(CREW, crew("c", 2))
        await settle()
        requests, number = len(cluster.requests), len(plans)
        await asyncio.sleep(3600)
        assert len(cluster.requests) == requests
        assert len(plans) == number


@virtually
async def test_own_writes_are_seen_before_the_key_is_planned_again() -> None:
    cluster = ModelCluster()
    async with running(cluster):
        cluster.hold(POD)
        await cluster.create(CREW, crew("c", 4))
        await asyncio.sleep(1)
        for number in range(5):
            await cluster.patch(CREW, "c", "a", {"metadata": {"labels": {"x": str(number)}}})
            await asyncio.sleep(0.1)
        assert cluster.requests.count("create") == 1 + 4 + len(cluster.all(EVENT))
        assert cluster.requests.count("get") == 0  # no create was refused
        cluster.show(POD)
        await settle()
        assert cluster.all(CREW)[0]["status"]["pods"] == ["c-0", "c-1", "c-2", "c-3"]


@virtually
async def test_own_writes_that_are_never_seen_are_not_waited_for_for_ever() -> None:
    cluster = ModelCluster()
    async with running(cluster):
        cluster.hold(POD)
        await cluster.create(CREW, crew("c", 2))
        await settle()
        await cluster.patch(CREW, "c", "a", {"spec": {"replicas": 3}})
        await settle()
        assert pods(cluster) == ["c-0", "c-1", "c-2"]
        assert all(number == 1 for (plural, _, _), number in cluster.creations.items() if plural == "pods")


@virtually
async def test_a_write_that_would_change_nothing_is_not_sent() -> None:
    cluster = ModelCluster()
    async with running(cluster):
        await cluster.create(CREW, crew("c", 1))
        await settle()
        before = cluster.requests.count("patch")
        await cluster.patch(CREW, "c", "a", {"metadata": {"labels": {"x": "y"}}})
        await settle()
        assert cluster.requests.count("patch") == before + 1


@virtually
async def test_a_watch_that_is_cut_or_expired_is_made_up_for() -> None:
    cluster = ModelCluster()
    async with running(cluster) as manager:
        await cluster.create(CREW, crew("c", 1))
        await settle()
        cluster.cut()
        await cluster.create(CREW, crew("d", 1))
        cluster.remove(Key(POD, "a", "c-0"))
        cluster.expire()
        await settle()
        assert pods(cluster) == ["c-0", "d-0"]
        assert manager.is_idle


@virtually
async def test_a_child_that_came_and_went_while_nobody_looked_is_made_again() -> None:
    cluster = ModelCluster()
    async with running(cluster):
        cluster.hold(POD)
        await cluster.create(CREW, crew("c", 1))
        await asyncio.sleep(1)
        assert pods(cluster) == ["c-0"]
        cluster.remove(Key(POD, "a", "c-0"))
        cluster.expire()
        cluster.show(POD)
        await settle()
        assert pods(cluster) == ["c-0"]


@virtually
async def test_lost_requests_and_lost_answers_are_tried_again() -> None:
    cluster = ModelCluster()
    async with running(cluster) as manager:
        made = await cluster.create(CREW, crew("c", 3))
        cluster.failures = [unavailable("before"), unavailable("after"), unavailable("after")]
        await settle()
        assert pods(cluster) == ["c-0", "c-1", "c-2"]
        assert all(number == 1 for (plural, _, _), number in cluster.creations.items() if plural == "pods")
        outcomes = [entry["outcome"] for entry in manager.story.of(CREW.resource, "a", "c")]
        assert any(outcome.startswith("ServiceUnavailable") for outcome in outcomes)
        assert outcomes[-1] == "done"
        assert made["metadata"]["uid"]


@virtually
async def test_a_defect_in_one_plan_stops_no_other_and_shows_after_five() -> None:
    cluster = ModelCluster()
    is_mended = False

    def sometimes(obj: ReadOnlyObject, view: View) -> Plan:
        if name_of(obj) == "bad" and not is_mended:
            raise ZeroDivisionError("a defect")
        return CREWS.plan(obj, view)

    async with running(cluster, [replace(CONTROLLER, plan=sometimes)]) as manager:
        await cluster.create(CREW, crew("bad", 1))
        await cluster.create(CREW, crew("good", 1))
        await settle()
        assert pods(cluster) == ["good-0"]
        (entry, *_) = manager.story.of(CREW.resource, "a", "bad")
        assert "defect" in entry["outcome"]
        is_mended = True
        await asyncio.sleep(120)
        assert pods(cluster) == ["bad-0", "good-0"]


@virtually
async def test_a_taken_name_is_told_and_the_plan_goes_on_when_it_is_free() -> None:
    cluster = ModelCluster()
    async with running(cluster):
        await cluster.create(POD, {"metadata": {"name": "c-0", "namespace": "a"}})
        await cluster.create(CREW, crew("c", 1))
        await settle()
        (event,) = [event for event in cluster.all(EVENT) if event["reason"] == "NameTaken"]
        assert "Pod a/c-0" in event["message"]
        assert event["type"] == "Warning"
        assert event["count"] > 1
        cluster.remove(Key(POD, "a", "c-0"))
        await asyncio.sleep(120)
        (pod,) = cluster.all(POD)
        assert pod["metadata"]["ownerReferences"]


@virtually
async def test_what_may_not_be_made_is_told_and_tried_again() -> None:
    cluster = ModelCluster()
    async with running(cluster):
        await cluster.create(CREW, crew("c", 1))
        cluster.failures.append(("before", Forbidden('pods "c-0" is forbidden: exceeded quota')))
        await settle()
        await asyncio.sleep(10)
        (event,) = [event for event in cluster.all(EVENT) if event["reason"] == "FailedCreate"]
        assert event["message"] == 'Error creating: pods "c-0" is forbidden: exceeded quota'
        assert (event["type"], event["involvedObject"]["name"]) == ("Warning", "c")
        assert pods(cluster) == ["c-0"]


@virtually
async def test_an_object_made_anew_waits_for_the_garbage_of_the_old_one() -> None:
    cluster = ModelCluster()
    async with running(cluster):
        old = await cluster.create(CREW, crew("c", 1))
        await settle()
        cluster.remove(Key(CREW, "a", "c"))
        new = await cluster.create(CREW, crew("c", 1))
        await settle()
        assert [pod["metadata"]["ownerReferences"][0]["uid"] for pod in cluster.all(POD)] == [old["metadata"]["uid"]]
        assert not [event for event in cluster.all(EVENT) if event["reason"] == "NameTaken"]
        cluster.collect_garbage()
        await asyncio.sleep(120)
        assert [pod["metadata"]["ownerReferences"][0]["uid"] for pod in cluster.all(POD)] == [new["metadata"]["uid"]]


@virtually
async def test_a_singleton_is_planned_once_for_many_changes_and_at_the_start() -> None:
    cluster = ModelCluster()
    seen: list[int] = []

    def plan(obj: ReadOnlyObject, view: View) -> Plan:
        assert obj == {}
        seen.append(len(view.list(POD)) + len(view.list(CREW)))
        return Plan()

    single = Controller.of(replace(CREWS, name="single", plan=plan, singleton=True))
    async with running(cluster, [single]):
        await settle()
        assert seen == [0]
        for number in range(50):
            await cluster.create(POD, {"metadata": {"name": f"p{number}", "namespace": "a"}})
        await settle()
        assert seen[-1] == 50
        assert len(seen) <= 52


@virtually
async def test_a_key_that_rests_is_planned_once_for_what_changes_meanwhile() -> None:
    cluster = ModelCluster()
    times: list[float] = []
    seen: list[int] = []

    def plan(_: ReadOnlyObject, view: View) -> Plan:
        times.append(view.now.timestamp())
        seen.append(len(view.list(POD)))
        return Plan()

    single = replace(CREWS, name="single", plan=plan, singleton=True, rest_s=10.0)
    async with running(cluster, [Controller.of(single)]):
        await settle()
        for number in range(5):
            await cluster.create(POD, {"metadata": {"name": f"p{number}", "namespace": "a"}})
            await asyncio.sleep(1)
        assert seen == [0, 1], "it had rested before the first"
        await asyncio.sleep(100)
    assert seen == [0, 1, 5]
    assert round(times[2] - times[1]) == 10


@virtually
async def test_a_plan_may_ask_to_be_made_again_later() -> None:
    cluster = ModelCluster()
    times: list[float] = []

    def plan(obj: ReadOnlyObject, view: View) -> Plan:
        times.append(view.now.timestamp())
        return Plan(again_after_s=100.0 if len(times) < 3 else None)

    async with running(cluster, [replace(CONTROLLER, plan=plan)]):
        await cluster.create(CREW, crew("c", 1))
        await asyncio.sleep(1000)
    assert [round(later - earlier) for earlier, later in itertools.pairwise(times)] == [100, 100]


@virtually
async def test_what_waiting_does_not_mend_ends_the_manager() -> None:
    class Refusing(ModelCluster):
        async def list(self, kind: Kind, selection: Selection = ALL, *, limit: int = 0, continue_: str = "") -> Page:
            raise Forbidden("crews are not for you")

    manager = Manager(Refusing(), [CONTROLLER], LoopClock())
    with pytest.raises(ExceptionGroup) as raised:
        await manager.run()
    assert raised.group_contains(Forbidden)
    assert not manager.is_ready


@virtually
async def test_a_child_of_another_kind_with_the_same_name_of_owner_is_not_ours() -> None:
    cluster = ModelCluster()
    planned: list[str] = []

    def plan(obj: ReadOnlyObject, view: View) -> Plan:
        planned.append(name_of(obj))
        return Plan()

    async with running(cluster, [replace(CONTROLLER, plan=plan)]):
        made = await cluster.create(CREW, crew("c", 1))
        await settle()
        planned.clear()
        other: Object = {**owner_reference(CREW, made), "apiVersion": "other.org/v1"}
        await cluster.create(POD, {"metadata": {"name": "p", "namespace": "a", "ownerReferences": [other]}})
        await settle()
        assert planned == []


def test_two_controllers_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="different names"):
        Manager(ModelCluster(), [CONTROLLER, CONTROLLER], LoopClock())
