"""Claims and the volumes that they are bound to."""

from typing import Any

import pytest

from beamhall.embedded.workloads.claim_protection import CLAIM_PROTECTION, plan_protection, used_claims
from beamhall.embedded.workloads.claims import PROVISIONER, plan_claims
from beamhall.kernel.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD, STORAGE_CLASS
from beamhall.kernel.objects import key_of, name_of
from tests.planning import World


def _claim(uid: str = "u", **spec: Any) -> dict[str, Any]:
    resources = {"requests": {"storage": "1Gi"}}
    metadata = {"name": "c", "namespace": "ns", "uid": uid}
    return {"metadata": metadata, "spec": {"accessModes": ["ReadWriteMany"], "resources": resources, **spec}}


def _settle(world: World) -> World:
    for _ in range(5):
        world.carry_out(plan_claims({}, world))
    assert plan_claims({}, world).actions == []
    return world


def test_a_claim_is_bound_to_a_volume_of_its_own() -> None:
    world = _settle(World((PERSISTENT_VOLUME_CLAIM, _claim())))
    (claim,) = world.list(PERSISTENT_VOLUME_CLAIM)
    (volume,) = world.list(PERSISTENT_VOLUME)
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"] == "pvc-u"
    assert claim["status"] == {"phase": "Bound", "accessModes": ["ReadWriteMany"], "capacity": {"storage": "1Gi"}}
    assert (volume["status"]["phase"], volume["spec"]["claimRef"]["uid"]) == ("Bound", "u")


def _without_claims(world: World) -> World:
    world.objects = {key: obj for key, obj in world.objects.items() if key.kind != PERSISTENT_VOLUME_CLAIM}
    return world


def test_the_volume_goes_with_its_claim() -> None:
    world = _without_claims(_settle(World((PERSISTENT_VOLUME_CLAIM, _claim()))))
    assert _settle(world).list(PERSISTENT_VOLUME) == []


