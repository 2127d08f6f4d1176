"""What follows from deletions: dependants, namespaces, definitions."""

import pytest

from beamhall.client.local import LocalClient
from beamhall.kernel.errors import MethodNotAllowed, NotFound
from beamhall.kernel.kinds import CONFIG_MAP, CUSTOM_RESOURCE_DEFINITION, NAMESPACE, POD
from beamhall.kernel.objects import name_of, owner_reference
from tests.unit.embedded.api.conftest import ADMIN, config_map, pod, running_api, toy, toy_definition, until_gone


async def names(client):
    return {name_of(item) for item in (await client.list(CONFIG_MAP)).items}


async def family(client, **reference):
    """Make an owner, a child and a grandchild."""
    owner = await client.create(CONFIG_MAP, config_map("owner"))
    child = config_map("child", ownerReferences=[owner_reference(CONFIG_MAP, owner) | reference])
    child = await client.create(CONFIG_MAP, child)
    await client.create(CONFIG_MAP, config_map("grandchild", ownerReferences=[owner_reference(CONFIG_MAP, child)]))
    return owner


async def test_dependants_follow_their_owner_in_the_background(client):
    await family(client)
    await client.create(CONFIG_MAP, config_map("bystander"))
    await client.delete(CONFIG_MAP, "owner", "default")
    await until_gone(client, CONFIG_MAP, "grandchild", "default")
    assert await names(client) == {"bystander"}


async def test_in_the_foreground_the_owner_goes_last(client):
    await family(client)
    await client.patch(CONFIG_MAP, "grandchild", "default", {"metadata": {"finalizers": ["example.org/held"]}})
    await client.delete(CONFIG_MAP, "owner", "default", propagation="Foreground")
    owner = await client.get(CONFIG_MAP, "owner", "default")
    assert owner["metadata"]["finalizers"] == ["foregroundDeletion"]
    await client.patch(CONFIG_MAP, "grandchild", "default", {"metadata": {"finalizers": None}})
    await until_gone(client, CONFIG_MAP, "owner", "default")
    assert await names(client) == set()


async def test_orphans_stay_without_their_owner(client):
    await family(client)
    await client.delete(CONFIG_MAP, "owner", "default", propagation="Orphan")
    await until_gone(client, CONFIG_MAP, "owner", "default")
    child = await client.get(CONFIG_MAP, "child", "default")
    assert "ownerReferences" not in child["metadata"]
    assert await names(client) == {"child", "grandchild"}


async def test_one_owner_that_is_left_keeps_an_object(client):
    one = await client.create(CONFIG_MAP, config_map("one"))
    two = await client.create(CONFIG_MAP, config_map("two"))
    references = [owner_reference(CONFIG_MAP, one), owner_reference(CONFIG_MAP, two) | {"controller": False}]
    page = await client.list(CONFIG_MAP)
    await client.create(CONFIG_MAP, config_map("child", ownerReferences=references))
    async with client.watch(CONFIG_MAP, revision=page.revision) as events:
        await client.delete(CONFIG_MAP, "one", "default")
        async for event in events:
            if event.type == "MODIFIED":
                break
    child = await client.get(CONFIG_MAP, "child", "default")
    assert [reference["name"] for reference in child["metadata"]["ownerReferences"]] == ["two"]


async def test_a_child_of_an_owner_that_is_gone_goes(client):
    owner = await client.create(CONFIG_MAP, config_map("owner"))
    reference = owner_reference(CONFIG_MAP, owner) | {"uid": "00000000-0000-0000-0000-000000000000"}
    await client.create(CONFIG_MAP, config_map("child", ownerReferences=[reference]))
    await until_gone(client, CONFIG_MAP, "child", "default")
    assert await names(client) == {"owner"}


async def test_a_child_made_after_its_owner_went_follows_it(client):
    owner = await family(client)
    await client.delete(CONFIG_MAP, "owner", "default")
    await until_gone(client, CONFIG_MAP, "child", "default")
    await client.create(CONFIG_MAP, config_map("late", ownerReferences=[owner_reference(CONFIG_MAP, owner)]))
    await until_gone(client, CONFIG_MAP, "late", "default")


async def test_pods_are_given_their_time_when_their_owner_goes(client):
    owner = await client.create(CONFIG_MAP, config_map("owner"))
    await client.create(POD, pod(ownerReferences=[owner_reference(CONFIG_MAP, owner)]))
    await client.patch(POD, "p", "default", {"spec": {"nodeName": "n"}})
    page = await client.list(POD)
    async with client.watch(POD, revision=page.revision) as events:
        await client.delete(CONFIG_MAP, "owner", "default")
        event = await anext(events)
    assert event.object["metadata"]["deletionGracePeriodSeconds"] == 30


async def test_work_that_a_crash_left_is_done_at_the_next_start(tmp_path, clock):
    async with running_api(tmp_path, clock) as api:
        await family(LocalClient(api, ADMIN))
        api.core.observers.clear()  # what a crash right after the write amounts to
        await LocalClient(api, ADMIN).delete(CONFIG_MAP, "owner", "default")
    async with running_api(tmp_path, clock) as api:
        client = LocalClient(api, ADMIN)
        await until_gone(client, CONFIG_MAP, "grandchild", "default")
        assert await names(client) == set()


async def test_a_namespace_goes_when_its_last_object_does(client):
    await client.create(NAMESPACE, {"metadata": {"name": "n1"}})
    held = config_map("held", finalizers=["example.org/held"])
    held["metadata"]["namespace"] = "n1"
    await client.create(CONFIG_MAP, held)
    await client.delete(NAMESPACE, "n1")
    assert (await client.get(NAMESPACE, "n1"))["spec"]["finalizers"] == ["kubernetes"]
    await client.patch(CONFIG_MAP, "held", "n1", {"metadata": {"finalizers": None}})
    await until_gone(client, NAMESPACE, "n1")


async def test_the_objects_of_a_definition_go_with_it(client, toys):
    await client.create(toys, toy())
    held = toy("held")
    held["metadata"]["finalizers"] = ["example.org/held"]
    await client.create(toys, held)
    await client.delete(CUSTOM_RESOURCE_DEFINITION, toys.resource)
    await until_gone(client, toys, "t", "default")
    with pytest.raises(MethodNotAllowed, match="terminating"):
        await client.create(toys, toy("new"))
    await client.patch(toys, "held", "default", {"metadata": {"finalizers": None}})
    await until_gone(client, CUSTOM_RESOURCE_DEFINITION, toys.resource)
    with pytest.raises(NotFound):
        await client.list(toys)
    await client.create(CUSTOM_RESOURCE_DEFINITION, toy_definition())
    assert (await client.list(toys)).items == []
