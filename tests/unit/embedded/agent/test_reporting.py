"""Writing statuses: the newest counts, failures are tried again, a final one stays."""

import asyncio
from contextlib import suppress

import pytest

from beamhall.embedded.agent.reporting import StatusReporter, difference
from beamhall.kernel.errors import NotFound, ServiceUnavailable
from beamhall.kernel.kinds import POD
from tests.unit.embedded.agent.conftest import pod_of


def test_difference_names_only_what_changes():
    assert difference({"a": 1, "b": None, "c": 3}, {"a": 1, "c": 2, "d": 4}) == {"c": 3}
    assert difference({"reason": None}, {"reason": "x"}) == {"reason": None}


class Reported:
    def __init__(self, cluster, pod, **options):
        self.pod = pod
        self.wanted = {"phase": "Pending"}
        self.reporter = StatusReporter(cluster, lambda: self.pod, lambda: dict(self.wanted), self.take, **options)

    def take(self, pod):
        self.pod = pod


@pytest.fixture
async def reported(cluster):
    return Reported(cluster, await cluster.create(POD, pod_of("one", "")))


async def test_the_same_is_not_written_twice(cluster, reported):
    await reported.reporter.flush()
    await reported.reporter.flush()
    assert len(cluster.patches) == 1
    assert cluster.pod("one")["status"] == {"phase": "Pending"}


@pytest.mark.parametrize(("patience_s", "final", "writes"), [(60, True, 1), (0.001, False, 1)])
async def test_what_is_not_final_waits_a_moment_for_what_follows(cluster, patience_s, final, writes):
    reported = Reported(cluster, await cluster.create(POD, pod_of("one", "")), patience_s=patience_s)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(reported.reporter.run())
        reported.wanted = {"phase": "Running"}
        reported.reporter.notify()
        if final:
            await asyncio.sleep(0)
            reported.wanted = {"phase": "Succeeded"}
            reported.reporter.notify(is_pressing=True)
        async with asyncio.timeout(30):
            while cluster.pod("one").get("status") != reported.wanted:
                await asyncio.sleep(0.01)
        running.cancel()
    assert len(cluster.patches) == writes


async def test_a_final_phase_stays(cluster, reported):
    reported.wanted = {"phase": "Succeeded"}
    await reported.reporter.flush()
    reported.wanted = {"phase": "Failed"}
    await reported.reporter.flush()
    assert cluster.pod("one")["status"] == {"phase": "Succeeded"}


async def test_a_failed_write_is_tried_again_with_what_is_newest(cluster, reported):
    patch, failures = cluster.patch, iter([ServiceUnavailable("not now"), None])

    async def unsteady(*args, **kwargs):
        if error := next(failures):
            reported.wanted = {"phase": "Running"}
            raise error
        return await patch(*args, **kwargs)

    cluster.patch = unsteady
    await reported.reporter.flush()
    assert cluster.pod("one")["status"] == {"phase": "Running"}


async def test_another_pod_of_that_name_is_left_alone(cluster, reported):
    await cluster.delete(POD, "one", "default")
    with suppress(NotFound):
        await cluster.delete(POD, "one", "default", grace_period_s=0)
    await cluster.create(POD, pod_of("one", ""))
    async with asyncio.timeout(5):
        await reported.reporter.flush()
    assert "status" not in cluster.pod("one")
