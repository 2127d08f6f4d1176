"""Which container and which run are meant, with Kubernetes' words; the rest is in test_criformat and test_agent."""

import pytest

from beamhall.client.protocol import LogOptions
from beamhall.embedded.agent.logs import PodLogs, choose_container
from beamhall.kernel.errors import BadRequest, NotFound
from beamhall.kernel.kinds import POD
from tests.unit.embedded.agent.builders import pod
from tests.unit.embedded.agent.conftest import pod_of


@pytest.mark.parametrize(
    ("subject", "asked", "expected"),
    [
        (pod(), "", "main"),
        (pod(inits=("i",)), "", "main"),
        (pod(inits=("i",)), "i", "i"),
        (pod(containers=("a", "b")), "b", "b"),
    ],
)
def test_choose_container(subject, asked, expected):
    assert choose_container(subject, asked) == expected


@pytest.mark.parametrize(
    ("subject", "asked", "message"),
    [
        (pod(), "x", "container x is not valid for pod p"),
        (pod(containers=("a", "b")), "", r"a container name must be specified for pod p, choose one of: \[a b\]$"),
        (pod(containers=("a", "b"), inits=("i",)), "", r"\[a b\] or one of the init containers: \[i\]$"),
    ],
)
def test_a_container_that_is_not_clear_is_asked_for(subject, asked, message):
    with pytest.raises(BadRequest, match=message):
        choose_container(subject, asked)


async def text_of(agent, subject, **options):
    async with PodLogs(agent).open(subject, LogOptions(**options)) as blocks:
        return b"".join([block async for block in blocks]).decode()


async def test_parts_of_a_log(agent, cluster):
    await cluster.create(POD, pod_of("one", "seq 1 1000"))
    subject = await cluster.phase("one", "Succeeded")
    assert await text_of(agent, subject, tail_lines=2) == "999\n1000\n"
    assert await text_of(agent, subject, limit_bytes=5) == "1\n2\n3"
    assert await text_of(agent, subject, since_s=3600, tail_lines=1) == "1000\n"
    assert await text_of(agent, subject, since_s=-3600) == ""
    stamp, line = (await text_of(agent, subject, timestamps=True, tail_lines=1)).split()
    assert (stamp[:2], stamp[-1], line) == ("20", "Z", "1000")
    assert await text_of(agent, subject, follow=True, tail_lines=1) == "1000\n"


async def test_logs_that_are_not_there_say_why(agent, cluster):
    await cluster.create(POD, pod_of("one", "true"))
    subject = await cluster.phase("one", "Succeeded")
    with pytest.raises(BadRequest, match='previous terminated container "main" in pod "one" not found'):
        await text_of(agent, subject, previous=True)
    with pytest.raises(NotFound, match='the logs of pod "one" are no longer on its node'):
        await text_of(agent, subject | {"metadata": {"name": "one", "uid": "other"}})
    unbound = await cluster.create(POD, pod_of("two", "true", node=""))
    with pytest.raises(BadRequest, match="pod two does not have a host assigned"):
        await text_of(agent, unbound)


async def test_an_image_that_cannot_be_had_is_why_there_is_no_log(agent, cluster):
    await cluster.create(POD, pod_of("one", "true", image="strange"))
    subject = await cluster.until(lambda: (p := cluster.pod("one")).get("status", {}).get("containerStatuses") and p)
    with pytest.raises(
        BadRequest, match=r"is waiting to start: (trying and failing to pull image|image can't be pulled)"
    ):
        await text_of(agent, subject)
