"""ReplicaSets: how many Pods, which, whose, and what is reported."""

from typing import Any

import pytest

from beamhall.embedded.workloads.ranking import DELETION_COST, first_to_delete
from beamhall.embedded.workloads.replica_sets import plan_replica_set
from beamhall.kernel.kinds import POD, REPLICA_SET
from beamhall.kernel.objects import Key, is_controlled_by, name_of
from beamhall.kernel.plan import Require
from tests.planning import START, deleted, made, said
from tests.unit.embedded.workloads.apps import LABELS, Apps


@pytest.fixture
def apps() -> Apps:
    apps = Apps()
    apps.add(REPLICA_SET, "web", replicas=3)
    apps.work()
    return apps


def test_makes_pods_of_its_template(apps: Apps) -> None:
    pods = apps.list(POD)
    assert len(pods) == 3
    owner = apps.one(REPLICA_SET, "web")
    for pod in pods:
        assert name_of(pod).startswith("web-")
        assert len(name_of(pod)) == len("web-xxxxx")
        assert pod["metadata"]["labels"] == LABELS
        assert is_controlled_by(pod, owner)
    assert owner["status"] == {"replicas": 3, "fullyLabeledReplicas": 3, "observedGeneration": 1}
    assert sorted(said(apps.events)) == sorted(("SuccessfulCreate", f"Created pod: {name_of(pod)}") for pod in pods)


def test_a_stale_view_makes_nothing_twice(apps: Apps) -> None:
    stale = apps.snapshot()
    stale.objects = {key: obj for key, obj in stale.objects.items() if key.kind != POD}
    before = set(apps.objects)
    apps.carry_out(plan_replica_set(stale.objects[Key(REPLICA_SET, "ns", "web")], stale))
    assert set(apps.objects) == before


