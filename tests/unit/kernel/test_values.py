"""Kinds, objects, keys, times, plans: the small values that everything stands on."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from beamhall.kernel import kinds, objects
from beamhall.kernel.clock import format_micro_time, format_time, parse_time
from beamhall.kernel.plan import Plan

JOB = {"metadata": {"name": "j", "namespace": "n", "uid": "1", "resourceVersion": "7"}}


def test_kinds_have_addresses() -> None:
    assert (kinds.POD.api_version, kinds.POD.resource, kinds.POD.path) == ("v1", "pods", "/api/v1")
    assert (kinds.TF_JOB.api_version, kinds.TF_JOB.resource) == ("kubeflow.org/v1", "tfjobs.kubeflow.org")
    assert kinds.TF_JOB.path == "/apis/kubeflow.org/v1"


def test_keys_are_read_by_people() -> None:
    assert str(objects.key_of(kinds.JOB, JOB)) == "Job n/j"
    assert str(objects.key_of(kinds.NODE, {"metadata": {"name": "a", "namespace": "ignored"}})) == "Node a"


def test_what_is_not_there_is_empty() -> None:
    objs: list[objects.Object] = [{}, {"metadata": None}, {"metadata": {}}]
    for obj in objs:
        assert objects.name_of(obj) == objects.namespace_of(obj) == objects.uid_of(obj) == ""
        assert objects.labels_of(obj) == objects.annotations_of(obj) == {}
        assert objects.revision_of(obj) == 0
        assert objects.controller_of(obj) is None
        assert not objects.is_being_deleted(obj)
    assert objects.revision_of(JOB) == 7
    assert objects.is_being_deleted({"metadata": {"deletionTimestamp": "2024-01-01T00:00:00Z"}})


def test_only_the_owner_with_that_uid_controls() -> None:
    reference = objects.owner_reference(kinds.JOB, JOB)
    assert (reference["apiVersion"], reference["kind"], reference["name"], reference["uid"]) == (
        "batch/v1",
        "Job",
        "j",
        "1",
    )
    pod = {"metadata": {"ownerReferences": [{"uid": "0"}, reference]}}
    assert objects.controller_of(pod) == reference
    assert objects.is_controlled_by(pod, JOB)
    assert not objects.is_controlled_by(pod, {"metadata": {"name": "j", "uid": "2"}})
    assert not objects.is_controlled_by({"metadata": {"ownerReferences": [{"uid": "1"}]}}, JOB)


def test_times_are_written_in_utc() -> None:
    moment = datetime(2024, 1, 2, 3, 4, 5, 600_000, tzinfo=timezone(timedelta(hours=1)))
    assert format_time(moment) == "2024-01-02T02:04:05Z"
    assert format_micro_time(moment) == "2024-01-02T02:04:05.600000Z"
    assert parse_time(format_micro_time(moment)) == moment
    assert parse_time("2024-01-02T03:04:05+01:00") == datetime(2024, 1, 2, 2, 4, 5, tzinfo=UTC)


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no zone"):
        parse_time("2024-01-02T03:04:05")


def test_an_empty_plan_does_nothing() -> None:
    assert (list(Plan().actions), Plan().again_after_s) == ([], None)
