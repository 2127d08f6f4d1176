"""The laws of ``Client`` on reading and writing single objects."""

import asyncio
from types import MappingProxyType

import pytest

from beamhall.client.protocol import Client, LogOptions
from beamhall.kernel.errors import AlreadyExists, BadRequest, Conflict, Invalid, NotFound
from beamhall.kernel.kinds import CONFIG_MAP, NAMESPACE, POD, Kind
from beamhall.kernel.objects import Object, name_of, uid_of


def config_map(namespace: str, name: str = "a", **more: object) -> Object:
    return {"metadata": {"name": name, "namespace": namespace}, "data": {"k": "v"}, **more}


def pod(namespace: str, name: str = "p") -> Object:
    """A Pod that no scheduler can place."""
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "nodeSelector": {"beamhall.test/exists": "never"},
            "containers": [{"name": "a", "image": "python:1"}, {"name": "b", "image": "python:1"}],
        },
    }


async def gone(client: Client, kind: Kind, name: str, namespace: str = "") -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await client.get(kind, name, namespace)
            except NotFound:
                return
            await asyncio.sleep(0.02)


async def test_created_objects_can_be_read(client: Client, namespace: str) -> None:
    made = await client.create(CONFIG_MAP, config_map(namespace))
    assert (made["apiVersion"], made["kind"], made["data"]) == ("v1", "ConfigMap", {"k": "v"})
    for field in ("uid", "resourceVersion", "creationTimestamp"):
        assert made["metadata"][field]
    assert await client.get(CONFIG_MAP, "a", namespace) == made


async def test_cluster_scoped_objects_need_no_namespace(client: Client, namespace: str) -> None:
    assert name_of(await client.get(NAMESPACE, namespace)) == namespace


async def test_a_name_can_be_generated(client: Client, namespace: str) -> None:
    obj: Object = {"metadata": {"generateName": "made-", "namespace": namespace}}
    one, two = await client.create(CONFIG_MAP, obj), await client.create(CONFIG_MAP, obj)
    assert name_of(one).startswith("made-")
    assert len(name_of(one)) == len("made-") + 5
    assert name_of(one) != name_of(two)


async def test_a_taken_name_is_refused(client: Client, namespace: str) -> None:
    await client.create(CONFIG_MAP, config_map(namespace))
    with pytest.raises(AlreadyExists, match='"a"'):
        await client.create(CONFIG_MAP, config_map(namespace))


async def test_what_is_not_there_is_not_found(client: Client, namespace: str) -> None:
    with pytest.raises(NotFound, match='"none"') as caught:
        await client.get(CONFIG_MAP, "none", namespace)
    assert caught.value.details["name"] == "none"
    with pytest.raises(NotFound):
        await client.delete(CONFIG_MAP, "none", namespace)
    with pytest.raises(NotFound):
        await client.patch(CONFIG_MAP, "none", namespace, {"data": {}})
    with pytest.raises(NotFound):
        await client.create(CONFIG_MAP, config_map("beamhall-no-such-namespace"))


async def test_an_unknown_resource_is_not_found(client: Client, namespace: str) -> None:
    nothing = Kind("beamhall.test", "v1", "Nothing", "nothings")
    with pytest.raises(NotFound):
        await client.get(nothing, "a", namespace)
    with pytest.raises(NotFound):
        await client.list(nothing)
    with pytest.raises(NotFound):
        await client.create(nothing, config_map(namespace))


async def test_bad_fields_are_named(client: Client, namespace: str) -> None:
    with pytest.raises(Invalid) as caught:
        await client.create(CONFIG_MAP, config_map(namespace, "Not_A_Name"))
    assert [cause.field for cause in caught.value.causes] == ["metadata.name"]


async def test_what_json_cannot_hold_is_a_bad_request(client: Client, namespace: str) -> None:
    with pytest.raises(BadRequest, match="JSON"):
        await client.create(CONFIG_MAP, config_map(namespace, data={"k": object()}))


async def test_mappings_and_tuples_are_written_as_json(client: Client, namespace: str) -> None:
    shared = MappingProxyType({"k": "v"})
    obj = config_map(namespace, data=shared)
    obj["metadata"]["finalizers"] = ("beamhall.test/a",)
    made = await client.create(CONFIG_MAP, obj)
    assert made["data"] == {"k": "v"}
    assert made["metadata"]["finalizers"] == ["beamhall.test/a"]
    await client.patch(CONFIG_MAP, "a", namespace, {"metadata": {"finalizers": None}})


async def test_text_of_every_kind_survives(client: Client, namespace: str) -> None:
    data = {"k": 'ü𝄞\u2028"\\\n\t', "long": "x" * 300_000, "empty": ""}
    await client.create(CONFIG_MAP, config_map(namespace, data=data))
    assert (await client.get(CONFIG_MAP, "a", namespace))["data"] == data


