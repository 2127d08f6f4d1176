"""Roles and bindings on a running API: right the moment a write is acknowledged, and nobody grants what they lack."""

from typing import Any

import httpx2
import pytest

from beamhall.client.local import LocalClient
from beamhall.client.protocol import Selection
from beamhall.embedded.api.factory import create_app
from beamhall.embedded.api.rbac.bootstrap import AUTOUPDATE
from beamhall.embedded.api.verbs import Api
from beamhall.kernel.errors import Forbidden, Invalid, NotFound
from beamhall.kernel.identity import User
from beamhall.kernel.kinds import (
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    CONFIG_MAP,
    DEPLOYMENT,
    POD,
    ROLE,
    ROLE_BINDING,
    SECRET,
)
from beamhall.kernel.objects import Object, name_of
from tests.api_server import as_admin
from tests.unit.embedded.api.conftest import StandingClock, config_map, pod, running_api, until

JO = User("jo", ("lab", "system:authenticated"))


@pytest.fixture
def jo(api: Api) -> LocalClient:
    return LocalClient(api, JO)


def role(name: str = "reader", *, verbs: str = "get list", resources: str = "pods", **more: Any) -> Object:
    rule = {"verbs": verbs.split(), "apiGroups": [""], "resources": resources.split(), **more}
    return {"metadata": {"name": name, "namespace": "default"}, "rules": [rule]}


def binding(
    role_name: str = "reader", of: str = "Role", namespace: str = "default", subject: Object | None = None
) -> Object:
    subject = subject or {"kind": "User", "name": "jo"}
    made: Object = {
        "metadata": {"name": f"{role_name}-{subject['name']}"},
        "roleRef": {"kind": of, "name": role_name},
        "subjects": [subject],
    }
    if namespace:
        made["metadata"]["namespace"] = namespace
    return made


async def test_nothing_is_allowed_that_no_role_says(jo: LocalClient) -> None:
    with pytest.raises(Forbidden) as caught:
        await jo.list(POD, Selection("ns"))
    assert caught.value.message == (
        'pods is forbidden: User "jo" cannot list resource "pods" in API group "" in the namespace "ns"'
    )
    assert caught.value.details == {"kind": "pods"}
    with pytest.raises(Forbidden) as caught:
        await jo.get(DEPLOYMENT, "d", "ns")
    assert caught.value.message == (
        'deployments.apps "d" is forbidden: User "jo" cannot get resource "deployments" in API group "apps" '
        'in the namespace "ns"'
    )
    with pytest.raises(Forbidden, match=r'cannot list resource "pods" in API group "" at the cluster scope$'):
        await jo.list(POD)
    with pytest.raises(Forbidden, match='cannot patch resource "pods/status" in API group ""'):
        await jo.patch(POD, "p", "default", {}, subresource="status")


async def test_a_role_holds_from_its_binding_to_the_end_of_it(client: LocalClient, jo: LocalClient) -> None:
    here = Selection("default")
    await client.create(ROLE, role())
    with pytest.raises(Forbidden):
        await jo.list(POD, here)
    await client.create(ROLE_BINDING, binding())
    await jo.list(POD, here)
    with pytest.raises(Forbidden):
        await jo.list(POD, Selection("kube-system"))
    with pytest.raises(Forbidden):
        await jo.create(POD, pod())
    await client.patch(ROLE, "reader", "default", {"rules": role(verbs="get")["rules"]})
    with pytest.raises(Forbidden):
        await jo.list(POD, here)
    await client.patch(ROLE, "reader", "default", {"rules": role()["rules"]})
    await jo.list(POD, here)
    await client.delete(ROLE, "reader", "default")
    with pytest.raises(Forbidden, match=r'RBAC: role.rbac.authorization.k8s.io "reader" not found$'):
        await jo.list(POD, here)
    await client.create(ROLE, role())
    await jo.list(POD, here)
    await client.delete(ROLE_BINDING, "reader-jo", "default")
    with pytest.raises(Forbidden):
        await jo.list(POD, here)


async def test_a_cluster_role_holds_where_it_is_bound(client: LocalClient, jo: LocalClient) -> None:
    await client.create(ROLE_BINDING, binding("view", "ClusterRole", subject={"kind": "Group", "name": "lab"}))
    await jo.list(POD, Selection("default"))
    with pytest.raises(Forbidden):
        await jo.list(SECRET, Selection("default"))
    with pytest.raises(Forbidden):
        await jo.list(POD)
    await client.create(CLUSTER_ROLE_BINDING, binding("view", "ClusterRole", ""))
    await jo.list(POD)


