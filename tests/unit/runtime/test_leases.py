"""Leader election: one leads, another takes over when it stops, and who cannot renew stops first."""

import asyncio
import contextlib
from collections.abc import Callable

from beamhall.kernel.errors import ServiceUnavailable
from beamhall.kernel.kinds import LEASE
from beamhall.runtime.leases import Lease, Terms
from tests.models.cluster import ModelCluster, unavailable
from tests.models.virtual_time import LoopClock, virtually

TERMS = Terms()


class Candidate:
    def __init__(self, cluster: ModelCluster, identity: str) -> None:
        self.lease = Lease(cluster, LoopClock(), ("kube-system", "beamhall"), identity, terms=TERMS)
        self.is_working = False
        self.terms = 0

    async def run(self) -> None:
        while True:
            await self.lease.lead(self.work)

    async def work(self) -> None:
        self.is_working = True
        self.terms += 1
        try:
            await asyncio.sleep(1e9)
        finally:
            self.is_working = False


def works(candidate: Candidate) -> bool:
    return candidate.is_working


async def watch_for_two_leaders(*candidates: Candidate) -> None:
    while True:
        assert sum(candidate.is_working for candidate in candidates) <= 1
        await asyncio.sleep(0.1)


def holder(cluster: ModelCluster) -> str:
    (lease,) = cluster.all(LEASE)
    return str(lease["spec"]["holderIdentity"])


class Scene:
    def __init__(self, group: asyncio.TaskGroup, *candidates: Candidate) -> None:
        self.tasks = [group.create_task(candidate.run()) for candidate in candidates]
        self.watching = group.create_task(watch_for_two_leaders(*candidates))

    async def end(self) -> None:
        for task in (*self.tasks, self.watching):
            task.cancel()
        await asyncio.wait((*self.tasks, self.watching))


@virtually
async def test_one_leads_and_hands_over_when_it_is_stopped() -> None:
    cluster = ModelCluster()
    one, two = Candidate(cluster, "one"), Candidate(cluster, "two")
    async with asyncio.TaskGroup() as group:
        scene = Scene(group, one, two)
        await asyncio.sleep(100)
        first, second = (one, two) if one.is_working else (two, one)
        assert works(first)
        assert holder(cluster) == ("one" if first is one else "two")
        scene.tasks[0 if first is one else 1].cancel()
        await asyncio.sleep(2 * TERMS.retry_s)
        assert works(second)  # without waiting for the lease to run out
        assert not works(first)
        (lease,) = cluster.all(LEASE)
        assert lease["spec"]["leaseTransitions"] >= 1
        await scene.end()


@virtually
async def test_a_dead_leader_is_followed_when_its_lease_has_run_out() -> None:
    cluster = ModelCluster()
    spec = {"holderIdentity": "dead", "leaseDurationSeconds": 15, "renewTime": "2020-01-01T00:00:00.000000Z"}
    await cluster.create(LEASE, {"metadata": {"name": "beamhall", "namespace": "kube-system"}, "spec": spec})
    one = Candidate(cluster, "one")
    async with asyncio.TaskGroup() as group:
        scene = Scene(group, one)
        await asyncio.sleep(14)
        assert not works(one)  # its clock may be wrong: only what we saw counts
        await asyncio.sleep(5)
        assert works(one)
        await scene.end()


@virtually
async def test_who_cannot_renew_stops_before_another_may_begin() -> None:
    cluster = ModelCluster()
    one = Candidate(cluster, "one")
    async with asyncio.TaskGroup() as group:
        scene = Scene(group, one)
        await asyncio.sleep(5)
        assert works(one)
        cluster.failures = [unavailable("before")] * 1000
        await asyncio.sleep(TERMS.renew_within_s + TERMS.retry_s)
        assert not works(one)
        cluster.failures = []
        await asyncio.sleep(30)
        assert works(one)
        assert one.terms == 2
        await scene.end()


@virtually
async def test_a_few_lost_requests_cost_nothing() -> None:
    cluster = ModelCluster()
    one = Candidate(cluster, "one")
    async with asyncio.TaskGroup() as group:
        scene = Scene(group, one)
        await asyncio.sleep(5)
        for _ in range(20):
            cluster.failures = [unavailable("before"), unavailable("after")]
            await asyncio.sleep(20)
        assert works(one)
        assert one.terms == 1
        await scene.end()


@virtually
async def test_who_lost_the_lease_to_another_stops() -> None:
    cluster = ModelCluster()
    one = Candidate(cluster, "one")
    async with asyncio.TaskGroup() as group:
        scene = Scene(group, one)
        await asyncio.sleep(5)
        taken = {"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 1000}}
        await cluster.patch(LEASE, "beamhall", "kube-system", taken)
        await asyncio.sleep(10)
        assert not works(one)
        assert holder(cluster) == "thief"
        await scene.end()


@virtually
async def test_the_end_and_the_failure_of_the_work_give_the_lease_up() -> None:
    cluster = ModelCluster()
    lease = Candidate(cluster, "one").lease

    async def ends() -> None:
        await asyncio.sleep(1)

    async def fails() -> None:
        raise ServiceUnavailable("no")

    works: list[Callable[[], object]] = [ends, fails]
    for work in works:
        with contextlib.suppress(ExceptionGroup):
            await lease.lead(work)  # type: ignore[arg-type]
        assert holder(cluster) == ""
        assert not lease.is_held
