"""LimitRange: what it fills in, and what it refuses in which words."""

import pytest

from beamhall.kernel.errors import Forbidden, Invalid
from beamhall.kernel.kinds import LIMIT_RANGE, PERSISTENT_VOLUME_CLAIM, POD
from beamhall.kernel.objects import Object
from tests.unit.embedded.api.conftest import pod


def limit_range(*limits):
    return {"metadata": {"name": "l", "namespace": "default"}, "spec": {"limits": list(limits)}}


def asking(requests=None, limits=None):
    made = pod()
    made["spec"]["containers"][0]["resources"] = {"requests": requests or {}, "limits": limits or {}}
    return made


async def test_defaults_are_filled_in_and_said(client):
    await client.create(
        LIMIT_RANGE,
        limit_range({"type": "Container", "default": {"memory": "1Gi"}, "defaultRequest": {"cpu": "100m"}}),
    )
    made = await client.create(POD, asking(requests={"cpu": "200m"}))
    container = made["spec"]["containers"][0]
    assert container["resources"] == {"requests": {"cpu": "200m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}
    assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: memory limit for container main; memory request for container main"
    )
    assert made["status"]["qosClass"] == "Burstable"


async def test_the_object_itself_gets_its_defaults(client):
    made = await client.create(
        LIMIT_RANGE, limit_range({"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1", "memory": "1Mi"}})
    )
    item = made["spec"]["limits"][0]
    assert item["default"] == {"cpu": "2"}
    assert item["defaultRequest"] == {"cpu": "2", "memory": "1Mi"}


@pytest.mark.parametrize(
    ("item", "resources", "message"),
    [
        (
            {"min": {"cpu": "100m"}},
            {"requests": {"cpu": "50m"}},
            "minimum cpu usage per Container is 100m, but request is 50m",
        ),
        ({"max": {"cpu": "1"}}, {"limits": {"cpu": "2"}}, "maximum cpu usage per Container is 1, but limit is 2"),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"requests": {"cpu": "1"}, "limits": {"cpu": "3"}},
            "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            {"limits": {}},
            "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0",
        ),
    ],
)
async def test_what_is_out_of_bounds_is_refused(client, item, resources, message):
    await client.create(LIMIT_RANGE, limit_range({"type": "Container"} | item))
    with pytest.raises(Forbidden) as caught:
        await client.create(POD, asking(**resources))
    assert caught.value.message == f'pods "p" is forbidden: {message}'


async def test_a_whole_pod_and_several_misses_at_once(client):
    await client.create(LIMIT_RANGE, limit_range({"type": "Pod", "max": {"cpu": "1", "memory": "1Gi"}}))
    made = asking(requests={"cpu": "900m"}, limits={"cpu": "900m", "memory": "2Gi"})
    made["spec"]["containers"].append({**made["spec"]["containers"][0], "name": "other"})
    with pytest.raises(Forbidden) as caught:
        await client.create(POD, made)
    assert caught.value.message == (
        'pods "p" is forbidden: [maximum cpu usage per Pod is 1, but limit is 1800m, '
        "maximum memory usage per Pod is 1Gi, but limit is 4Gi]"
    )


async def test_claims(client):
    await client.create(
        LIMIT_RANGE,
        limit_range({"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}),
    )
    claim: Object = {
        "metadata": {"name": "c", "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "500Mi"}}},
    }
    with pytest.raises(Forbidden, match="minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 500Mi"):
        await client.create(PERSISTENT_VOLUME_CLAIM, claim)
    claim["spec"]["resources"]["requests"]["storage"] = "2Gi"
    await client.create(PERSISTENT_VOLUME_CLAIM, claim)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"type": "Bottle"}, "spec.limits[0].type: Unsupported value"),
        (
            {"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}},
            'spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1',
        ),
        ({"type": "Pod", "default": {"cpu": "1"}}, "may not be specified when `type` is 'Pod'"),
        ({"type": "PersistentVolumeClaim"}, "either minimum or maximum storage value is required"),
        (
            {"type": "Container", "maxLimitRequestRatio": {"cpu": "0.5"}},
            "ratio must be greater than or equal to 1",
        ),
    ],
)
async def test_wrong_limit_ranges_are_refused(client, item, message):
    with pytest.raises(Invalid) as caught:
        await client.create(LIMIT_RANGE, limit_range(item))
    assert message in caught.value.message