async def test_objects_belong_to_who_holds_them(client: Client, namespace: str) -> None:
    given = config_map(namespace)
    made = await client.create(CONFIG_MAP, given)
    given["data"]["k"] = "spoilt"
    made["data"]["k"] = "spoilt"
    got = await client.get(CONFIG_MAP, "a", namespace)
    assert got["data"] == {"k": "v"}
    got["data"]["k"] = "spoilt"
    patch = {"data": {"more": "1"}}
    patched = await client.patch(CONFIG_MAP, "a", namespace, patch)
    patch["data"]["more"] = patched["data"]["k"] = "spoilt"
    assert (await client.get(CONFIG_MAP, "a", namespace))["data"] == {"k": "v", "more": "1"}


async def test_replace_needs_the_current_revision(client: Client, namespace: str) -> None:
    old = await client.create(CONFIG_MAP, config_map(namespace))
    new = await client.replace(CONFIG_MAP, old | {"data": {"k": "new"}})
    assert new["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"]
    with pytest.raises(Conflict):
        await client.replace(CONFIG_MAP, old | {"data": {"k": "lost"}})
    assert (await client.get(CONFIG_MAP, "a", namespace))["data"] == {"k": "new"}


async def test_a_replacement_keeps_what_the_server_owns(client: Client, namespace: str) -> None:
    old = await client.create(CONFIG_MAP, config_map(namespace))
    new = await client.replace(CONFIG_MAP, config_map(namespace, data={}))
    assert uid_of(new) == uid_of(old)
    assert new["metadata"]["creationTimestamp"] == old["metadata"]["creationTimestamp"]
    assert not new.get("data")


async def test_a_write_that_changes_nothing_makes_no_revision(client: Client, namespace: str) -> None:
    made = await client.create(CONFIG_MAP, config_map(namespace))
    assert await client.patch(CONFIG_MAP, "a", namespace, {"data": {"k": "v"}}) == made


async def test_merge_patches_add_change_and_remove(client: Client, namespace: str) -> None:
    await client.create(CONFIG_MAP, config_map(namespace, data={"k": "v", "old": "1"}))
    patched = await client.patch(CONFIG_MAP, "a", namespace, {"data": {"k": "w", "old": None, "new": "2"}})
    assert patched["data"] == {"k": "w", "new": "2"}


@pytest.mark.parametrize("field", ["uid", "resourceVersion"])
async def test_patches_have_preconditions(client: Client, namespace: str, field: str) -> None:
    made = await client.create(CONFIG_MAP, config_map(namespace))
    current = made["metadata"][field]
    await client.patch(CONFIG_MAP, "a", namespace, {"metadata": {field: current}, "data": {"k": "1"}})
    wrong = current if field == "resourceVersion" else "00000000-0000-0000-0000-000000000000"
    with pytest.raises(Conflict):
        await client.patch(CONFIG_MAP, "a", namespace, {"metadata": {field: wrong}, "data": {"k": "2"}})
    assert (await client.get(CONFIG_MAP, "a", namespace))["data"] == {"k": "1"}


async def test_json_patches_apply_whole_or_not_at_all(client: Client, namespace: str) -> None:
    await client.create(CONFIG_MAP, config_map(namespace))
    good = [{"op": "test", "path": "/data/k", "value": "v"}, {"op": "add", "path": "/data/n", "value": "1"}]
    assert (await client.patch(CONFIG_MAP, "a", namespace, good, type="json"))["data"] == {"k": "v", "n": "1"}
    failing = [{"op": "add", "path": "/data/m", "value": "1"}, {"op": "test", "path": "/data/k", "value": "other"}]
    with pytest.raises(Invalid):
        await client.patch(CONFIG_MAP, "a", namespace, failing, type="json")
    with pytest.raises(BadRequest):
        await client.patch(CONFIG_MAP, "a", namespace, {"data": {}}, type="json")
    assert (await client.get(CONFIG_MAP, "a", namespace))["data"] == {"k": "v", "n": "1"}


async def test_strategic_patches_merge_lists_by_key(client: Client, namespace: str) -> None:
    await client.create(POD, pod(namespace))
    patch = {"spec": {"containers": [{"name": "b", "image": "python:2"}]}}
    patched = await client.patch(POD, "p", namespace, patch, type="strategic")
    assert [(c["name"], c["image"]) for c in patched["spec"]["containers"]] == [("a", "python:1"), ("b", "python:2")]