def test_a_pod_on_its_way_out_is_replaced_under_another_name(apps: Apps) -> None:
    apps.start_all()
    first = apps.list(POD)[0]
    first["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    apps.work()
    assert len(apps.live()) == 3
    apps.finish_deletions()
    apps.work()
    assert len(apps.list(POD)) == 3


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_pod_that_ended_is_replaced_and_stays(apps: Apps, phase: str) -> None:
    apps.list(POD)[0]["status"] = {"phase": phase}
    apps.work()
    assert len(apps.list(POD)) == 4
    assert apps.one(REPLICA_SET, "web")["status"]["replicas"] == 3


def test_a_pod_that_lost_its_labels_is_let_go_and_its_name_is_left_to_it(apps: Apps) -> None:
    pod = apps.list(POD)[0]
    pod["metadata"]["labels"] = {"app": "debug"}
    apps.work()
    freed = apps.one(POD, name_of(pod))
    assert "ownerReferences" not in freed["metadata"]
    assert len(apps.list(POD)) == 4


def test_orphans_are_adopted_and_count() -> None:
    apps = Apps()
    for name in "xy":
        apps.put(POD, {"metadata": {"name": name, "namespace": "ns", "labels": LABELS}})
    apps.put(POD, {"metadata": {"name": "z", "namespace": "ns", "labels": {"app": "other"}}})
    owner = apps.add(REPLICA_SET, "web", replicas=1)
    plan = plan_replica_set(owner, apps)
    assert isinstance(plan.actions[0], Require)
    apps.work()
    assert sorted(name_of(pod) for pod in apps.list(POD)) in (["x", "z"], ["y", "z"])


def test_orphans_of_a_set_that_is_being_deleted_stay_orphans(apps: Apps) -> None:
    """Its view is stale: it does not show the deletion yet, but shows that the Pods are orphaned."""
    stale = apps.snapshot()
    for world in (apps, stale):
        for pod in world.list(POD):
            del pod["metadata"]["ownerReferences"]
    apps.one(REPLICA_SET, "web")["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    before = apps.snapshot().objects
    apps.carry_out(plan_replica_set(stale.objects[Key(REPLICA_SET, "ns", "web")], stale))
    apps.work()
    pods = {key: obj for key, obj in apps.objects.items() if key.kind == POD}
    assert pods == {key: obj for key, obj in before.items() if key.kind == POD}


def test_a_set_that_is_being_deleted_makes_nothing(apps: Apps) -> None:
    apps.one(REPLICA_SET, "web")["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    del apps.objects[Key(POD, "ns", name_of(apps.list(POD)[0]))]
    apps.work()
    assert len(apps.list(POD)) == 2


def test_ready_for_long_enough_is_available(apps: Apps) -> None:
    apps.edit(REPLICA_SET, "web", minReadySeconds=10)
    apps.start_all()
    apps.work()
    status = apps.one(REPLICA_SET, "web")["status"]
    assert (status["readyReplicas"], status.get("availableReplicas", 0), status["observedGeneration"]) == (3, 0, 2)
    assert plan_replica_set(apps.one(REPLICA_SET, "web"), apps).again_after_s == 10
    apps.advance(10)
    apps.work()
    assert apps.one(REPLICA_SET, "web")["status"]["availableReplicas"] == 3
    assert plan_replica_set(apps.one(REPLICA_SET, "web"), apps).again_after_s is None


def test_scaling_down_takes_the_pod_that_is_not_ready(apps: Apps) -> None:
    first, second, third = apps.list(POD)
    for pod in (first, third):
        apps.start(pod)
    apps.start(second, ready=False)
    apps.edit(REPLICA_SET, "web", replicas=2)
    plan = apps.run(plan_replica_set, REPLICA_SET, "web")
    assert deleted(plan, POD) == [name_of(second)]
    assert ("SuccessfulDelete", f"Deleted pod: {name_of(second)}") in said(plan.actions)
    apps.edit(REPLICA_SET, "web", replicas=0)
    apps.turn()
    assert apps.list(POD) == []


def test_at_most_500_at_once() -> None:
    apps = Apps()
    plan = plan_replica_set(apps.add(REPLICA_SET, "web", replicas=2000), apps)
    assert len(set(made(plan, POD))) == 500


def _pod(
    name: str, *, node: str = "n", phase: str = "Running", ready: str | None = "2026-01-02T03:00:00Z", **more: Any
):
    status: dict[str, Any] = {"phase": phase, "containerStatuses": [{"restartCount": more.get("restarts", 0)}]}
    if ready:
        status["conditions"] = [{"type": "Ready", "status": "True", "lastTransitionTime": ready}]
    return {
        "metadata": {
            "name": name,
            "creationTimestamp": more.get("created", "2026-01-01T00:00:00Z"),
            "annotations": {DELETION_COST: more.get("cost", "0")},
        },
        "spec": {"nodeName": node} if node else {},
        "status": status,
    }


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (_pod("b", node=""), _pod("a")),
        (_pod("b", phase="Pending"), _pod("a", phase="Unknown")),
        (_pod("b", phase="Unknown"), _pod("a")),
        (_pod("b", ready=None), _pod("a")),
        (_pod("b", cost="-5"), _pod("a")),
        (_pod("b"), _pod("a", cost="7")),
        (_pod("b", cost="what"), _pod("a", cost="1")),
        (_pod("b", node="full"), _pod("a", node="n", ready="2026-01-02T03:04:00Z")),
        (_pod("b", ready="2026-01-02T03:04:00Z"), _pod("a")),
        (_pod("b", restarts=3), _pod("a", restarts=1)),
        (_pod("b", created="2026-01-02T03:04:04Z"), _pod("a")),
        (_pod("a"), _pod("b")),
    ],
)
def test_which_goes_first(first: Any, second: Any) -> None:
    related = [first, second, _pod("x", node="full"), _pod("y", node="full")]
    assert first_to_delete([second, first], related, START) == [first, second]
    assert first_to_delete([first, second], related, START) == [first, second]
