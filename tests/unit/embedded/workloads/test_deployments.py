"""Deployments: rollouts step by step, rolling back, pausing, scaling, deadlines, cleaning up."""

import copy
from typing import Any

import pytest

from beamhall.embedded.workloads.deployment_sets import HASH, REVISION
from beamhall.embedded.workloads.deployments import concerned_deployments, plan_deployment
from beamhall.embedded.workloads.rollout import DESIRED, Sets, proportional_sizes, share_of
from beamhall.kernel.kinds import DEPLOYMENT, POD, REPLICA_SET
from beamhall.kernel.objects import Key, annotations_of, name_of
from tests.planning import said
from tests.unit.embedded.workloads.apps import Apps

DEPLOY = {"progressDeadlineSeconds": 600, "revisionHistoryLimit": 10}


def _rolling(surge: Any, unavailable: Any) -> dict[str, Any]:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


def _apps(replicas: int = 4, **spec: Any) -> Apps:
    apps = Apps()
    apps.add(DEPLOYMENT, "web", **{**DEPLOY, "replicas": replicas, "strategy": _rolling(1, 1), **spec})
    apps.work()
    return apps


def _image(version: str) -> dict[str, Any]:
    return {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": version}]}}


def _sizes(apps: Apps) -> dict[str, int]:
    """Give the sizes of the sets by the image of their Pods."""
    return {
        one["spec"]["template"]["spec"]["containers"][0]["image"]: one["spec"]["replicas"]
        for one in apps.list(REPLICA_SET)
    }


def test_one_set_with_all_pods() -> None:
    apps = _apps()
    (one,) = apps.list(REPLICA_SET)
    digest = one["metadata"]["labels"][HASH]
    assert name_of(one) == f"web-{digest}"
    assert one["spec"]["selector"] == {"matchLabels": {"app": "a", HASH: digest}}
    assert one["spec"]["template"]["metadata"]["labels"] == {"app": "a", HASH: digest}
    assert annotations_of(one) == {
        REVISION: "1",
        DESIRED: "4",
        "deployment.kubernetes.io/max-replicas": "5",
    }
    assert annotations_of(apps.one(DEPLOYMENT, "web"))[REVISION] == "1"
    assert ("ScalingReplicaSet", f"Scaled up replica set {name_of(one)} from 0 to 4") in said(apps.events)
    assert apps.conditions(DEPLOYMENT, "web") == {
        "Available": "False MinimumReplicasUnavailable",
        "Progressing": "True ReplicaSetUpdated",
    }
    apps.turn()
    status = apps.one(DEPLOYMENT, "web")["status"]
    assert {name: value for name, value in status.items() if name != "conditions"} == {
        "observedGeneration": 1,
        "replicas": 4,
        "updatedReplicas": 4,
        "readyReplicas": 4,
        "availableReplicas": 4,
    }
    assert apps.conditions(DEPLOYMENT, "web") == {
        "Available": "True MinimumReplicasAvailable",
        "Progressing": "True NewReplicaSetAvailable",
    }


@pytest.mark.parametrize(
    ("surge", "unavailable", "steps"),
    [
        (1, 0, [(4, 1), (3, 2), (2, 3), (1, 4), (0, 4)]),
        (0, 1, [(3, 1), (2, 2), (1, 3), (0, 4)]),
        ("25%", "25%", [(3, 2), (1, 4), (0, 4)]),
        ("100%", 0, [(4, 4), (0, 4)]),
        (0, "100%", [(0, 4)]),
    ],
)
def test_a_rolling_update_never_has_too_many_or_too_few(surge: Any, unavailable: Any, steps: list[Any]) -> None:
    apps = _apps(strategy=_rolling(surge, unavailable))
    apps.turn()
    apps.edit(DEPLOYMENT, "web", template=_image("v2"))
    most = 4 + share_of(surge, 4, up=True)
    least = 4 - share_of(unavailable, 4, up=False)
    seen: list[tuple[int, int]] = []
    for _ in range(30):
        apps.work()
        ready = [pod for pod in apps.live() if (pod.get("status") or {}).get("phase") == "Running"]
        assert len(ready) >= least
        assert len(apps.live()) <= most
        sizes = _sizes(apps)
        if not seen or seen[-1] != (sizes["v1"], sizes["v2"]):
            seen.append((sizes["v1"], sizes["v2"]))
        apps.finish_deletions()
        apps.start_all()
    assert seen == steps
    assert apps.conditions(DEPLOYMENT, "web")["Progressing"] == "True NewReplicaSetAvailable"


def test_broken_pods_of_a_new_template_stop_the_rollout_and_rolling_back_takes_the_old_set() -> None:
    apps = _apps(strategy=_rolling(1, 0))
    apps.turn()
    before = {name_of(pod) for pod in apps.list(POD)}
    apps.edit(DEPLOYMENT, "web", template=_image("broken"))
    apps.work()
    assert _sizes(apps) == {"v1": 4, "broken": 1}
    assert plan_deployment(apps.one(DEPLOYMENT, "web"), apps).again_after_s == 600
    apps.advance(601)
    apps.work()
    assert apps.conditions(DEPLOYMENT, "web") == {
        "Available": "True MinimumReplicasAvailable",
        "Progressing": "False ProgressDeadlineExceeded",
    }
    apps.edit(DEPLOYMENT, "web", template=_image("v1"))
    apps.turn()
    assert _sizes(apps) == {"v1": 4, "broken": 0}
    assert {name_of(pod) for pod in apps.list(POD)} == before, "the Pods of the old template were never touched"
    (old,) = [one for one in apps.list(REPLICA_SET) if one["spec"]["replicas"]]
    assert annotations_of(old)[REVISION] == "3"
    assert annotations_of(old)["deployment.kubernetes.io/revision-history"] == "1"
    assert annotations_of(apps.one(DEPLOYMENT, "web"))[REVISION] == "3"
    assert apps.conditions(DEPLOYMENT, "web")["Progressing"] == "True NewReplicaSetAvailable"


def test_recreate_ends_all_old_pods_before_it_makes_new_ones() -> None:
    apps = _apps(strategy={"type": "Recreate"})
    apps.turn()
    apps.edit(DEPLOYMENT, "web", template=_image("v2"))
    apps.work()
    assert _sizes(apps) == {"v1": 0}
    assert apps.live() == []
    assert len(apps.list(POD)) == 4, "they are ending"
    pod = apps.list(POD)[0]
    assert list(concerned_deployments(pod, apps)) == [Key(DEPLOYMENT, "ns", "web")]
    apps.finish_deletions()
    apps.work()
    assert _sizes(apps) == {"v1": 0, "v2": 4}


def test_pause_and_resume() -> None:
    apps = _apps()
    apps.turn()
    apps.edit(DEPLOYMENT, "web", paused=True, template=_image("v2"))
    apps.turn()
    assert _sizes(apps) == {"v1": 4}
    assert apps.conditions(DEPLOYMENT, "web")["Progressing"] == "Unknown DeploymentPaused"
    apps.edit(DEPLOYMENT, "web", replicas=6)
    apps.turn()
    assert _sizes(apps) == {"v1": 6}, "scaling goes on while a rollout is paused"
    apps.edit(DEPLOYMENT, "web", paused=None)
    apps.turn()
    assert _sizes(apps) == {"v1": 0, "v2": 6}
    assert apps.conditions(DEPLOYMENT, "web")["Progressing"] == "True NewReplicaSetAvailable"


def test_scaling_up_and_down() -> None:
    apps = _apps()
    apps.turn()
    for wanted in (7, 2, 0, 1):
        apps.edit(DEPLOYMENT, "web", replicas=wanted)
        apps.turn()
        assert _sizes(apps) == {"v1": wanted}
        assert apps.one(DEPLOYMENT, "web")["status"].get("availableReplicas", 0) == wanted


def test_a_change_of_size_that_only_half_of_the_sets_have_taken_in_is_finished() -> None:
    apps = _apps(strategy=_rolling(1, 0), replicas=1)
    apps.turn()
    apps.edit(DEPLOYMENT, "web", template=_image("v2"))
    apps.work()
    for one in apps.list(REPLICA_SET):
        if one["spec"]["template"]["spec"]["containers"][0]["image"] == "v2":
            one["metadata"]["annotations"][DESIRED] = "2"  # as it was sized before, when the other was sized anew
    apps.turn()
    assert _sizes(apps) == {"v1": 0, "v2": 1}


def _set(name: str, size: int, *, sized_for: int, created: str, available: int | None = None) -> Any:
    annotations = {DESIRED: str(sized_for), "deployment.kubernetes.io/max-replicas": str(sized_for + 3)}
    return {
        "metadata": {"name": name, "annotations": annotations, "creationTimestamp": created},
        "spec": {"replicas": size},
        "status": {"availableReplicas": size if available is None else available},
    }


@pytest.mark.parametrize(
    ("wanted", "new", "old", "expected"),
    [
        (15, 5, 8, {"new": 7, "old": 11}),
        (5, 5, 8, {"new": 3, "old": 5}),
        (10, 5, 8, {}),
        (0, 5, 8, {"new": 0, "old": 0}),
        (20, 0, 8, {"old": 20}),
    ],
)
def test_sets_grow_and_shrink_in_proportion(wanted: int, new: int, old: int, expected: dict[str, int]) -> None:
    deployment = {"spec": {"replicas": wanted, "strategy": _rolling(3, 2)}}
    sets = Sets(
        deployment,
        _set("new", new, sized_for=10, created="2026-01-02T00:00:00Z"),
        [_set("old", old, sized_for=10, created="2026-01-01T00:00:00Z")],
    )
    assert proportional_sizes(sets) == expected


def test_old_sets_beyond_the_limit_go() -> None:
    apps = _apps(revisionHistoryLimit=2, replicas=1)
    apps.turn()
    for number in range(2, 7):
        apps.edit(DEPLOYMENT, "web", template=_image(f"v{number}"))
        apps.turn()
    assert _sizes(apps) == {"v4": 0, "v5": 0, "v6": 1}


def test_a_stale_view_makes_no_second_set() -> None:
    apps = _apps()
    stale = apps.snapshot()
    stale.objects = {key: obj for key, obj in stale.objects.items() if key.kind == DEPLOYMENT}
    names = set(apps.objects)
    apps.carry_out(plan_deployment(stale.one(DEPLOYMENT, "web"), stale))
    assert set(apps.objects) == names


def test_a_stale_view_sizes_nothing() -> None:
    apps = _apps()
    apps.turn()
    apps.edit(DEPLOYMENT, "web", template=_image("v2"))
    stale = apps.snapshot()
    apps.turn()
    before = copy.deepcopy(apps.list(REPLICA_SET))
    apps.carry_out(plan_deployment(stale.one(DEPLOYMENT, "web"), stale))
    apps.turn()
    assert [one["spec"] for one in apps.list(REPLICA_SET)] == [one["spec"] for one in before]


def test_sets_without_an_owner_are_adopted() -> None:
    apps = _apps()
    apps.turn()
    (one,) = apps.list(REPLICA_SET)
    del one["metadata"]["ownerReferences"]
    assert list(concerned_deployments(one, apps)) == [Key(DEPLOYMENT, "ns", "web")]
    apps.turn()
    (one,) = apps.list(REPLICA_SET)
    assert one["metadata"]["ownerReferences"][0]["name"] == "web"
    assert len(apps.list(POD)) == 4


def test_annotations_of_the_deployment_reach_its_newest_set() -> None:
    apps = _apps()
    annotations = apps.one(DEPLOYMENT, "web")["metadata"].setdefault("annotations", {})
    annotations |= {"kubernetes.io/change-cause": "better", "kubectl.kubernetes.io/last-applied-configuration": "{}"}
    apps.work()
    (one,) = apps.list(REPLICA_SET)
    assert annotations_of(one)["kubernetes.io/change-cause"] == "better"
    assert "kubectl.kubernetes.io/last-applied-configuration" not in annotations_of(one)


def test_two_templates_of_one_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    def hash_by_collisions(template: Any, collisions: int) -> str:
        del template
        return f"c{collisions}"

    monkeypatch.setattr("beamhall.embedded.workloads.deployment_sets.template_hash", hash_by_collisions)
    apps = _apps()
    apps.turn()
    apps.edit(DEPLOYMENT, "web", template=_image("v2"))
    apps.turn()
    assert apps.one(DEPLOYMENT, "web")["status"]["collisionCount"] == 1
    assert _sizes(apps) == {"v1": 0, "v2": 4}
