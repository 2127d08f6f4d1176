"""Carrying out: twice is as once, preconditions, what is not sent, and what an error leaves."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamhall.client.reflector import Replaced
from beamhall.kernel.errors import Conflict
from beamhall.kernel.kinds import CONFIG_MAP, EVENT, POD, SERVICE
from beamhall.kernel.objects import Key, Object, key_of, owner_reference, uid_of
from beamhall.kernel.plan import Action, Bind, Create, Delete, Emit, Patch, Plan, Require
from beamhall.runtime.carry_out import Hand, NameTaken, Report, changes_nothing
from beamhall.runtime.events import EventRecorder
from beamhall.runtime.views import Views
from tests.models.cluster import ModelCluster, _merged, unavailable
from tests.models.crews import CREW
from tests.models.virtual_time import ManualClock

OWNER: Object = {"metadata": {"name": "c", "namespace": "a", "uid": "owner"}}


def pod(name: str = "x", owner: Object | None = OWNER, **fields: object) -> Object:
    references = [owner_reference(CREW, owner)] if owner else []
    return {"metadata": {"name": name, "namespace": "a", "ownerReferences": references}, **fields}


class Scene:
    """A hand on a cluster, and a view that shows what it is told to."""

    def __init__(self) -> None:
        self.cluster = ModelCluster()
        clock = ManualClock()
        self.views = Views([POD, CREW], clock)
        self.recorder = EventRecorder(self.cluster, clock, lambda *_: None)
        self.hand = Hand(self.cluster, self.views, self.recorder, "crews")

    async def do(self, *actions: Action) -> Report:
        report = await self.hand.carry_out(Plan(actions))
        self.hand.end(report)
        return report

    async def see(self) -> None:
        page = await self.cluster.list(POD)
        self.views.caches[POD].take(Replaced(page.items, page.revision))

    @property
    def pod(self) -> Object:
        (obj,) = self.cluster.all(POD)
        return obj


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_creating_twice_makes_one_with_its_type_written(scene: Scene) -> None:
    first = await scene.do(Create(POD, pod()))
    second = await scene.do(Create(POD, pod()))
    assert first.error is second.error is None
    assert (scene.pod["apiVersion"], scene.pod["kind"]) == ("v1", "Pod")
    assert [text for _, text in first.done] == ["created Pod a/x"]
    assert second.done == []
    await scene.see()
    await scene.do(Create(POD, pod()))
    assert scene.cluster.requests == ["create", "create", "get"]


@pytest.mark.parametrize("other", [None, {"metadata": {"name": "other", "namespace": "a", "uid": "other"}}])
async def test_a_name_that_is_anothers_is_an_error_that_says_so(scene: Scene, other: Object | None) -> None:
    await scene.cluster.create(POD, pod(owner=other))
    report = await scene.do(Create(POD, pod()), Delete(key_of(POD, pod())))
    assert isinstance(report.error, NameTaken)
    assert "Pod a/x" in report.error.message
    assert len(scene.cluster.all(POD)) == 1


async def test_what_a_namesake_of_the_owner_left_is_waited_for(scene: Scene) -> None:
    await scene.cluster.create(POD, pod(owner={"metadata": {"name": "c", "namespace": "a", "uid": "earlier"}}))
    report = await scene.do(Create(POD, pod()))
    assert report.error is not None
    assert not isinstance(report.error, NameTaken)
    assert "still being removed" in report.error.message


async def test_objects_without_owner_are_made_once_too(scene: Scene) -> None:
    assert (await scene.do(Create(POD, pod(owner=None)))).error is None
    assert (await scene.do(Create(POD, pod(owner=None)))).error is None


async def test_a_patch_names_only_its_fields(scene: Scene) -> None:
    await scene.cluster.create(POD, pod(spec={"a": 1, "b": 2}, status={"s": 1}))
    await scene.do(Patch(key_of(POD, pod()), {"spec": {"b": 3}, "metadata": {"labels": {"l": "v"}}}))
    assert scene.pod["spec"] == {"a": 1, "b": 3}
    assert scene.pod["metadata"]["labels"] == {"l": "v"}
    await scene.do(Patch(key_of(POD, pod()), {"status": {"s": 2}}, "status"))
    assert scene.pod["status"] == {"s": 2}


async def test_a_patch_of_another_incarnation_does_nothing(scene: Scene) -> None:
    await scene.cluster.create(POD, pod())
    await scene.see()
    report = await scene.do(Patch(key_of(POD, pod()), {"spec": {"x": 1}}, uid="another"))
    assert report.error is None
    assert "spec" not in scene.pod
    assert scene.cluster.requests == ["create"]


async def test_preconditions_go_to_the_server_and_a_conflict_ends_the_plan(scene: Scene) -> None:
    made = await scene.cluster.create(POD, pod())
    key = key_of(POD, pod())
    revision = made["metadata"]["resourceVersion"]
    ok = await scene.do(Patch(key, {"spec": {"x": 1}}, uid=uid_of(made), revision=revision))
    assert ok.error is None
    refused = await scene.do(Patch(key, {"spec": {"x": 2}}, revision=revision), Create(POD, pod("y")))
    assert refused.error is not None
    assert refused.error.reason == "Conflict"
    assert scene.pod["spec"] == {"x": 1}


async def test_patching_and_deleting_what_is_gone_is_no_error(scene: Scene) -> None:
    key = key_of(POD, pod())
    report = await scene.do(Patch(key, {"spec": {}}), Delete(key), Delete(key, uid="u"))
    assert report.error is None
    assert report.done == []


async def test_only_the_object_that_the_view_showed_is_deleted(scene: Scene) -> None:
    await scene.cluster.create(POD, pod(spec="old"))
    await scene.see()
    scene.cluster.remove(key_of(POD, pod()))
    await scene.cluster.create(POD, pod(spec="new"))
    report = await scene.do(Delete(key_of(POD, pod())))
    assert report.error is None
    assert scene.pod["spec"] == "new"


async def test_a_deletion_that_was_asked_for_is_not_asked_for_again_but_for_less_grace(scene: Scene) -> None:
    obj = pod()
    obj["metadata"]["finalizers"] = ["f"]
    await scene.cluster.create(POD, obj)
    await scene.do(Delete(key_of(POD, obj)))
    await scene.see()
    await scene.do(Delete(key_of(POD, obj)))
    assert scene.cluster.requests.count("delete") == 1
    await scene.do(Delete(key_of(POD, obj), grace_period_s=0))
    assert scene.cluster.requests.count("delete") == 2


async def test_an_error_ends_the_plan_and_a_plan_of_which_nothing_was_done_tells_nothing(scene: Scene) -> None:
    emit = Emit(CREW, OWNER, "R", "m")
    scene.cluster.failures = [unavailable("before")]
    report = await scene.do(Create(POD, pod()), emit)
    assert report.error is not None
    assert report.done == []
    assert len(scene.recorder._queue) == 0
    report = await scene.do(emit, Create(POD, pod()))
    assert [text for _, text in report.done] == ["created Pod a/x", "event R: m"]
    assert len(scene.recorder._queue) == 1


async def test_what_is_required_is_read_afresh(scene: Scene) -> None:
    await scene.do(Create(POD, pod()))
    await scene.see()
    key, uid = key_of(POD, scene.pod), uid_of(scene.pod)
    patch = Patch(key, {"spec": {"a": 1}})
    assert (await scene.do(Require(key, uid), patch)).error is None
    assert scene.pod["spec"] == {"a": 1}
    stale = Require(key, uid, str(int(scene.pod["metadata"]["resourceVersion"]) - 1))
    assert isinstance((await scene.do(stale, patch)).error, Conflict)
    assert (await scene.do(Require(key, uid, scene.pod["metadata"]["resourceVersion"]), patch)).error is None
    later = Patch(key, {"spec": {"a": 2}})
    assert isinstance((await scene.do(Require(key, "another"), later)).error, Conflict)
    scene.pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert isinstance((await scene.do(Require(key, uid), later)).error, Conflict)
    assert scene.pod["spec"] == {"a": 1}


async def test_creates_of_one_kind_go_together_and_others_in_order(scene: Scene) -> None:
    scene.cluster.failures = [unavailable("after"), unavailable("before")]
    names = [f"p{number}" for number in range(40)]
    service = {"metadata": {"name": "s", "namespace": "a"}}
    report = await scene.do(*(Create(POD, pod(name)) for name in names), Create(SERVICE, service))
    assert report.error is not None
    assert len(scene.cluster.all(POD)) == 39
    assert [key.name for key, _ in report.done] == names[2:]
    assert scene.cluster.all(SERVICE) == []
    again = await scene.do(*(Create(POD, pod(name)) for name in names), Create(SERVICE, service))
    assert again.error is None
    assert [str(key) for key, _ in again.done] == ["Pod a/p1", "Service a/s"]


async def test_what_pods_may_want_goes_together_and_before_them(scene: Scene) -> None:
    scene.cluster.failures = [unavailable("before")]
    named = {"metadata": {"name": "s", "namespace": "a"}}
    wanted = (Create(SERVICE, named), Create(CONFIG_MAP, named), Create(POD, pod()))
    report = await scene.do(*wanted)
    assert report.error is not None
    assert [str(key) for key, _ in report.done] == ["ConfigMap a/s"]
    assert scene.cluster.all(POD) == []
    again = await scene.do(*wanted)
    assert again.error is None
    assert [str(key) for key, _ in again.done] == ["Service a/s", "Pod a/x"]


async def test_writes_of_one_sort_go_together_and_two_on_one_object_in_order(scene: Scene) -> None:
    keys = [key_of(POD, pod(name)) for name in ("a", "b")]
    for name in ("a", "b"):
        await scene.cluster.create(POD, pod(name))
    scene.cluster.requests.clear()
    scene.cluster.failures = [unavailable("before")]
    refused = await scene.do(*(Patch(key, {"spec": {"x": 1}}) for key in keys), Delete(keys[1]))
    assert refused.error is not None
    assert [key.name for key, _ in refused.done] == ["b"], "what goes together does not wait for one another"
    assert scene.cluster.requests == ["patch", "patch"]
    twice = await scene.do(*(Patch(keys[0], {"spec": {"x": number}}) for number in (1, 2)))
    assert twice.error is None
    assert scene.cluster.all(POD)[0]["spec"] == {"x": 2}


async def test_a_pod_is_bound_once_and_seen(scene: Scene) -> None:
    await scene.cluster.create(POD, pod(spec={}))
    await scene.see()
    report = await scene.hand.carry_out(Plan([Bind(key_of(POD, pod()), "n", uid_of(scene.pod))]))
    assert [text for _, text in report.done] == ["bound Pod a/x to node n"]
    ((_, sighting),) = report.sightings
    pending = [sighting.is_pending]
    await scene.see()
    pending.append(sighting.is_pending)
    assert pending == [True, False]
    scene.hand.end(report)
    for action in (Bind(key_of(POD, pod()), "m"), Bind(key_of(POD, pod()), "m", "another")):
        assert (await scene.do(action)).done == []
    assert scene.cluster.requests.count("bind") == 1
    assert (await scene.do(Bind(Key(POD, "a", "gone"), "n"))).error is None


async def test_kinds_that_no_view_holds_can_be_written(scene: Scene) -> None:
    service = {"metadata": {"name": "s", "namespace": "a"}}
    report = await scene.do(
        Create(SERVICE, service), Patch(Key(SERVICE, "a", "s"), {"spec": {"x": 1}}), Delete(Key(SERVICE, "a", "s"))
    )
    assert report.error is None
    assert len(report.done) == 3
    assert scene.cluster.all(SERVICE) == scene.cluster.all(EVENT) == []


@pytest.mark.parametrize(
    ("obj", "patch", "nothing"),
    [
        ({"a": 1}, {}, True),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": None}, False),
        ({"a": 1}, {"b": None}, True),
        ({"a": {"b": [1, {"c": (2,)}]}}, {"a": {"b": [1, {"c": [2]}]}}, True),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": None}}, True),
        ({"a": {"b": 1}}, {"a": {"c": 1}}, False),
        ({"a": "text"}, {"a": {}}, False),
        ({}, {"a": {"b": None}}, True),
    ],
)
def test_what_changes_nothing(obj: Mapping[str, Any], patch: Mapping[str, Any], nothing: bool) -> None:
    assert changes_nothing(obj, patch) is nothing


json = st.recursive(
    st.none() | st.integers(0, 2) | st.booleans() | st.sampled_from("ab"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=6,
)


def pruned(value: Any) -> Any:
    """Drop empty objects: making one where nothing was counts as no change."""
    if isinstance(value, dict):
        members = {name: pruned(inner) for name, inner in value.items()}
        return {name: inner for name, inner in members.items() if inner not in (None, {})}
    return value


@given(st.dictionaries(st.sampled_from("xyz"), json), st.dictionaries(st.sampled_from("xyz"), json))
def test_a_patch_that_changes_nothing_is_one_whose_result_is_the_same(obj: Object, patch: Object) -> None:
    is_same = repr(pruned(_merged(obj, patch))) == repr(pruned(_merged(obj, {})))
    if changes_nothing(obj, patch):
        assert is_same
    if _merged(obj, patch) == obj and repr(_merged(obj, patch)) == repr(obj):
        assert changes_nothing(obj, patch)
