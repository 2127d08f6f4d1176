"""The priority of a Pod follows from its class."""

import pytest

from beamhall.kernel.errors import Forbidden
from beamhall.kernel.kinds import POD, PRIORITY_CLASS


async def make(client, name="p", **spec):
    body = {"spec": {"containers": [{"name": "c", "image": "i"}], **spec}}
    made = await client.create(POD, {"metadata": {"name": name, "namespace": "default"}, **body})
    return made["spec"].get("priorityClassName"), made["spec"]["priority"], made["spec"]["preemptionPolicy"]


async def classes(client):
    await client.create(PRIORITY_CLASS, {"metadata": {"name": "low"}, "value": -5, "preemptionPolicy": "Never"})
    await client.create(PRIORITY_CLASS, {"metadata": {"name": "usual"}, "value": 10, "globalDefault": True})


async def test_a_class_gives_priority_and_policy(client):
    assert await make(client, "before") == (None, 0, "PreemptLowerPriority")
    await classes(client)
    assert await make(client, "low", priorityClassName="low") == ("low", -5, "Never")
    assert await make(client, "usual") == ("usual", 10, "PreemptLowerPriority")
    assert (await make(client, "node", priorityClassName="system-node-critical"))[1] == 2_000_001_000
    assert await make(client, "same", priorityClassName="low", priority=-5) == ("low", -5, "Never")
    await client.delete(PRIORITY_CLASS, "usual")
    assert await make(client, "after") == (None, 0, "PreemptLowerPriority")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"priorityClassName": "none"}, 'pods "p" is forbidden: no PriorityClass with name none was found'),
        ({"priority": 7}, "the integer value of priority (7) must not be provided in pod spec; priority admission"),
        ({"preemptionPolicy": "Never"}, "the string value of PreemptionPolicy (Never) must not be provided"),
    ],
)
async def test_what_is_no_classs_is_refused(client, spec, words):
    await classes(client)
    with pytest.raises(Forbidden) as refused:
        await make(client, **spec)
    assert words in refused.value.message


async def test_there_is_one_default(client):
    await classes(client)
    with pytest.raises(Forbidden, match=r"PriorityClass usual is already marked as default\."):
        await client.create(PRIORITY_CLASS, {"metadata": {"name": "other"}, "value": 1, "globalDefault": True})
    await client.patch(PRIORITY_CLASS, "usual", "", {"description": "the usual"})
    await client.patch(PRIORITY_CLASS, "usual", "", {"globalDefault": False})
    await client.patch(PRIORITY_CLASS, "low", "", {"globalDefault": True})
    assert (await make(client))[:2] == ("low", -5)
