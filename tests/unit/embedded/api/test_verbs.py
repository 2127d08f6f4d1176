"""The verbs, beyond what the contract suite asks of every server."""

import asyncio

import pytest

from beamhall.client.local import LocalClient
from beamhall.client.protocol import Selection
from beamhall.embedded.api.core import OBJECT_LIMIT_BYTES, STATUS_LIMIT_BYTES, WriteOptions
from beamhall.embedded.api.deletion import DeleteOptions
from beamhall.kernel.errors import AlreadyExists, BadRequest, Conflict, Forbidden, Invalid, NotFound, TooLarge
from beamhall.kernel.identity import User
from beamhall.kernel.kinds import CONFIG_MAP, JOB, NAMESPACE, NODE, POD, SERVICE, Kind
from tests.unit.embedded.api.conftest import ADMIN, config_map, pod, running_api, toy, until_gone


async def test_the_server_sets_its_part_of_metadata(client):
    given = pod(
        uid="mine", resourceVersion="", generation=7, creationTimestamp="2000-01-01T00:00:00Z", labels={"a": "b"}
    )
    made = await client.create(POD, given)
    metadata = made["metadata"]
    assert metadata["uid"] != "mine"
    assert metadata["creationTimestamp"] == "2026-01-02T03:04:05Z"
    assert metadata["generation"] == 1
    assert int(metadata["resourceVersion"]) > 0
    assert metadata["labels"] == {"a": "b"}
    assert (made["apiVersion"], made["kind"]) == ("v1", "Pod")
    assert made["status"]["phase"] == "Pending"
    assert await client.get(POD, "p", "default") == made


async def test_a_generated_name_that_is_taken_is_made_anew(api, client, monkeypatch):
    names = iter(["p-aaaaa", "p-aaaaa", "p-bbbbb"])
    monkeypatch.setattr("beamhall.embedded.api.writing.generate_name", lambda *_: next(names))
    obj = {"metadata": {"generateName": "p-", "namespace": "default"}, "spec": pod()["spec"]}
    assert (await client.create(POD, obj))["metadata"]["name"] == "p-aaaaa"
    assert (await client.create(POD, obj))["metadata"]["name"] == "p-bbbbb"


async def test_no_name_at_all_is_invalid(client):
    with pytest.raises(Invalid, match="name or generateName is required"):
        await client.create(POD, {"metadata": {"namespace": "default"}, "spec": pod()["spec"]})


async def test_a_create_names_no_revision(client):
    with pytest.raises(BadRequest, match="resourceVersion should not be set"):
        await client.create(POD, pod(resourceVersion="5"))


async def test_a_namespace_must_be_there(client):
    obj = pod()
    obj["metadata"]["namespace"] = "nowhere"
    with pytest.raises(NotFound, match='namespaces "nowhere" not found'):
        await client.create(POD, obj)
    with pytest.raises(BadRequest, match="namespace"):
        await client.create(POD, {"metadata": {"name": "p"}, "spec": pod()["spec"]})


async def test_nothing_is_made_in_a_namespace_that_ends(client):
    await client.create(NAMESPACE, {"metadata": {"name": "ending"}})
    held = config_map(finalizers=["example.org/held"])
    held["metadata"]["namespace"] = "ending"
    await client.create(CONFIG_MAP, held)
    await client.delete(NAMESPACE, "ending")
    assert (await client.get(NAMESPACE, "ending"))["status"]["phase"] == "Terminating"
    other = config_map("other")
    other["metadata"]["namespace"] = "ending"
    with pytest.raises(Forbidden, match="being terminated"):
        await client.create(CONFIG_MAP, other)
    await client.patch(CONFIG_MAP, "c", "ending", {"metadata": {"finalizers": None}})
    await until_gone(client, NAMESPACE, "ending")


