"""Claims and the volumes that they are bound to."""

from typing import Any

from beamhall.embedded.workloads.claims import plan_claims
from beamhall.kernel.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM
from tests.planning import World


def _claim(**spec: Any) -> dict[str, Any]:
    resources = {"requests": {"storage": "1Gi"}}
    metadata = {"name": "c", "namespace": "ns", "uid": "u"}
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


def test_the_volume_goes_with_its_claim() -> None:
    world = _settle(World((PERSISTENT_VOLUME_CLAIM, _claim())))
    world.objects = {key: obj for key, obj in world.objects.items() if key.kind == PERSISTENT_VOLUME}
    assert _settle(world).list(PERSISTENT_VOLUME) == []


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
