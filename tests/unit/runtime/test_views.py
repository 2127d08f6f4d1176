"""The view of a kind: its indexes against a plain filter, what changed, and when a write of ours is seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamhall.client.reflector import Removed, Replaced, Synced, Upserted
from beamhall.kernel.kinds import NODE, POD
from beamhall.kernel.objects import Object
from beamhall.kernel.selectors import parse_selector
from beamhall.runtime.views import Cache, Seen, Sighting, Views
from tests.models.virtual_time import START, ManualClock


def pod(name: str, revision: int, namespace: str = "a", uid: str = "", owner: str = "", **metadata: object) -> Object:
    references = [{"uid": owner, "kind": "Job", "name": owner, "controller": True}] if owner else []
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid or name,
            "resourceVersion": str(revision),
            "ownerReferences": references,
            **metadata,
        }
    }


def upserted(obj: Object) -> Upserted:
    return Upserted(obj, obj["metadata"]["resourceVersion"])


def removed(obj: Object) -> Removed:
    return Removed(obj, obj["metadata"]["resourceVersion"])


def test_a_list_replaces_everything_and_tells_what_changed() -> None:
    cache = Cache(POD)
    x, y, y2, z = pod("x", 1), pod("y", 2), pod("y", 4), pod("z", 5)
    assert bool(cache.is_synced) is False
    assert cache.take(Replaced([x, y], "3")) == [Seen(None, x), Seen(None, y)]
    assert bool(cache.is_synced) is True
    assert cache.take(Replaced([y2, z], "6")) == [Seen(x, None), Seen(y, y2), Seen(None, z)]
    assert list(cache.list()) == [y2, z]
    assert cache.take(Replaced([y2, z], "7")) == []


def test_changes_tell_before_and_after() -> None:
    cache = Cache(POD)
    old, new = pod("x", 1), pod("x", 2)
    assert cache.take(upserted(old)) == (Seen(None, old),)
    assert cache.take(upserted(new)) == (Seen(old, new),)
    assert cache.take(upserted(new)) == ()
    assert cache.take(Synced("9")) == ()
    assert cache.take(removed(pod("x", 3))) == (Seen(new, None),)
    assert cache.take(removed(pod("x", 3))) == ()


changes = st.lists(
    st.tuples(
        st.sampled_from("xyz"),
        st.sampled_from("ab"),
        st.sampled_from(("", "o1", "o2")),
        st.integers(0, 1),
        st.booleans(),
    ),
    max_size=30,
)


@given(changes)
def test_indexes_agree_with_a_plain_filter(steps: list[tuple[str, str, str, int, bool]]) -> None:
    views = Views([POD], ManualClock())
    cache = views.caches[POD]
    model: dict[tuple[str, str], Object] = {}
    for revision, (name, namespace, owner, label, is_removal) in enumerate(steps):
        obj = pod(name, revision, namespace, owner=owner, labels={"l": str(label), "n": name})
        obj["spec"] = {"selector": {"l": str(label), "n": name} if owner else {}}
        if is_removal:
            cache.take(removed(obj))
            model.pop((namespace, name), None)
        else:
            cache.take(upserted(obj))
            model[namespace, name] = obj
        present = views.present()
        objects = [obj for _, obj in sorted(model.items())]
        assert list(present.list(POD)) == objects
        assert list(present.list(POD, "a")) == [obj for obj in objects if obj["metadata"]["namespace"] == "a"]
        assert list(present.list(POD, "", parse_selector("l=1"))) == [
            obj for obj in objects if obj["metadata"]["labels"]["l"] == "1"
        ]
        own = [obj for obj in objects if obj["metadata"]["namespace"] == "a"]
        for selector in ("l=1", "l=0,n=x", "n in (x,y)", "l=1,n!=x"):
            wanted = [obj for obj in own if parse_selector(selector).matches(obj["metadata"]["labels"])]
            assert list(present.list(POD, "a", parse_selector(selector))) == wanted
        labels = {"l": "1", "n": "x", "other": "o"}
        meant = [obj for obj in own if obj["spec"]["selector"] and obj["spec"]["selector"].items() <= labels.items()]
        assert list(present.selecting(POD, "a", labels)) == meant
        for uid in ("o1", "o2"):
            owned = [obj for obj in objects if any(r["uid"] == uid for r in obj["metadata"]["ownerReferences"])]
            assert list(present.controlled_by(POD, uid)) == owned
        nobodys = [obj for obj in objects if not obj["metadata"]["ownerReferences"]]
        assert list(present.controlled_by(POD, "")) == nobodys
    assert len(cache) == len(model)
    if not model:
        assert not cache._names
        assert not cache._controlled
        assert all(not index._by_pair for index in (cache._carriers, cache._choosers) if index is not None)


def test_a_view_has_one_time_and_only_watched_kinds() -> None:
    clock = ManualClock()
    views = Views([POD], clock)
    present = views.present()
    clock.elapsed_s = 5
    assert present.now == START
    assert present.get(POD, "x", "a") is None
    with pytest.raises(LookupError, match="nodes"):
        present.get(NODE, "n")


class TestSighting:
    def test_a_created_object_is_seen_in_any_version(self) -> None:
        cache = Cache(POD)
        sighting = cache.begin_sighting("a", "x")
        sighting.expect_created(pod("x", 5))
        assert sighting.is_pending
        cache.take(upserted(pod("x", 7)))
        assert not sighting.is_pending

    def test_a_write_is_seen_even_if_it_arrives_before_its_answer_and_is_overtaken(self) -> None:
        cache = Cache(POD)
        cache.take(upserted(pod("x", 1)))
        sighting = cache.begin_sighting("a", "x")
        cache.take(upserted(pod("x", 2)))
        cache.take(upserted(pod("x", 3)))
        sighting.expect_revision(pod("x", 2))
        assert not sighting.is_pending

    def test_another_version_is_not_ours(self) -> None:
        cache = Cache(POD)
        cache.take(upserted(pod("x", 1)))
        sighting = cache.begin_sighting("a", "x")
        sighting.expect_revision(pod("x", 3))
        cache.take(upserted(pod("x", 2)))
        assert sighting.is_pending
        cache.take(upserted(pod("x", 3)))
        assert not sighting.is_pending

    def test_a_write_that_changed_nothing_is_seen_at_once(self) -> None:
        cache = Cache(POD)
        cache.take(upserted(pod("x", 1)))
        sighting = cache.begin_sighting("a", "x")
        sighting.expect_revision(pod("x", 1))
        assert not sighting.is_pending

    @pytest.mark.parametrize(
        "change",
        [removed(pod("x", 9)), upserted(pod("x", 9, uid="another")), Replaced([], "9"), Replaced([pod("y", 1)], "9")],
    )
    def test_the_end_of_an_object_and_a_whole_list_end_every_wait(self, change: Removed | Upserted | Replaced) -> None:
        cache = Cache(POD)
        cache.take(upserted(pod("x", 1)))
        sighting = cache.begin_sighting("a", "x")
        sighting.expect_revision(pod("x", 5))
        cache.take(change)
        assert not sighting.is_pending

    def test_a_deletion_is_seen_when_it_begins_or_is_over(self) -> None:
        for change in (upserted(pod("x", 2, deletionTimestamp="2026-01-01T00:00:00Z")), removed(pod("x", 2))):
            cache = Cache(POD)
            cache.take(upserted(pod("x", 1)))
            sighting = cache.begin_sighting("a", "x")
            sighting.expect_deleted()
            assert sighting.is_pending
            cache.take(change)
            assert not sighting.is_pending

    def test_the_deletion_of_what_was_never_seen_is_not_waited_for(self) -> None:
        sighting = Cache(POD).begin_sighting("a", "x")
        sighting.expect_deleted("uid")
        assert not sighting.is_pending

    def test_a_write_to_an_object_that_is_being_deleted_is_waited_for(self) -> None:
        cache = Cache(POD)
        cache.take(upserted(pod("x", 1, deletionTimestamp="2026-01-01T00:00:00Z")))
        sighting = cache.begin_sighting("a", "x")
        sighting.expect_revision(pod("x", 2))
        assert sighting.is_pending

    def test_without_a_write_nothing_is_waited_for_and_ended_ones_leave_nothing(self) -> None:
        cache = Cache(POD)
        sighting = cache.begin_sighting("a", "x")
        assert not sighting.is_pending
        cache.end_sighting("a", "x", sighting)
        cache.end_sighting("a", "x", Sighting(None))
        assert not cache._sightings