async def test_main_writes_leave_the_status_alone_and_the_reverse(client):
    made = await client.create(POD, pod())
    await client.patch(POD, "p", "default", {"status": {"phase": "Running"}, "metadata": {"labels": {"x": "y"}}})
    found = await client.get(POD, "p", "default")
    assert found["status"] == made["status"]
    assert found["metadata"]["labels"] == {"x": "y"}
    patch = {"status": {"phase": "Running"}, "spec": {"terminationGracePeriodSeconds": 1}}
    found = await client.patch(POD, "p", "default", patch, subresource="status")
    assert found["status"]["phase"] == "Running"
    assert found["spec"] == made["spec"]


async def test_nodes_come_with_their_status(client):
    made = await client.create(NODE, {"metadata": {"name": "n"}, "status": {"capacity": {"cpu": "2"}}})
    assert made["status"]["capacity"] == {"cpu": "2"}


async def test_the_generation_counts_changes_of_the_spec(client, toys):
    await client.create(toys, toy())
    changed = await client.patch(toys, "t", "default", {"metadata": {"labels": {"a": "b"}}})
    assert changed["metadata"]["generation"] == 1
    changed = await client.patch(toys, "t", "default", {"status": {"n": 1}}, subresource="status")
    assert changed["metadata"]["generation"] == 1
    changed = await client.patch(toys, "t", "default", {"spec": {"size": 2}})
    assert changed["metadata"]["generation"] == 2


async def test_a_write_that_changes_nothing_makes_no_revision(client):
    made = await client.create(CONFIG_MAP, config_map())
    assert await client.patch(CONFIG_MAP, "c", "default", {"data": {"a": "1"}}) == made
    assert await client.replace(CONFIG_MAP, made) == made


async def test_a_stale_revision_conflicts_and_none_does_not(client):
    made = await client.create(CONFIG_MAP, config_map())
    await client.patch(CONFIG_MAP, "c", "default", {"data": {"b": "2"}})
    with pytest.raises(Conflict, match="the object has been modified"):
        await client.replace(CONFIG_MAP, made | {"data": {"c": "3"}})
    del made["metadata"]["resourceVersion"]
    assert (await client.replace(CONFIG_MAP, made | {"data": {"c": "3"}}))["data"] == {"c": "3"}
    with pytest.raises(Conflict, match="UID in precondition"):
        await client.patch(CONFIG_MAP, "c", "default", {"metadata": {"uid": "another"}})


async def test_many_writers_without_a_revision_all_succeed(client):
    await client.create(CONFIG_MAP, config_map())
    async with asyncio.TaskGroup() as writers:
        for number in range(8):
            writers.create_task(client.patch(CONFIG_MAP, "c", "default", {"data": {f"k{number}": "x"}}))
    assert len((await client.get(CONFIG_MAP, "c", "default"))["data"]) == 9


async def test_a_dry_run_does_everything_but_store(api, client):
    options = WriteOptions(dry_run=True)
    made = await api.create(ADMIN, POD, pod(), options=options)
    assert made["spec"]["restartPolicy"] == "Always"
    with pytest.raises(NotFound):
        await client.get(POD, "p", "default")
    kept = await client.create(CONFIG_MAP, config_map())
    await api.patch(ADMIN, CONFIG_MAP, "c", "default", {"data": {"b": "2"}}, options=options)
    await api.delete_object(ADMIN, CONFIG_MAP, ("default", "c"), DeleteOptions(dry_run=True))
    assert await client.get(CONFIG_MAP, "c", "default") == kept
    with pytest.raises(AlreadyExists):
        await api.create(ADMIN, CONFIG_MAP, config_map(), options=options)


async def test_what_is_too_large_is_refused(client, toys):
    with pytest.raises(TooLarge, match="over the limit"):
        await client.create(toys, toy() | {"spec": {"size": 1, "colour": "x" * OBJECT_LIMIT_BYTES}})
    await client.create(toys, toy())
    with pytest.raises(TooLarge, match="status"):
        await client.patch(toys, "t", "default", {"status": {"a": "x" * STATUS_LIMIT_BYTES}}, subresource="status")