async def test_strategic_patches_know_every_list(client: Client, namespace: str) -> None:
    await client.create(POD, pod(namespace))

    async def patched(patch: Object) -> Object:
        return await client.patch(POD, "p", namespace, patch, type="strategic", subresource="status")

    await patched({"status": {"conditions": [{"type": "A", "status": "True"}, {"type": "B", "status": "True"}]}})
    changed = await patched(
        {"status": {"conditions": [{"type": "A", "status": "False"}, {"type": "B", "$patch": "delete"}]}}
    )
    found = {c["type"]: c["status"] for c in changed["status"]["conditions"]}
    assert (found["A"], "B" in found) == ("False", False)
    for names in (["beamhall.test/a"], ["beamhall.test/b"]):
        obj = await client.patch(POD, "p", namespace, {"metadata": {"finalizers": names}}, type="strategic")
    assert sorted(obj["metadata"]["finalizers"]) == ["beamhall.test/a", "beamhall.test/b"]
    await client.patch(POD, "p", namespace, {"metadata": {"finalizers": None}})


async def test_status_is_written_apart(client: Client, namespace: str) -> None:
    made = await client.create(POD, pod(namespace))
    phase = made["status"]["phase"]
    main = await client.patch(POD, "p", namespace, {"status": {"phase": "Failed"}, "metadata": {"labels": {"a": "b"}}})
    assert (main["status"]["phase"], main["metadata"]["labels"]) == (phase, {"a": "b"})
    status = {"status": {"message": "why"}, "metadata": {"labels": {"a": "c"}}}
    patched = await client.patch(POD, "p", namespace, status, subresource="status")
    assert patched["status"]["message"] == "why"
    assert patched["spec"] == main["spec"]
    replaced = await client.replace(POD, patched | {"status": {"phase": "Failed"}}, subresource="status")
    assert replaced["status"]["phase"] == "Failed"


async def test_deleted_objects_go(client: Client, namespace: str) -> None:
    await client.create(CONFIG_MAP, config_map(namespace))
    await client.delete(CONFIG_MAP, "a", namespace)
    await gone(client, CONFIG_MAP, "a", namespace)


async def test_only_the_object_that_was_meant_is_deleted(client: Client, namespace: str) -> None:
    made = await client.create(CONFIG_MAP, config_map(namespace))
    with pytest.raises(Conflict):
        await client.delete(CONFIG_MAP, "a", namespace, uid="00000000-0000-0000-0000-000000000000")
    await client.delete(CONFIG_MAP, "a", namespace, uid=uid_of(made))
    await gone(client, CONFIG_MAP, "a", namespace)


async def test_a_finalizer_holds_an_object(client: Client, namespace: str) -> None:
    obj = config_map(namespace)
    obj["metadata"]["finalizers"] = ["beamhall.test/hold"]
    await client.create(CONFIG_MAP, obj)
    await client.delete(CONFIG_MAP, "a", namespace)
    held = await client.get(CONFIG_MAP, "a", namespace)
    assert held["metadata"]["deletionTimestamp"]
    await client.patch(CONFIG_MAP, "a", namespace, {"metadata": {"finalizers": None}})
    await gone(client, CONFIG_MAP, "a", namespace)


async def test_a_pod_without_node_is_deleted_at_once(client: Client, namespace: str) -> None:
    await client.create(POD, pod(namespace))
    await client.delete(POD, "p", namespace, grace_period_s=0)
    await gone(client, POD, "p", namespace)


async def test_logs_need_a_pod_and_a_container_of_it(client: Client, namespace: str) -> None:
    with pytest.raises(NotFound):
        async with client.logs("none", namespace, LogOptions()):
            pass
    await client.create(POD, pod(namespace))
    with pytest.raises(BadRequest):
        async with client.logs("p", namespace, LogOptions(container="none")):
            pass


async def test_a_pod_is_bound_once(client: Client, namespace: str) -> None:
    made = await client.create(POD, pod(namespace))
    with pytest.raises(Conflict):
        await client.bind("p", namespace, "n1", uid="another")
    await client.bind("p", namespace, "n1", uid=uid_of(made))
    bound = await client.get(POD, "p", namespace)
    assert bound["spec"]["nodeName"] == "n1"
    conditions = {c["type"]: c["status"] for c in bound["status"]["conditions"]}
    assert conditions["PodScheduled"] == "True"
    with pytest.raises(Conflict):
        await client.bind("p", namespace, "n2")
    with pytest.raises(NotFound):
        await client.bind("other", namespace, "n1")
    await client.delete(POD, "p", namespace, grace_period_s=0)
    await gone(client, POD, "p", namespace)


async def test_a_gated_or_ending_pod_is_not_bound(client: Client, namespace: str) -> None:
    gated = pod(namespace, "gated")
    gated["spec"]["schedulingGates"] = [{"name": "example.org/wait"}]
    ending = pod(namespace, "ending")
    ending["metadata"]["finalizers"] = ["beamhall.test/hold"]
    for obj in (gated, ending):
        await client.create(POD, obj)
    await client.delete(POD, "ending", namespace)
    for name in ("gated", "ending"):
        with pytest.raises(Conflict):
            await client.bind(name, namespace, "n1")
    await client.patch(POD, "ending", namespace, {"metadata": {"finalizers": None}})
