"""StatefulSets: names, order, updates by revisions, claims."""

from typing import Any

import pytest

from beamhall.embedded.workloads.stateful_sets import plan_stateful_set
from beamhall.kernel.kinds import CONTROLLER_REVISION, PERSISTENT_VOLUME_CLAIM, POD, STATEFUL_SET
from beamhall.kernel.objects import Key, labels_of, name_of, uid_of
from tests.planning import deleted, made, said
from tests.unit.embedded.workloads.apps import Apps

ROLLING = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
DATA = {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}, "status": {}}


class Sets(Apps):
    planners = ((STATEFUL_SET, plan_stateful_set),)

    @property
    def names(self) -> list[str]:
        return [name_of(pod) for pod in self.live()]

    @property
    def images(self) -> dict[str, str]:
        return {name_of(pod): pod["spec"]["containers"][0]["image"] for pod in self.live()}

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.one(STATEFUL_SET, "db")["status"]
        return status


def _sets(replicas: int = 3, **spec: Any) -> Sets:
    sets = Sets()
    spec = {"serviceName": "db", "updateStrategy": ROLLING, **spec}
    sets.add(STATEFUL_SET, "db", replicas=replicas, **spec)
    sets.work()
    return sets


def _template(image: str) -> dict[str, Any]:
    return {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": image}]}}


def test_pods_are_made_one_after_another() -> None:
    sets = _sets()
    assert sets.names == ["db-0"]
    sets.start(sets.live()[0], ready=False)
    sets.work()
    assert sets.names == ["db-0"]
    sets.start_all()
    sets.start(sets.live()[0])
    sets.work()
    assert sets.names == ["db-0", "db-1"]
    sets.turn()
    assert sets.names == ["db-0", "db-1", "db-2"]
    assert said(sets.events)[:1] == [("SuccessfulCreate", "create Pod db-0 in StatefulSet db successful")]
    (revision,) = sets.list(CONTROLLER_REVISION)
    assert sets.status == {
        "replicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "currentReplicas": 3,
        "updatedReplicas": 3,
        "currentRevision": name_of(revision),
        "updateRevision": name_of(revision),
        "observedGeneration": 1,
        "collisionCount": 0,
    }


def test_what_a_pod_is_called() -> None:
    sets = _sets(ordinals={"start": 5})
    (pod,) = sets.live()
    assert name_of(pod) == "db-5"
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("db-5", "db")
    (revision,) = sets.list(CONTROLLER_REVISION)
    assert labels_of(pod) == {
        "app": "a",
        "statefulset.kubernetes.io/pod-name": "db-5",
        "apps.kubernetes.io/pod-index": "5",
        "controller-revision-hash": name_of(revision),
    }
    sets.turn()
    assert sets.names == ["db-5", "db-6", "db-7"]


def test_in_parallel_all_at_once() -> None:
    sets = _sets(podManagementPolicy="Parallel")
    assert sets.names == ["db-0", "db-1", "db-2"]
    sets.edit(STATEFUL_SET, "db", replicas=1)
    sets.work()
    assert sets.names == ["db-0"]


def test_scaling_down_takes_the_last_first_and_waits_for_each() -> None:
    sets = _sets()
    sets.turn()
    sets.edit(STATEFUL_SET, "db", replicas=1)
    sets.work()
    assert sets.names == ["db-0", "db-1"]
    assert len(sets.list(POD)) == 3, "the last is ending, and the next waits for it"
    sets.turn()
    assert sets.names == ["db-0"]


def test_scaling_down_waits_where_another_is_sick_too() -> None:
    sets = _sets()
    sets.turn()
    for name in ("db-1", "db-2"):
        sets.start(sets.one(POD, name), ready=False)
    sets.edit(STATEFUL_SET, "db", replicas=1)
    sets.work()
    assert sets.names == ["db-0", "db-1", "db-2"]
    sets.start(sets.one(POD, "db-1"))
    sets.work()
    assert sets.names == ["db-0", "db-1"]


def test_a_pod_that_ended_is_made_again_under_its_name() -> None:
    sets = _sets(replicas=1)
    before = uid_of(sets.one(POD, "db-0"))
    sets.one(POD, "db-0")["status"] = {"phase": "Failed"}
    sets.turn()
    assert sets.names == ["db-0"]
    assert uid_of(sets.one(POD, "db-0")) != before
    assert ("RecreatingFailedPod", "StatefulSet ns/db is recreating failed Pod db-0") in said(sets.events)


def test_an_update_goes_from_the_last_to_the_first() -> None:
    sets = _sets()
    sets.turn()
    old = sets.status["currentRevision"]
    sets.edit(STATEFUL_SET, "db", template=_template("v2"))
    sets.work()
    assert sets.names == ["db-0", "db-1"]
    assert sets.status["currentRevision"] == old != sets.status["updateRevision"]
    sets.finish_deletions()
    sets.work()
    assert sets.images == {"db-0": "v1", "db-1": "v1", "db-2": "v2"}
    sets.turn()
    assert set(sets.images.values()) == {"v2"}
    assert sets.status["currentRevision"] == sets.status["updateRevision"]
    assert (sets.status["currentReplicas"], sets.status["updatedReplicas"]) == (3, 3)


def test_an_update_stops_at_a_pod_that_does_not_become_ready() -> None:
    sets = _sets()
    sets.turn()
    sets.edit(STATEFUL_SET, "db", template=_template("broken"))
    sets.work()
    sets.finish_deletions()
    for _ in range(3):
        sets.work()
        sets.start(sets.one(POD, "db-2"), ready=False)
    assert sets.images == {"db-0": "v1", "db-1": "v1", "db-2": "broken"}


def test_a_partition_keeps_the_first_pods_as_they_are() -> None:
    sets = _sets(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})
    sets.turn()
    sets.edit(STATEFUL_SET, "db", template=_template("v2"))
    sets.turn()
    assert sets.images == {"db-0": "v1", "db-1": "v1", "db-2": "v2"}
    del sets.objects[Key(POD, "ns", "db-0")]
    sets.turn()
    assert sets.images["db-0"] == "v1", "what is below the partition is made again as it was"
    sets.edit(STATEFUL_SET, "db", updateStrategy=ROLLING)
    sets.turn()
    assert set(sets.images.values()) == {"v2"}