async def test_unknown_fields_by_the_three_ways(api):
    def wrong():
        obj = pod()
        obj["spec"]["contaners"] = []
        return obj

    with pytest.raises(BadRequest, match=r'unknown field "spec\.contaners"'):
        await api.create(ADMIN, POD, wrong(), options=WriteOptions(field_validation="Strict"))
    warned = WriteOptions(field_validation="Warn", dry_run=True)
    made = await api.create(ADMIN, POD, wrong(), options=warned)
    assert warned.warnings == ['unknown field "spec.contaners"']
    assert "contaners" not in made["spec"]
    ignored = WriteOptions(dry_run=True)
    await api.create(ADMIN, POD, wrong(), options=ignored)
    assert ignored.warnings == []


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {"a": 1}},
        {"labels": []},
        {"annotations": {"a": True}},
        {"finalizers": "x"},
        {"ownerReferences": ["x"]},
    ],
)
async def test_metadata_of_wrong_types_is_a_bad_request(client, metadata):
    with pytest.raises(BadRequest, match="metadata"):
        await client.create(CONFIG_MAP, config_map(**metadata))


async def test_the_address_and_the_object_must_agree(api):
    with pytest.raises(BadRequest, match="does not match"):
        await api.create(ADMIN, POD, config_map() | {"kind": "ConfigMap", "apiVersion": "v1"})


async def test_a_kind_that_is_not_served_is_not_found(client):
    with pytest.raises(NotFound, match="CustomResourceDefinition"):
        await client.list(Kind("example.org", "v1", "Toy", "toys"))


async def test_only_administrators_may(api):
    stranger = LocalClient(api, User("eve", ("guests",)))
    with pytest.raises(Forbidden, match='User "eve" cannot list resource "pods" in API group "" at the cluster scope'):
        await stranger.list(POD)
    with pytest.raises(Forbidden, match="cannot create"):
        await stranger.create(POD, pod())


async def test_a_service_gets_an_address_that_stays(client):
    spec = {"ports": [{"port": 80}]}
    made = await client.create(SERVICE, {"metadata": {"name": "s", "namespace": "default"}, "spec": spec})
    address = made["spec"]["clusterIP"]
    assert address.startswith("127.")
    other = await client.create(SERVICE, {"metadata": {"name": "o", "namespace": "default"}, "spec": spec})
    assert other["spec"]["clusterIP"] != address
    again = await client.replace(SERVICE, {"metadata": {"name": "s", "namespace": "default"}, "spec": spec})
    assert again["spec"]["clusterIP"] == address


# Deletion


async def test_a_pod_nobody_runs_goes_at_once(client):
    await client.create(POD, pod())
    await client.delete(POD, "p", "default")
    with pytest.raises(NotFound):
        await client.get(POD, "p", "default")


async def test_a_running_pod_is_given_time(client, clock):
    await client.create(POD, pod())
    await client.patch(POD, "p", "default", {"spec": {"nodeName": "n"}})
    await client.delete(POD, "p", "default")
    metadata = (await client.get(POD, "p", "default"))["metadata"]
    assert metadata["deletionTimestamp"] == "2026-01-02T03:04:35Z"
    assert metadata["deletionGracePeriodSeconds"] == 30
    clock.advance(1)
    await client.delete(POD, "p", "default", grace_period_s=40)
    assert (await client.get(POD, "p", "default"))["metadata"] == metadata
    await client.delete(POD, "p", "default", grace_period_s=4)
    metadata = (await client.get(POD, "p", "default"))["metadata"]
    assert metadata["deletionTimestamp"] == "2026-01-02T03:04:10Z"
    await client.delete(POD, "p", "default", grace_period_s=0)
    with pytest.raises(NotFound):
        await client.get(POD, "p", "default")


