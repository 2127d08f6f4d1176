"""Server-side apply, on every transport."""

import pytest

from beamhall.client.protocol import Apply, Client
from beamhall.kernel.errors import BadRequest, Conflict, Invalid, NotFound
from beamhall.kernel.kinds import CONFIG_MAP, POD
from beamhall.kernel.objects import Object


def config(**data: str) -> Object:
    return {"data": data}


async def apply(client: Client, namespace: str, manager: str, *, force: bool = False, **data: str) -> Object:
    return await client.patch(CONFIG_MAP, "a", namespace, {"data": data}, type=Apply(manager, force=force))


async def test_applying_makes_changes_and_removes(client: Client, namespace: str) -> None:
    made = await apply(client, namespace, "one", a="1", b="1")
    assert made["data"] == {"a": "1", "b": "1"}
    assert (await apply(client, namespace, "one", a="1", b="1"))["metadata"]["resourceVersion"] == (
        made["metadata"]["resourceVersion"]
    )
    changed = await apply(client, namespace, "one", a="2")
    assert changed["data"] == {"a": "2"}
    assert changed["metadata"]["uid"] == made["metadata"]["uid"]


async def test_each_keeps_what_it_applied(client: Client, namespace: str) -> None:
    await apply(client, namespace, "one", a="1", shared="x")
    both = await apply(client, namespace, "other", b="1", shared="x")
    assert both["data"] == {"a": "1", "b": "1", "shared": "x"}
    assert (await apply(client, namespace, "one"))["data"] == {"b": "1", "shared": "x"}
    left = await apply(client, namespace, "other")
    assert not left.get("data")


async def test_what_somebody_else_owns_is_a_conflict(client: Client, namespace: str) -> None:
    await apply(client, namespace, "one", a="1", b="1")
    with pytest.raises(Conflict) as caught:
        await apply(client, namespace, "other", a="2")
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    assert [(c.reason, c.field) for c in caught.value.causes] == [("FieldManagerConflict", ".data.a")]
    forced = await apply(client, namespace, "other", force=True, a="2")
    assert forced["data"] == {"a": "2", "b": "1"}
    with pytest.raises(Conflict, match=r'conflict with "other": \.data\.a'):
        await apply(client, namespace, "one", a="1", b="1")
    assert (await apply(client, namespace, "one", b="1"))["data"] == {"a": "2", "b": "1"}, "it owns a no longer"


async def test_a_plain_write_takes_fields_too(client: Client, namespace: str) -> None:
    await client.create(CONFIG_MAP, {"metadata": {"name": "a", "namespace": namespace}, "data": {"a": "1"}})
    with pytest.raises(Conflict, match=r'conflict with "[^"]+" using v1: \.data\.a'):
        await apply(client, namespace, "one", a="2")
    await apply(client, namespace, "one", b="1")
    await client.patch(CONFIG_MAP, "a", namespace, {"data": {"b": "2"}})
    with pytest.raises(Conflict, match=r'conflict with "[^"]+" using v1: \.data\.b'):
        await apply(client, namespace, "one", b="1")
    assert (await apply(client, namespace, "one", c="1"))["data"] == {"a": "1", "b": "2", "c": "1"}


async def test_items_of_lists_are_merged_by_their_keys(client: Client, namespace: str) -> None:
    pod: Object = {
        "spec": {
            "nodeSelector": {"never": "here"},
            "containers": [{"name": "main", "image": "python", "env": [{"name": "A", "value": "1"}]}],
        },
    }
    await client.patch(POD, "p", namespace, pod, type=Apply("one"))
    changed = await client.patch(
        POD, "p", namespace, {"spec": {"containers": [{"name": "main", "image": "python:3.12"}]}},
        type=Apply("other", force=True),
    )  # fmt: skip
    (container,) = changed["spec"]["containers"]
    assert (container["image"], container["env"]) == ("python:3.12", [{"name": "A", "value": "1"}])
    with pytest.raises(BadRequest, match="omits key field 'name'"):
        await client.patch(POD, "p", namespace, {"spec": {"containers": [{"image": "x"}]}}, type=Apply("o"))


async def test_a_status_is_applied_apart(client: Client, namespace: str) -> None:
    pod: Object = {"spec": {"nodeSelector": {"never": "here"}, "containers": [{"name": "main", "image": "python"}]}}
    await client.patch(POD, "p", namespace, pod | {"status": {"message": "no"}}, type=Apply("one"))
    condition = {"type": "example.org/Ready", "status": "True"}
    changed = await client.patch(
        POD, "p", namespace, {"status": {"conditions": [condition]}}, type=Apply("two"), subresource="status"
    )
    assert "message" not in changed["status"]
    assert condition in [{k: c[k] for k in ("type", "status")} for c in changed["status"]["conditions"]]


async def test_what_an_apply_must_have(client: Client, namespace: str) -> None:
    with pytest.raises(Invalid, match="fieldManager: Required value: is required for apply patch"):
        await apply(client, namespace, "")
    with pytest.raises(BadRequest, match=r"managedFields must be nil"):
        await client.patch(CONFIG_MAP, "a", namespace, {"metadata": {"managedFields": []}}, type=Apply("one"))
    with pytest.raises(Conflict, match="uid mismatch"):
        await client.patch(CONFIG_MAP, "a", namespace, {"metadata": {"uid": "x"}}, type=Apply("one"))
    with pytest.raises(NotFound):
        await client.patch(POD, "a", namespace, {"status": {}}, type=Apply("one"), subresource="status")
    with pytest.raises(NotFound):
        await client.patch(CONFIG_MAP, "a", "nowhere", {}, type=Apply("one"))
    await apply(client, namespace, "one", a="1")
    with pytest.raises(Conflict):
        await client.patch(CONFIG_MAP, "a", namespace, {"metadata": {"resourceVersion": "1"}}, type=Apply("one"))