def test_on_delete_only_what_the_user_deletes() -> None:
    sets = _sets(updateStrategy={"type": "OnDelete"})
    sets.turn()
    sets.edit(STATEFUL_SET, "db", template=_template("v2"))
    sets.turn()
    assert set(sets.images.values()) == {"v1"}
    del sets.objects[Key(POD, "ns", "db-1")]
    sets.turn()
    assert sets.images == {"db-0": "v1", "db-1": "v2", "db-2": "v1"}


def test_rolling_back_makes_the_old_revision_the_newest() -> None:
    sets = _sets(replicas=1)
    sets.turn()
    first = sets.status["currentRevision"]
    sets.edit(STATEFUL_SET, "db", template=_template("v2"))
    sets.turn()
    sets.edit(STATEFUL_SET, "db", template=_template("v1"))
    sets.turn()
    assert sets.status["currentRevision"] == first
    numbers = {name_of(one): one["revision"] for one in sets.list(CONTROLLER_REVISION)}
    assert sorted(numbers.values()) == [2, 3]
    assert numbers[first] == 3


def test_old_revisions_go() -> None:
    sets = _sets(replicas=1, revisionHistoryLimit=1)
    sets.turn()
    for number in range(2, 6):
        sets.edit(STATEFUL_SET, "db", template=_template(f"v{number}"))
        sets.turn()
    assert sorted(one["revision"] for one in sets.list(CONTROLLER_REVISION)) == [4, 5]


def test_each_pod_keeps_its_claim() -> None:
    sets = _sets(replicas=2, volumeClaimTemplates=[DATA])
    sets.turn()
    assert [name_of(claim) for claim in sets.list(PERSISTENT_VOLUME_CLAIM)] == ["data-db-0", "data-db-1"]
    claim = sets.list(PERSISTENT_VOLUME_CLAIM)[0]
    assert labels_of(claim) == {"app": "a"}
    assert "status" not in claim
    (volume,) = sets.one(POD, "db-1")["spec"]["volumes"]
    assert volume == {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-1"}}
    uid = uid_of(sets.one(PERSISTENT_VOLUME_CLAIM, "data-db-1"))
    sets.edit(STATEFUL_SET, "db", replicas=1)
    sets.turn()
    sets.edit(STATEFUL_SET, "db", replicas=2)
    sets.turn()
    assert uid_of(sets.one(PERSISTENT_VOLUME_CLAIM, "data-db-1")) == uid


@pytest.mark.parametrize(
    ("when_deleted", "when_scaled", "owners"),
    [
        ("Retain", "Retain", [None, None]),
        ("Delete", "Retain", ["StatefulSet", "StatefulSet"]),
        ("Retain", "Delete", [None, "Pod"]),
        ("Delete", "Delete", ["StatefulSet", "Pod"]),
    ],
)
def test_with_whom_claims_go(when_deleted: str, when_scaled: str, owners: list[str | None]) -> None:
    policy = {"whenDeleted": when_deleted, "whenScaled": when_scaled}
    sets = _sets(replicas=2, volumeClaimTemplates=[DATA], persistentVolumeClaimRetentionPolicy=policy)
    sets.turn()
    sets.edit(STATEFUL_SET, "db", replicas=1)
    sets.work()

    def owner(name: str) -> str | None:
        references = sets.one(PERSISTENT_VOLUME_CLAIM, name)["metadata"].get("ownerReferences") or [{"kind": None}]
        kind: str | None = references[0]["kind"]
        return kind

    assert [owner("data-db-0"), owner("data-db-1")] == owners


def test_a_stale_view_makes_nothing_twice_and_deletes_no_new_pod() -> None:
    sets = _sets()
    sets.turn()
    sets.edit(STATEFUL_SET, "db", template=_template("v2"))
    stale = sets.snapshot()
    sets.turn()
    before = {name_of(pod): uid_of(pod) for pod in sets.live()}
    plan = plan_stateful_set(stale.one(STATEFUL_SET, "db"), stale)
    assert deleted(plan, POD) == ["db-2"]
    sets.carry_out(plan)
    assert {name_of(pod): uid_of(pod) for pod in sets.live()} == before
    assert len(sets.list(CONTROLLER_REVISION)) == 2


def test_only_orphans_of_its_names_are_adopted() -> None:
    sets = Sets()
    for name in ("db-0", "other-0", "db-x"):
        sets.put(POD, {"metadata": {"name": name, "namespace": "ns", "labels": {"app": "a"}}})
    sets.add(STATEFUL_SET, "db", replicas=1)
    sets.work()
    assert [name_of(pod) for pod in sets.list(POD) if pod["metadata"].get("ownerReferences")] == ["db-0"]


def test_a_set_that_is_being_deleted_makes_nothing() -> None:
    sets = _sets()
    sets.one(STATEFUL_SET, "db")["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    sets.start_all()
    plan = plan_stateful_set(sets.one(STATEFUL_SET, "db"), sets)
    assert made(plan, POD) == []