def test_a_claim_of_the_same_name_waits_until_the_directory_is_gone() -> None:
    world = _without_claims(_settle(World((PERSISTENT_VOLUME_CLAIM, _claim()))))
    (old,) = world.list(PERSISTENT_VOLUME)
    old["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"  # the agent removes its directory
    world.put(PERSISTENT_VOLUME_CLAIM, _claim("new"))
    world.carry_out(plan_claims({}, world))
    assert [name_of(volume) for volume in world.list(PERSISTENT_VOLUME)] == ["pvc-u"]
    assert world.list(PERSISTENT_VOLUME)[0]["metadata"]["finalizers"] == ["beamhall.io/directory"]
    del world.objects[key_of(PERSISTENT_VOLUME, old)]
    (volume,) = _settle(world).list(PERSISTENT_VOLUME)
    assert (name_of(volume), volume["spec"]["hostPath"]["path"]) == ("pvc-new", "volumes/ns/c")


def test_a_kept_directory_is_not_given_to_another_claim() -> None:
    world = _without_claims(_settle(World(
        (STORAGE_CLASS, {"metadata": {"name": "keep"}, "provisioner": PROVISIONER, "reclaimPolicy": "Retain"}),
        (PERSISTENT_VOLUME_CLAIM, _claim(storageClassName="keep")),
    )))  # fmt: skip
    world.put(PERSISTENT_VOLUME_CLAIM, _claim("new", storageClassName="keep"))
    paths = {name_of(v): v["spec"]["hostPath"]["path"] for v in _settle(world).list(PERSISTENT_VOLUME)}
    assert paths == {"pvc-u": "volumes/ns/c", "pvc-new": "volumes/ns/c.new"}


def _offer(name: str, size: str, **spec: Any) -> tuple[Any, dict[str, Any]]:
    spec = {"capacity": {"storage": size}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"], **spec}
    return PERSISTENT_VOLUME, {"metadata": {"name": name, "labels": {"size": size}}, "spec": spec}


def test_the_smallest_volume_that_fits_is_taken() -> None:
    volumes = [_offer("a", "9Gi"), _offer("b", "2Gi"), _offer("c", "500Mi"), _offer("d", "1Gi", storageClassName="x")]
    world = _settle(World((PERSISTENT_VOLUME_CLAIM, _claim(storageClassName="")), *volumes))
    (claim,) = world.list(PERSISTENT_VOLUME_CLAIM)
    assert (claim["spec"]["volumeName"], claim["status"]["capacity"]) == ("b", {"storage": "2Gi"})


@pytest.mark.parametrize(
    "spec", [{"accessModes": ["ReadOnlyMany"]}, {"volumeMode": "Block"}, {"selector": {"matchLabels": {"size": "3Gi"}}}]
)
def test_what_does_not_fit_is_not_taken(spec: dict[str, Any]) -> None:
    world = World((PERSISTENT_VOLUME_CLAIM, _claim(storageClassName="", **spec)), _offer("a", "9Gi"))
    world.carry_out(plan_claims({}, world))
    assert "volumeName" not in world.list(PERSISTENT_VOLUME_CLAIM)[0]["spec"]
    assert [event.reason for event in world.events] == ["FailedBinding"]


def test_two_claims_do_not_take_the_same_volume() -> None:
    second = _claim("v", storageClassName="")
    second["metadata"]["name"] = "d"
    world = World((PERSISTENT_VOLUME_CLAIM, _claim(storageClassName="")), (PERSISTENT_VOLUME_CLAIM, second))
    world.put(*_offer("a", "9Gi"))
    world.put(*_offer("b", "9Gi"))
    world.carry_out(plan_claims({}, world))
    assert {claim["spec"]["volumeName"] for claim in world.list(PERSISTENT_VOLUME_CLAIM)} == {"a", "b"}


def test_a_volume_that_is_kept_for_a_name_waits_for_it() -> None:
    world = _settle(World(_offer("a", "9Gi", claimRef={"namespace": "ns", "name": "c"}, storageClassName="x")))
    assert world.list(PERSISTENT_VOLUME)[0]["status"]["phase"] == "Available"
    world.put(PERSISTENT_VOLUME_CLAIM, _claim())
    assert _settle(world).list(PERSISTENT_VOLUME)[0]["spec"]["claimRef"]["uid"] == "u"


def test_other_provisioners_are_waited_for() -> None:
    other = (STORAGE_CLASS, {"metadata": {"name": "cloud"}, "provisioner": "ebs.csi.aws.com"})
    world = World((PERSISTENT_VOLUME_CLAIM, _claim(storageClassName="cloud")), other)
    world.carry_out(plan_claims({}, world))
    assert world.list(PERSISTENT_VOLUME) == []
    assert [event.reason for event in world.events] == ["ExternalProvisioning"]


def test_a_claim_grows() -> None:
    world = _settle(World((PERSISTENT_VOLUME_CLAIM, _claim())))
    world.list(PERSISTENT_VOLUME_CLAIM)[0]["spec"]["resources"]["requests"]["storage"] = "5Gi"
    _settle(world)
    assert world.list(PERSISTENT_VOLUME)[0]["spec"]["capacity"] == {"storage": "5Gi"}
    assert world.list(PERSISTENT_VOLUME_CLAIM)[0]["status"]["capacity"] == {"storage": "5Gi"}


@pytest.mark.parametrize(
    ("volume", "phase", "goes"),
    [
        ({"persistentVolumeClaim": {"claimName": "c"}}, "Running", False),
        ({"persistentVolumeClaim": {"claimName": "c"}}, "Pending", False),
        ({"persistentVolumeClaim": {"claimName": "c"}}, "Succeeded", True),
        ({"persistentVolumeClaim": {"claimName": "other"}}, "Running", True),
        ({"emptyDir": {}}, "Running", True),
    ],
)
def test_a_claim_in_use_stays(volume: dict[str, Any], phase: str, *, goes: bool) -> None:
    claim = _claim()
    claim["metadata"] |= {"finalizers": ["x", CLAIM_PROTECTION], "deletionTimestamp": "2026-01-01T00:00:00Z"}
    pod = {"metadata": {"name": "p", "namespace": "ns"}, "spec": {"volumes": [volume]}, "status": {"phase": phase}}
    world = World((PERSISTENT_VOLUME_CLAIM, claim), (POD, pod))
    world.carry_out(plan_protection(world.list(PERSISTENT_VOLUME_CLAIM)[0], world))
    left = world.list(PERSISTENT_VOLUME_CLAIM)[0]["metadata"]["finalizers"]
    assert left == (["x"] if goes else ["x", CLAIM_PROTECTION])


def test_a_pod_concerns_the_claims_that_it_names() -> None:
    volumes = [{"persistentVolumeClaim": {"claimName": "c"}}, {"name": "e", "ephemeral": {}}, {"emptyDir": {}}]
    pod = {"metadata": {"name": "p", "namespace": "ns"}, "spec": {"volumes": volumes}}
    assert [key.name for key in used_claims(pod, World())] == ["c", "p-e"]


def test_a_claim_waits_for_the_volume_that_it_names() -> None:
    world = _settle(World((PERSISTENT_VOLUME_CLAIM, _claim(volumeName="v"))))
    assert world.list(PERSISTENT_VOLUME) == []
    spec = {"capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce"]}
    world.put(PERSISTENT_VOLUME, {"metadata": {"name": "v"}, "spec": spec})
    _settle(world)
    assert world.list(PERSISTENT_VOLUME_CLAIM)[0]["status"]["capacity"] == {"storage": "5Gi"}
    assert world.list(PERSISTENT_VOLUME)[0]["status"] == {"phase": "Bound"}


def test_a_volume_that_is_kept_is_released() -> None:
    spec = {"claimRef": {"namespace": "ns", "name": "gone", "uid": "x"}, "persistentVolumeReclaimPolicy": "Retain"}
    world = World((PERSISTENT_VOLUME, {"metadata": {"name": "v"}, "spec": spec, "status": {"phase": "Bound"}}))
    assert _settle(world).list(PERSISTENT_VOLUME)[0]["status"]["phase"] == "Released"