async def test_a_finished_pod_goes_at_once(client):
    await client.create(POD, pod())
    await client.patch(POD, "p", "default", {"spec": {"nodeName": "n"}})
    await client.patch(POD, "p", "default", {"status": {"phase": "Succeeded"}}, subresource="status")
    await client.delete(POD, "p", "default")
    with pytest.raises(NotFound):
        await client.get(POD, "p", "default")


async def test_a_finalizer_keeps_an_object_until_it_is_taken_off(client):
    await client.create(CONFIG_MAP, config_map(finalizers=["example.org/held"]))
    await client.delete(CONFIG_MAP, "c", "default")
    waiting = await client.get(CONFIG_MAP, "c", "default")
    assert waiting["metadata"]["deletionTimestamp"]
    await client.delete(CONFIG_MAP, "c", "default")
    assert await client.get(CONFIG_MAP, "c", "default") == waiting
    await client.patch(CONFIG_MAP, "c", "default", {"metadata": {"finalizers": None}})
    with pytest.raises(NotFound):
        await client.get(CONFIG_MAP, "c", "default")


async def test_a_finalizer_taken_off_does_not_cut_a_grace_period_short(client):
    await client.create(POD, pod(finalizers=["example.org/held"]))
    await client.patch(POD, "p", "default", {"spec": {"nodeName": "n"}})
    await client.delete(POD, "p", "default")
    await client.patch(POD, "p", "default", {"metadata": {"finalizers": None}})
    assert (await client.get(POD, "p", "default"))["metadata"]["deletionGracePeriodSeconds"] == 30


async def test_preconditions_of_a_deletion(api, client):
    made = await client.create(CONFIG_MAP, config_map())
    with pytest.raises(Conflict, match="UID in precondition"):
        await client.delete(CONFIG_MAP, "c", "default", uid="another")
    with pytest.raises(Conflict, match="ResourceVersion in precondition"):
        await api.delete_object(ADMIN, CONFIG_MAP, ("default", "c"), DeleteOptions(revision="1"))
    await client.delete(CONFIG_MAP, "c", "default", uid=made["metadata"]["uid"])


async def test_delete_collection_by_selector(api, client):
    for name, app in (("a", "x"), ("b", "y"), ("c", "x")):
        await client.create(CONFIG_MAP, config_map(name, labels={"app": app}))
    await api.delete_collection(ADMIN, CONFIG_MAP, Selection("default", labels="app=x"), DeleteOptions())
    assert [item["metadata"]["name"] for item in (await client.list(CONFIG_MAP)).items] == ["b"]


async def test_job_pods_are_tied_to_their_job(client):
    template = {"spec": {**pod()["spec"], "restartPolicy": "Never"}}
    made = await client.create(JOB, {"metadata": {"name": "j", "namespace": "default"}, "spec": {"template": template}})
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert labels["batch.kubernetes.io/controller-uid"] == made["metadata"]["uid"]


# Lists and watches


async def test_pages_show_one_state_and_end(client):
    for number in range(5):
        await client.create(CONFIG_MAP, config_map(f"c{number}", labels={"odd": str(number % 2)}))
    first = await client.list(CONFIG_MAP, Selection("default"), limit=2)
    await client.create(CONFIG_MAP, config_map("c9"))
    second = await client.list(CONFIG_MAP, Selection("default"), limit=2, continue_=first.continue_)
    third = await client.list(CONFIG_MAP, Selection("default"), limit=2, continue_=second.continue_)
    names = [item["metadata"]["name"] for page in (first, second, third) for item in page.items]
    assert names == ["c0", "c1", "c2", "c3", "c4"]
    assert third.continue_ == ""
    odd = await client.list(CONFIG_MAP, Selection("default", labels="odd=1"), limit=2)
    assert [item["metadata"]["name"] for item in odd.items] == ["c1", "c3"]
    even = Selection("default", labels="odd=0")
    first = await client.list(CONFIG_MAP, even, limit=2)
    second = await client.list(CONFIG_MAP, even, limit=2, continue_=first.continue_)
    names = [[item["metadata"]["name"] for item in page.items] for page in (first, second)]
    assert names == [["c0", "c2"], ["c4"]]
    with pytest.raises(BadRequest, match="continue"):
        await client.list(CONFIG_MAP, continue_="nonsense")


