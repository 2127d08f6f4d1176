"""``metrics.k8s.io``: usage of Pods and nodes, as far as the agent knows it."""

import httpx2
import pytest

from beamhall.embedded.api.factory import create_app
from beamhall.kernel.identity import User
from beamhall.kernel.kinds import NODE, POD, ROLE_BINDING
from tests.api_server import as_admin
from tests.unit.embedded.api.conftest import pod

GROUP = "/apis/metrics.k8s.io/v1beta1"
STAMP = {"timestamp": "2026-01-02T03:04:05Z", "window": "15.000s"}
MAIN = {"name": "main", "usage": {"cpu": "250000000n", "memory": "1024Ki"}}
SIDE = {"name": "side", "usage": {"cpu": "1n", "memory": "24Ki"}}
TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


class Known:
    """Knows the usage of some Pods by uid, and of one node."""

    def __init__(self):
        self.by_uid = {}

    async def pods(self):
        return self.by_uid

    async def nodes(self):
        return {"n1": {**STAMP, "usage": {"cpu": "1500000000n", "memory": "2048Ki"}}}


@pytest.fixture
async def known(client):
    known = Known()
    for name, labels in (("a", {"app": "x"}), ("b", {"app": "y"}), ("unknown", {"app": "x"})):
        made = await client.create(
            POD, pod(name) | {"metadata": {"name": name, "namespace": "default", "labels": labels}}
        )
        if name != "unknown":
            known.by_uid[made["metadata"]["uid"]] = {**STAMP, "containers": [MAIN, SIDE]}
    for name in ("n1", "n2"):
        await client.create(NODE, {"metadata": {"name": name}})
    return known


@pytest.fixture
async def usage(api, known):
    transport = httpx2.ASGITransport(app=as_admin(create_app(api, usage=known)))
    async with httpx2.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client


async def names(usage, path, **params):
    answer = await usage.get(GROUP + path, params=params)
    assert answer.status_code == 200, answer.text
    return [item["metadata"]["name"] for item in answer.json()["items"]]


async def test_a_pods_usage(usage):
    answer = (await usage.get(f"{GROUP}/namespaces/default/pods/a")).json()
    assert answer.pop("metadata").items() >= {"name": "a", "namespace": "default", "labels": {"app": "x"}}.items()
    assert answer == {
        "kind": "PodMetrics",
        "apiVersion": "metrics.k8s.io/v1beta1",
        **STAMP,
        "containers": [MAIN, SIDE],
    }


async def test_lists_have_what_is_selected_and_known(usage):
    assert await names(usage, "/pods") == ["a", "b"]
    assert await names(usage, "/namespaces/default/pods", labelSelector="app=x") == ["a"]
    assert await names(usage, "/namespaces/default/pods", fieldSelector="metadata.name=b") == ["b"]
    assert await names(usage, "/namespaces/other/pods") == []
    assert await names(usage, "/nodes") == ["n1"]


async def test_a_nodes_usage_and_the_table(usage):
    answer = (await usage.get(f"{GROUP}/nodes/n1")).json()
    assert (answer["kind"], answer["usage"]["cpu"]) == ("NodeMetrics", "1500000000n")
    table = (await usage.get(f"{GROUP}/pods", headers=TABLE)).json()
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "cpu", "memory", "window"]
    assert table["rows"][0]["cells"] == ["a", "250000001n", "1048Ki", "15.000s"]


@pytest.mark.parametrize(
    ("method", "path", "code", "words"),
    [
        ("GET", "/namespaces/default/pods/unknown", 404, 'podmetrics.metrics.k8s.io "default/unknown" not found'),
        ("GET", "/nodes/n2", 404, 'nodemetrics.metrics.k8s.io "n2" not found'),
        ("GET", "/namespaces/default/nodes", 404, "could not find the requested resource"),
        ("GET", "/services", 404, "could not find the requested resource"),
        ("GET", "/pods?watch=1", 405, "got and listed"),
        ("GET", "/pods?labelSelector=((", 400, "unable to parse"),
        ("DELETE", "/namespaces/default/pods/a", 405, "got and listed"),
        ("POST", "/namespaces/default/pods", 405, "got and listed"),
    ],
)
async def test_what_is_not_served(usage, method, path, code, words):
    answer = await usage.request(method, GROUP + path)
    assert answer.status_code == code
    assert words in answer.json()["message"]


async def test_without_an_agent_nothing_is_known(http):
    answer = await http.get(f"{GROUP}/nodes")
    assert answer.status_code == 503


async def test_who_may_do_nothing_may_not_see_usage(api, known):
    transport = httpx2.ASGITransport(app=as_admin(create_app(api, usage=known), User("nobody", ())))
    async with httpx2.AsyncClient(transport=transport, base_url="http://api") as client:
        answer = await client.get(f"{GROUP}/nodes")
    assert answer.status_code == 403
    assert 'cannot list resource "nodes" in API group "metrics.k8s.io"' in answer.json()["message"]


async def test_who_may_view_a_namespace_may_see_the_usage_of_its_pods(api, client, known):
    bound = {"roleRef": {"kind": "ClusterRole", "name": "view"}, "subjects": [{"kind": "User", "name": "jo"}]}
    await client.create(ROLE_BINDING, {"metadata": {"name": "jo", "namespace": "default"}, **bound})
    transport = httpx2.ASGITransport(app=as_admin(create_app(api, usage=known), User("jo", ())))
    async with httpx2.AsyncClient(transport=transport, base_url="http://api") as jo:
        assert await names(jo, "/namespaces/default/pods") == ["a", "b"]
        assert (await jo.get(f"{GROUP}/pods")).status_code == 403


async def test_discovery_shows_it_in_both_forms(http):
    plain = (await http.get(GROUP)).json()["resources"]
    assert [(r["name"], r["kind"], r["namespaced"], r["verbs"]) for r in plain] == [
        ("nodes", "NodeMetrics", False, ["get", "list"]),
        ("pods", "PodMetrics", True, ["get", "list"]),
    ]
    accept = {"accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    groups = {g["metadata"]["name"]: g for g in (await http.get("/apis", headers=accept)).json()["items"]}
    (version,) = groups["metrics.k8s.io"]["versions"]
    assert [(r["resource"], r["scope"]) for r in version["resources"]] == [("nodes", "Cluster"), ("pods", "Namespaced")]
