"""ResourceQuota: what is refused, what is counted, what the status says; many writes at once cannot pass together."""

import asyncio

import pytest

from beamhall.client.local import LocalClient
from beamhall.embedded.api.quota.usage import amount_of, say, usage_of
from beamhall.kernel.errors import AlreadyExists, Forbidden, Invalid
from beamhall.kernel.kinds import (
    CONFIG_MAP,
    NAMESPACE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    RESOURCE_QUOTA,
    SERVICE,
)
from tests.unit.embedded.api.conftest import ADMIN, config_map, pod, running_api, until


def quota(hard, name="q", **spec):
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"hard": hard, **spec}}


def asking(name, *, requests=None, limits=None, **spec):
    made = pod(name)
    made["spec"] |= spec
    made["spec"]["containers"][0]["resources"] = {"requests": requests or {}, "limits": limits or {}}
    return made


async def used_of(api, name="q"):
    def settled():
        found = api.core.store.get(RESOURCE_QUOTA.resource, "default", name)
        return found and found.get("status", {}).get("used")

    return await until(settled)


async def until_used(api, **wanted):
    names = {name.replace("_", "."): text for name, text in wanted.items()}

    def is_so():
        used = api.core.store.get(RESOURCE_QUOTA.resource, "default", "q").get("status", {}).get("used", {})
        return all(used.get(name) == text for name, text in names.items())

    await until(is_so)


async def test_a_pod_too_many_is_refused_in_kubernetes_words(client):
    await client.create(RESOURCE_QUOTA, quota({"pods": "1", "requests.cpu": "2"}))
    await client.create(POD, asking("a", requests={"cpu": "500m"}))
    with pytest.raises(Forbidden) as caught:
        await client.create(POD, asking("b", requests={"cpu": "1600m"}))
    assert caught.value.message == (
        'pods "b" is forbidden: exceeded quota: q, requested: pods=1,requests.cpu=1600m, '
        "used: pods=1,requests.cpu=500m, limited: pods=1,requests.cpu=2"
    )


async def test_what_a_quota_counts_must_be_said(client):
    await client.create(RESOURCE_QUOTA, quota({"limits.memory": "1Gi", "cpu": "1"}))
    with pytest.raises(Forbidden, match=r"failed quota: q: must specify cpu for: main; limits.memory for: main"):
        await client.create(POD, pod("p"))


async def test_the_status_follows_pods_as_they_come_end_and_go(api, client):
    await client.create(RESOURCE_QUOTA, quota({"pods": "5", "requests.memory": "4Gi", "count/pods": "9"}))
    assert await used_of(api) == {"pods": "0", "requests.memory": "0", "count/pods": "0"}
    await client.create(POD, asking("a", requests={"memory": "1536Mi"}))
    await client.create(POD, asking("b", requests={"memory": "512Mi"}))
    await until_used(api, pods="2", requests_memory="2Gi")
    await client.patch(POD, "a", "default", {"status": {"phase": "Succeeded"}}, subresource="status")
    await until_used(api, pods="1", requests_memory="512Mi", **{"count/pods": "2"})
    await client.delete(POD, "b", "default", grace_period_s=0)
    await until_used(api, pods="0", requests_memory="0", **{"count/pods": "1"})


async def test_writes_at_once_cannot_pass_a_quota_together(client):
    await client.create(RESOURCE_QUOTA, quota({"count/configmaps": "10"}))
    outcomes = []

    async def make(number):
        try:
            await client.create(CONFIG_MAP, config_map(f"c-{number}"))
        except Forbidden:
            outcomes.append("refused")
        else:
            outcomes.append("made")

    async with asyncio.TaskGroup() as tasks:
        for number in range(30):
            tasks.create_task(make(number))
    assert (outcomes.count("made"), outcomes.count("refused")) == (10, 20)


async def test_a_write_that_failed_holds_nothing(client):
    await client.create(RESOURCE_QUOTA, quota({"configmaps": "2"}))
    await client.create(CONFIG_MAP, config_map("a"))
    for _ in range(3):
        with pytest.raises(AlreadyExists):
            await client.create(CONFIG_MAP, config_map("a"))
    await client.create(CONFIG_MAP, config_map("b"))
    with pytest.raises(Forbidden):
        await client.create(CONFIG_MAP, config_map("c"))


async def test_a_quota_counts_what_was_there_and_lasts_over_a_restart(tmp_path, clock):
    async with running_api(tmp_path, clock) as api:
        client = LocalClient(api, ADMIN)
        await client.create(CONFIG_MAP, config_map("a"))
        await client.create(RESOURCE_QUOTA, quota({"configmaps": "1"}))
    async with running_api(tmp_path, clock) as api:
        client = LocalClient(api, ADMIN)
        with pytest.raises(Forbidden, match="used: configmaps=1"):
            await client.create(CONFIG_MAP, config_map("b"))
        await client.patch(RESOURCE_QUOTA, "q", "default", {"spec": {"hard": {"configmaps": "2"}}})
        await client.create(CONFIG_MAP, config_map("b"))
        await client.delete(RESOURCE_QUOTA, "q", "default")
        await client.create(CONFIG_MAP, config_map("c"))


