"""Claims and volumes on their way in: the default class, protection, growth."""

import pytest

from beamhall.kernel.errors import Forbidden, NotFound
from beamhall.kernel.kinds import PERSISTENT_VOLUME_CLAIM, PRIORITY_CLASS, STORAGE_CLASS


def claim(name="c", **spec):
    resources = {"requests": {"storage": "1Gi"}}
    metadata = {"name": name, "namespace": "default"}
    return {"metadata": metadata, "spec": {"accessModes": ["ReadWriteOnce"], "resources": resources, **spec}}


async def test_every_cluster_has_a_default_class_and_the_systems_priorities(client):
    (found,) = (await client.list(STORAGE_CLASS)).items
    assert (found["metadata"]["name"], found["provisioner"]) == ("beamhall", "beamhall.io/directory")
    names = {item["metadata"]["name"] for item in (await client.list(PRIORITY_CLASS)).items}
    assert names == {"system-cluster-critical", "system-node-critical"}


async def test_a_claim_gets_the_newest_default_class(client, clock):
    assert (await client.create(PERSISTENT_VOLUME_CLAIM, claim()))["spec"]["storageClassName"] == "beamhall"
    clock.advance(60)
    mark = {"storageclass.kubernetes.io/is-default-class": "true"}
    await client.create(STORAGE_CLASS, {"metadata": {"name": "fast", "annotations": mark}, "provisioner": "p"})
    assert (await client.create(PERSISTENT_VOLUME_CLAIM, claim("d")))["spec"]["storageClassName"] == "fast"
    assert (await client.create(PERSISTENT_VOLUME_CLAIM, claim("e", storageClassName="")))["spec"][
        "storageClassName"
    ] == ""


async def test_a_deleted_claim_waits_until_it_is_let_go(client):
    made = await client.create(PERSISTENT_VOLUME_CLAIM, claim())
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    await client.delete(PERSISTENT_VOLUME_CLAIM, "c", "default")
    assert (await client.get(PERSISTENT_VOLUME_CLAIM, "c", "default"))["metadata"]["deletionTimestamp"]
    await client.patch(PERSISTENT_VOLUME_CLAIM, "c", "default", {"metadata": {"finalizers": []}})
    with pytest.raises(NotFound):
        await client.get(PERSISTENT_VOLUME_CLAIM, "c", "default")


async def test_a_claim_grows_where_its_class_lets_it(client):
    larger = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    await client.create(PERSISTENT_VOLUME_CLAIM, claim())
    await client.patch(PERSISTENT_VOLUME_CLAIM, "c", "default", larger)
    await client.create(STORAGE_CLASS, {"metadata": {"name": "fixed"}, "provisioner": "p"})
    await client.create(PERSISTENT_VOLUME_CLAIM, claim("f", storageClassName="fixed"))
    with pytest.raises(Forbidden, match="the storageclass that provisions the pvc must support resize"):
        await client.patch(PERSISTENT_VOLUME_CLAIM, "f", "default", larger)