async def test_resource_names_hold_for_watches_of_one_object(client: LocalClient, jo: LocalClient) -> None:
    await client.create(CONFIG_MAP, config_map("mine"))
    await client.create(ROLE, role(verbs="get list watch", resources="configmaps", resourceNames=["mine"]))
    await client.create(ROLE_BINDING, binding())
    assert name_of(await jo.get(CONFIG_MAP, "mine", "default")) == "mine"
    assert len((await jo.list(CONFIG_MAP, Selection("default", fields="metadata.name=mine"))).items) == 1
    for fields in ("", "metadata.name=other", "metadata.name!=mine"):
        with pytest.raises(Forbidden):
            await jo.list(CONFIG_MAP, Selection("default", fields=fields))


async def test_a_binding_needs_no_more_than_what_its_maker_has(client: LocalClient, jo: LocalClient) -> None:
    await client.create(ROLE_BINDING, binding("admin", "ClusterRole"))
    await jo.create(ROLE, role("friend", resources="secrets"))
    await jo.create(ROLE_BINDING, binding("edit", "ClusterRole", subject={"kind": "User", "name": "friend"}))
    with pytest.raises(Forbidden) as caught:
        await jo.create(ROLE, role("rise", verbs="get list escalate", resources="nodes pods"))
    assert caught.value.message == (
        'roles.rbac.authorization.k8s.io "rise" is forbidden: user "jo" (groups=["lab" "system:authenticated"]) is '
        "attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["nodes"], Verbs:["escalate" "get" "list"]}\n'
        '{APIGroups:[""], Resources:["pods"], Verbs:["escalate"]}'
    )
    with pytest.raises(Forbidden, match=r'{APIGroups:\["\*"\], Resources:\["\*"\], Verbs:\["\*"\]}'):
        await jo.create(ROLE_BINDING, binding("cluster-admin", "ClusterRole"))
    with pytest.raises(NotFound, match=r'clusterroles.rbac.authorization.k8s.io "nothing" not found'):
        await jo.create(ROLE_BINDING, binding("nothing", "ClusterRole"))
    with pytest.raises(Forbidden, match="attempting to grant"):
        await jo.patch(ROLE, "friend", "default", {"rules": role(resources="nodes")["rules"]})
    await jo.patch(ROLE, "friend", "default", {"metadata": {"labels": {"a": "b"}}})  # grants nothing


async def test_escalate_and_bind_let_pass(client: LocalClient, jo: LocalClient) -> None:
    await client.create(ROLE_BINDING, binding("admin", "ClusterRole"))
    group = ["rbac.authorization.k8s.io"]
    await client.create(ROLE, role(verbs="escalate", resources="roles", apiGroups=group))
    await client.create(ROLE_BINDING, binding())
    await jo.create(ROLE, role("rise", resources="nodes"))
    with pytest.raises(Forbidden):
        await jo.create(ROLE_BINDING, binding("rise"))
    bind = role("bind", verbs="bind", resources="roles", resourceNames=["rise"], apiGroups=group)
    await client.create(ROLE, bind)
    await client.create(ROLE_BINDING, binding("bind"))
    await jo.create(ROLE_BINDING, binding("rise"))