async def test_other_namespaces_are_not_counted(client):
    await client.create(NAMESPACE, {"metadata": {"name": "other"}})
    await client.create(RESOURCE_QUOTA, quota({"configmaps": "0"}))
    await client.create(CONFIG_MAP, config_map("a") | {"metadata": {"name": "a", "namespace": "other"}})


@pytest.mark.parametrize(
    ("spec", "counted"),
    [
        ({"scopes": ["BestEffort"]}, ["plain"]),
        ({"scopes": ["NotBestEffort"]}, ["burst"]),
        ({"scopes": ["Terminating"]}, ["bounded"]),
        ({"scopes": ["NotTerminating", "BestEffort"]}, ["plain"]),
        (
            {
                "scopeSelector": {
                    "matchExpressions": [
                        {"scopeName": "PriorityClass", "operator": "In", "values": ["system-node-critical"]}
                    ]
                }
            },
            ["urgent"],
        ),
    ],
)
async def test_scopes(client, spec, counted):
    await client.create(RESOURCE_QUOTA, quota({"pods": "0"}, **spec))
    pods = {
        "plain": asking("plain"),
        "burst": asking("burst", requests={"cpu": "1"}),
        "bounded": asking("bounded", requests={"cpu": "1"}, activeDeadlineSeconds=5),
        "urgent": asking("urgent", requests={"cpu": "1"}, priorityClassName="system-node-critical"),
    }
    if "bounded" not in counted:
        del pods["bounded"]
    if "urgent" not in counted:
        del pods["urgent"]
    refused = []
    for name, made in pods.items():
        try:
            await client.create(POD, made)
        except Forbidden:
            refused.append(name)
    assert refused == counted


async def test_claims_services_and_updates(client):
    hard = {"requests.storage": "2Gi", "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1"}
    await client.create(RESOURCE_QUOTA, quota(hard | {"services.nodeports": "1"}))
    claim = {
        "metadata": {"name": "c", "namespace": "default"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "gold",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    await client.create(PERSISTENT_VOLUME_CLAIM, claim)
    with pytest.raises(Forbidden, match=r"requested: requests.storage=2Gi, used: requests.storage=1Gi"):
        await client.patch(
            PERSISTENT_VOLUME_CLAIM, "c", "default", {"spec": {"resources": {"requests": {"storage": "3Gi"}}}}
        )
    await client.patch(
        PERSISTENT_VOLUME_CLAIM, "c", "default", {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    )
    service = {"metadata": {"name": "s", "namespace": "default"}, "spec": {"type": "NodePort"}}
    with pytest.raises(Forbidden, match=r"services.nodeports=2"):
        await client.create(SERVICE, service | {"spec": {"type": "NodePort", "ports": [
            {"name": "a", "port": 1, "nodePort": 30001}, {"name": "b", "port": 2, "nodePort": 30002}]}})  # fmt: skip


def test_init_containers_count_by_their_maximum_and_sidecars_by_sum():
    def container(cpu, **fields):
        return {"name": f"c{cpu}", "resources": {"requests": {"cpu": str(cpu)}}, **fields}

    spec = {
        "containers": [container(1), container(2)],
        "initContainers": [container(1, restartPolicy="Always"), container(7)],
        "overhead": {"cpu": "1"},
    }
    assert usage_of(POD, {"spec": spec})["requests.cpu"] == 9


@pytest.mark.parametrize(
    ("name", "text"), [("requests.memory", "1536Mi"), ("cpu", "1500m"), ("requests.nvidia.com/gpu", "2"), ("pods", "0")]
)
def test_amounts_are_said_as_they_are_written(name, text):
    assert say(name, amount_of(text)) == text


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"hard": {"pods": "-1"}}, 'spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0'),
        ({"hard": {"pods": "1.5"}}, "must be an integer"),
        ({"hard": {"pods": "1"}, "scopes": ["Sometimes"]}, "spec.scopes[0]: Unsupported value"),
        ({"hard": {"pods": "1"}, "scopes": ["BestEffort", "NotBestEffort"]}, "conflicting scopes"),
    ],
)
async def test_wrong_quotas_are_refused(client, spec, message):
    with pytest.raises(Invalid) as caught:
        await client.create(RESOURCE_QUOTA, {"metadata": {"name": "q", "namespace": "default"}, "spec": spec})
    assert message in caught.value.message