async def test_a_watch_from_nothing_begins_with_what_is_there(client):
    await client.create(CONFIG_MAP, config_map("a"))
    async with client.watch(CONFIG_MAP, Selection("default"), revision="") as events:
        first = await anext(events)
        await client.create(CONFIG_MAP, config_map("b"))
        second = await anext(events)
    assert [(e.type, e.object["metadata"]["name"]) for e in (first, second)] == [("ADDED", "a"), ("ADDED", "b")]


async def test_an_object_that_leaves_a_selection_is_deleted_for_its_watchers(client):
    page = await client.list(CONFIG_MAP)
    seen = []
    async with client.watch(CONFIG_MAP, Selection("default", labels="app=x"), revision=page.revision) as events:
        await client.create(CONFIG_MAP, config_map("other"))
        await client.create(CONFIG_MAP, config_map())
        for app in ("x", "x2", "x"):
            await client.patch(CONFIG_MAP, "c", "default", {"metadata": {"labels": {"app": app}}})
        await client.patch(CONFIG_MAP, "c", "default", {"data": {"b": "2"}})
        await client.delete(CONFIG_MAP, "c", "default")
        for _ in range(5):
            seen.append((await anext(events)).type)
    assert seen == ["ADDED", "DELETED", "ADDED", "MODIFIED", "DELETED"]


async def test_bad_selectors_are_bad_requests(client):
    with pytest.raises(BadRequest, match="selector"):
        await client.list(POD, Selection(labels="a=b=c"))
    with pytest.raises(BadRequest, match="field label not supported"):
        await client.list(POD, Selection(fields="spec.nonsense=1"))
    with pytest.raises(BadRequest, match="resourceVersion"):
        async with client.watch(POD, revision="nonsense"):
            pass


async def test_another_start_serves_what_was_stored(tmp_path, clock):
    async with running_api(tmp_path, clock) as first:
        made = await LocalClient(first, ADMIN).create(CONFIG_MAP, config_map())
    async with running_api(tmp_path, clock) as second:
        assert await LocalClient(second, ADMIN).get(CONFIG_MAP, "c", "default") == made


async def test_names_cannot_be_patched_away(client):
    await client.create(CONFIG_MAP, config_map())
    with pytest.raises(Invalid, match="immutable"):
        await client.patch(CONFIG_MAP, "c", "default", {"metadata": {"name": "other"}})
    with pytest.raises(Invalid, match="immutable"):
        await client.patch(CONFIG_MAP, "c", "default", {"metadata": {"namespace": "kube-system"}})


async def test_no_finalizer_comes_after_the_deletion(client):
    await client.create(CONFIG_MAP, config_map(finalizers=["example.org/held"]))
    await client.delete(CONFIG_MAP, "c", "default")
    with pytest.raises(Invalid, match="no new finalizers"):
        await client.patch(CONFIG_MAP, "c", "default", {"metadata": {"finalizers": ["example.org/held", "a.org/b"]}})


async def test_empty_maps_of_metadata_make_no_difference(client):
    made = await client.create(CONFIG_MAP, config_map(labels={}, annotations=None, finalizers=[]))
    assert not {"labels", "annotations", "finalizers"} & set(made["metadata"])
    assert await client.patch(CONFIG_MAP, "c", "default", {"metadata": {"annotations": {}}}) == made


async def test_labels_of_custom_kinds_are_checked_too(client, toys):
    obj = toy()
    obj["metadata"]["labels"] = {"not a key": "x"}
    with pytest.raises(Invalid, match=r"metadata\.labels"):
        await client.create(toys, obj)