async def test_an_aggregation_could_gather_anything(client: LocalClient, jo: LocalClient) -> None:
    rule = {"verbs": ["create"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"]}
    await client.create(CLUSTER_ROLE, {"metadata": {"name": "roles"}, "rules": [rule]})
    await client.create(CLUSTER_ROLE_BINDING, binding("roles", "ClusterRole", ""))
    gathers = {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}
    with pytest.raises(Forbidden, match="must have cluster-admin privileges to use an aggregationRule"):
        await jo.create(CLUSTER_ROLE, {"metadata": {"name": "gather"}, "aggregationRule": gathers})


@pytest.mark.parametrize(
    ("kind", "obj", "problem"),
    [
        (ROLE, role(verbs=""), r"rules\[0\].verbs: Required value: verbs must contain at least one value"),
        (ROLE, role(apiGroups=[]), "resource rules must supply at least one api group"),
        (ROLE, role(resources=""), "resource rules must supply at least one resource"),
        (ROLE, {"metadata": {"name": "r", "namespace": "default"}, "rules": [
            {"verbs": ["get"], "nonResourceURLs": ["/x"]},
        ]}, "namespaced rules cannot apply to non-resource URLs"),
        (CLUSTER_ROLE, {"metadata": {"name": "r"}, "rules": [
            {"verbs": ["get"], "nonResourceURLs": ["/x"], "resources": ["pods"]},
        ]}, "rules cannot apply to both regular resources and non-resource URLs"),
        (CLUSTER_ROLE, {"metadata": {"name": "r"}, "aggregationRule": {}}, "at least one clusterRoleSelector required"),
        (ROLE_BINDING, binding("r", "Roll"), 'roleRef.kind: Unsupported value: "Roll"'),
        (CLUSTER_ROLE_BINDING, binding("r", "Role", ""), 'supported values: "ClusterRole"$'),
        (ROLE_BINDING, binding(""), "roleRef.name: Required value"),
        (ROLE_BINDING, binding(subject={"kind": "Robot", "name": "r"}), 'values: "ServiceAccount", "User", "Group"'),
        (ROLE_BINDING, binding(subject={"kind": "User", "name": "r", "apiGroup": "x"}),
         r"subjects\[0\].apiGroup: Unsupported value"),
        (CLUSTER_ROLE_BINDING, binding("r", "ClusterRole", "", {"kind": "ServiceAccount", "name": "s"}),
         r"subjects\[0\].namespace: Required value"),
    ],
)  # fmt: skip
async def test_what_roles_and_bindings_may_be(client: LocalClient, kind: Any, obj: Object, problem: str) -> None:
    obj["metadata"]["name"] = "n"
    with pytest.raises(Invalid, match=problem):
        await client.create(kind, obj)


async def test_a_binding_keeps_its_role(client: LocalClient) -> None:
    made = await client.create(ROLE_BINDING, binding(subject={"kind": "ServiceAccount", "name": "s"}))
    assert made["roleRef"]["apiGroup"] == "rbac.authorization.k8s.io"
    assert made["subjects"] == [{"kind": "ServiceAccount", "name": "s"}]
    with pytest.raises(Invalid, match=r"roleRef: Invalid value: .*: cannot change roleRef"):
        await client.patch(ROLE_BINDING, name_of(made), "default", {"roleRef": {"name": "other"}})


async def test_default_roles_are_mended_and_users_additions_stay(tmp_path: Any, clock: StandingClock) -> None:
    extra = {"verbs": ["get"], "apiGroups": [""], "resources": ["nodes"]}
    async with running_api(tmp_path, clock) as api:
        client = LocalClient(api, User("tester", ("system:masters",)))
        basic = await client.get(CLUSTER_ROLE, "system:basic-user")
        await client.patch(CLUSTER_ROLE, "system:basic-user", "", {"rules": [basic["rules"][0], extra]})
        await client.patch(CLUSTER_ROLE, "system:monitoring", "", {
            "rules": [], "metadata": {"annotations": {AUTOUPDATE: "false"}}
        })  # fmt: skip
        await client.delete(CLUSTER_ROLE, "view")
        await client.patch(CLUSTER_ROLE_BINDING, "system:discovery", "", {"subjects": [{"kind": "User", "name": "jo"}]})
        untouched = await client.get(CLUSTER_ROLE, "edit")
    async with running_api(tmp_path, clock) as api:
        client = LocalClient(api, User("tester", ("system:masters",)))
        stored = api.core.store.get
        await until(
            lambda: (
                stored(CLUSTER_ROLE.resource, "", "view")
                and len((stored(CLUSTER_ROLE.resource, "", "system:basic-user") or {})["rules"]) == 3
                and len((stored(CLUSTER_ROLE_BINDING.resource, "", "system:discovery") or {})["subjects"]) == 2
            )
        )
        rules = (await client.get(CLUSTER_ROLE, "system:basic-user"))["rules"]
        assert rules == [basic["rules"][0], extra, {
            "verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]
        }]  # fmt: skip
        assert (await client.get(CLUSTER_ROLE, "system:monitoring"))["rules"] == []
        assert (await client.get(CLUSTER_ROLE, "view"))["rules"]
        names = [s["name"] for s in (await client.get(CLUSTER_ROLE_BINDING, "system:discovery"))["subjects"]]
        assert names == ["jo", "system:authenticated"]
        assert await client.get(CLUSTER_ROLE, "edit") == untouched


async def test_parts_of_objects_are_permissions_of_their_own(api: Api, client: LocalClient) -> None:
    deployment = {
        "metadata": {"name": "d", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod()["spec"]},
        },
    }
    await client.create(DEPLOYMENT, deployment)
    rule = {"verbs": ["get", "patch"], "apiGroups": ["apps"], "resources": ["deployments/scale"]}
    await client.create(ROLE, {"metadata": {"name": "scaler", "namespace": "default"}, "rules": [rule]})
    await client.create(ROLE_BINDING, binding("scaler"))
    path = "/apis/apps/v1/namespaces/default/deployments/d"
    transport = httpx2.ASGITransport(app=as_admin(create_app(api), JO))
    async with httpx2.AsyncClient(transport=transport, base_url="http://api") as http:
        assert (await http.get(f"{path}/scale")).json()["spec"]["replicas"] == 1
        patched = await http.patch(
            f"{path}/scale",
            content=b'{"spec":{"replicas":3}}',
            headers={"content-type": "application/merge-patch+json"},
        )
        assert patched.json()["spec"]["replicas"] == 3
        for refused in (
            await http.put(f"{path}/scale", json=patched.json()),
            await http.get(path),
            await http.get(f"{path}/status"),
        ):
            assert refused.status_code == 403
        assert 'cannot get resource "deployments/status"' in (await http.get(f"{path}/status")).json()["message"]
