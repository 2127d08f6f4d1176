"""Questions about users, acting as others, and paths that are no resources, over HTTP."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from beamhall.client.local import LocalClient
from beamhall.embedded.api.factory import create_app
from beamhall.embedded.api.verbs import Api
from beamhall.kernel.identity import User
from beamhall.kernel.kinds import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING, SERVICE_ACCOUNT
from beamhall.kernel.objects import Object, uid_of
from tests.api_server import as_admin

AUTHORIZATION, AUTHENTICATION = "/apis/authorization.k8s.io/v1", "/apis/authentication.k8s.io/v1"
JO = User("jo", ("lab", "system:authenticated"), "uid-of-jo", {"team": ("a", "b")})


@asynccontextmanager
async def http_as(api: Api, user: User) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=as_admin(create_app(api), user))
    async with httpx2.AsyncClient(transport=transport, base_url="http://api") as made:
        yield made


@pytest.fixture
async def jo(api: Api) -> AsyncIterator[httpx2.AsyncClient]:
    async with http_as(api, JO) as made:
        yield made


async def grant(client: LocalClient, role: str, subject: Object, namespace: str = "") -> None:
    obj: Object = {
        "metadata": {"name": f"{role}-{subject['name']}"},
        "roleRef": {"kind": "ClusterRole", "name": role},
        "subjects": [subject],
    }
    if namespace:
        obj["metadata"]["namespace"] = namespace
    await client.create(ROLE_BINDING if namespace else CLUSTER_ROLE_BINDING, obj)


async def ask(http: httpx2.AsyncClient, path: str, spec: Any = None, **headers: str) -> Any:
    body = {} if spec is None else {"spec": spec}
    return (await http.post(path, json=body, headers=headers)).json()


def on(verb: str, resource: str, namespace: str = "default", **more: str) -> Mapping[str, Any]:
    return {"resourceAttributes": {"verb": verb, "resource": resource, "namespace": namespace, **more}}


async def test_whoami(jo: httpx2.AsyncClient) -> None:
    answer = await ask(jo, f"{AUTHENTICATION}/selfsubjectreviews")
    assert (answer["kind"], answer["apiVersion"]) == ("SelfSubjectReview", "authentication.k8s.io/v1")
    assert answer["status"]["userInfo"] == {
        "username": "jo", "uid": "uid-of-jo", "groups": ["lab", "system:authenticated"], "extra": {"team": ["a", "b"]},
    }  # fmt: skip


async def test_can_i(client: LocalClient, jo: httpx2.AsyncClient) -> None:
    path = f"{AUTHORIZATION}/selfsubjectaccessreviews"
    assert (await ask(jo, path, on("list", "pods")))["status"] == {"allowed": False}
    await grant(client, "view", {"kind": "Group", "name": "lab"}, "default")
    assert (await ask(jo, path, on("list", "pods")))["status"] == {"allowed": True}
    assert (await ask(jo, path, on("list", "pods", "other")))["status"] == {"allowed": False}
    assert (await ask(jo, path, on("get", "pods", subresource="log")))["status"] == {"allowed": True}
    assert (await ask(jo, path, on("get", "pods", subresource="exec")))["status"] == {"allowed": False}
    outside = {"nonResourceAttributes": {"verb": "get", "path": "/api/v1"}}
    assert (await ask(jo, path, outside))["status"] == {"allowed": True}
    outside = {"nonResourceAttributes": {"verb": "get", "path": "/metrics"}}
    assert (await ask(jo, path, outside))["status"] == {"allowed": False}
    await client.delete(CLUSTER_ROLE, "view")
    answer = await ask(jo, path, on("list", "pods"))
    assert answer["status"]["reason"] == 'RBAC: clusterrole.rbac.authorization.k8s.io "view" not found'


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({}, "exactly one of nonResourceAttributes or resourceAttributes must be specified"),
        (
            {**on("get", "pods"), "nonResourceAttributes": {"verb": "get", "path": "/"}},
            "cannot be specified in combination",
        ),
    ],
)
async def test_a_question_asks_one_thing(jo: httpx2.AsyncClient, spec: Any, problem: str) -> None:
    answer = await ask(jo, f"{AUTHORIZATION}/selfsubjectaccessreviews", spec)
    assert answer["code"] == 422
    assert problem in answer["message"]


async def test_rules_are_listed(client: LocalClient, jo: httpx2.AsyncClient) -> None:
    rule = {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["mine"]}
    await client.create(ROLE, {"metadata": {"name": "own", "namespace": "default"}, "rules": [rule]})
    reference = {"kind": "Role", "name": "own"}
    await client.create(ROLE_BINDING, {
        "metadata": {"name": "own", "namespace": "default"}, "roleRef": reference,
        "subjects": [{"kind": "User", "name": "jo"}],
    })  # fmt: skip
    status = (await ask(jo, f"{AUTHORIZATION}/selfsubjectrulesreviews", {"namespace": "default"}))["status"]
    assert rule in status["resourceRules"]
    assert {"apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"], "verbs": ["create"]} in (
        status["resourceRules"]
    )
    assert any("/openapi/*" in rule["nonResourceURLs"] for rule in status["nonResourceRules"])
    status = (await ask(jo, f"{AUTHORIZATION}/selfsubjectrulesreviews", {"namespace": "other"}))["status"]
    assert rule not in status["resourceRules"]


async def test_others_are_asked_about_by_those_who_may(client: LocalClient, jo: httpx2.AsyncClient, api: Api) -> None:
    path = f"{AUTHORIZATION}/subjectaccessreviews"
    question = {**on("list", "pods"), "user": "sam", "groups": ["lab"]}
    refused = await ask(jo, path, question)
    assert refused["message"] == (
        'subjectaccessreviews.authorization.k8s.io is forbidden: User "jo" cannot create resource '
        '"subjectaccessreviews" in API group "authorization.k8s.io" at the cluster scope'
    )
    await grant(client, "system:auth-delegator", {"kind": "User", "name": "jo"})
    assert (await ask(jo, path, question))["status"] == {"allowed": False}
    await grant(client, "view", {"kind": "Group", "name": "lab"}, "default")
    assert (await ask(jo, path, question))["status"] == {"allowed": True}
    assert (await ask(jo, path, on("list", "pods")))["code"] == 422


async def test_local_questions_stay_in_their_namespace(client: LocalClient, jo: httpx2.AsyncClient) -> None:
    await grant(client, "admin", {"kind": "User", "name": "jo"}, "default")
    path = f"{AUTHORIZATION}/namespaces/default/localsubjectaccessreviews"
    assert (await ask(jo, path, {**on("list", "secrets"), "user": "jo"}))["status"] == {"allowed": True}
    refused = await ask(jo, path, {**on("list", "pods", "other"), "user": "jo"})
    assert (refused["code"], refused["message"]) == (
        400, "spec.resourceAttributes.namespace must match namespace: default",
    )  # fmt: skip
    other = f"{AUTHORIZATION}/namespaces/kube-system/localsubjectaccessreviews"
    assert (await ask(jo, other, {**on("list", "pods", "kube-system"), "user": "jo"}))["code"] == 403


async def test_a_token_is_reviewed(client: LocalClient, http: httpx2.AsyncClient, api: Api) -> None:
    account = await client.create(SERVICE_ACCOUNT, {"metadata": {"name": "worker", "namespace": "default"}})
    answer = await client.create_subresource(SERVICE_ACCOUNT, "worker", "default", "token", {"spec": {}})
    token = answer["status"]["token"]
    path = f"{AUTHENTICATION}/tokenreviews"
    status = (await ask(http, path, {"token": token}))["status"]
    assert status["authenticated"] is True
    assert status["user"]["username"] == "system:serviceaccount:default:worker"
    assert status["user"]["uid"] == uid_of(account)
    assert status["audiences"] == ["https://kubernetes.default.svc.cluster.local"]
    assert (await ask(http, path, {"token": token, "audiences": ["vault"]}))["status"]["authenticated"] is False
    assert (await ask(http, path, {"token": "made-up"}))["status"]["error"] == "invalid bearer token"
    assert (await ask(http, path, {}))["code"] == 400
    api.reviews.authenticators.append({"secret": JO}.get)
    assert (await ask(http, path, {"token": "secret"}))["status"]["user"]["username"] == "jo"


async def test_who_may_impersonate_acts_as_another(client: LocalClient, http: httpx2.AsyncClient, api: Api) -> None:
    path = f"{AUTHENTICATION}/selfsubjectreviews"

    async def who(**headers: str) -> Any:
        return (await ask(http, path, **headers))["status"]["userInfo"]

    assert await who(**{"Impersonate-User": "sam"}) == {"username": "sam", "groups": ["system:authenticated"]}
    assert await who(**{"Impersonate-User": "system:serviceaccount:n:s"}) == {
        "username": "system:serviceaccount:n:s",
        "groups": ["system:serviceaccounts", "system:serviceaccounts:n", "system:authenticated"],
    }
    named = await who(**{"Impersonate-User": "sam", "Impersonate-Uid": "7", "Impersonate-Extra-a%2Fb": "c"})
    assert (named["uid"], named["extra"]) == ("7", {"a/b": ["c"]})
    headers = [("Impersonate-User", "sam"), ("Impersonate-Group", "x"), ("Impersonate-Group", "y")]
    answer = (await http.post(path, json={}, headers=headers)).json()
    assert answer["status"]["userInfo"]["groups"] == ["x", "y", "system:authenticated"]
    refused = (await http.get("/api/v1/nodes", headers={"Impersonate-User": "sam"})).json()
    assert refused["message"].startswith('nodes is forbidden: User "sam" cannot list')
    assert (await ask(http, path, **{"Impersonate-Group": "x"}))["code"] == 400


async def test_impersonation_needs_its_verb(client: LocalClient, jo: httpx2.AsyncClient) -> None:
    path = f"{AUTHENTICATION}/selfsubjectreviews"
    refused = await ask(jo, path, **{"Impersonate-User": "sam"})
    assert (refused["code"], refused["message"]) == (
        403, 'users "sam" is forbidden: User "jo" cannot impersonate resource "users" in API group "" at the cluster '
        "scope",
    )  # fmt: skip
    rule = {"verbs": ["impersonate"], "apiGroups": [""], "resources": ["users"], "resourceNames": ["sam"]}
    await client.create(CLUSTER_ROLE, {"metadata": {"name": "as-sam"}, "rules": [rule]})
    await grant(client, "as-sam", {"kind": "User", "name": "jo"})
    assert (await ask(jo, path, **{"Impersonate-User": "sam"}))["status"]["userInfo"]["username"] == "sam"
    for more in ({"Impersonate-Group": "system:masters"}, {"Impersonate-Uid": "1"}, {"Impersonate-Extra-a": "b"}):
        assert (await ask(jo, path, **{"Impersonate-User": "sam", **more}))["code"] == 403
    assert (await ask(jo, path, **{"Impersonate-User": "root"}))["code"] == 403
    refused = await ask(jo, path, **{"Impersonate-User": "system:serviceaccount:default:s"})
    assert (
        'cannot impersonate resource "serviceaccounts" in API group "" in the namespace "default"' in refused["message"]
    )


async def test_paths_outside_of_resources(api: Api, jo: httpx2.AsyncClient) -> None:
    for path in ("/api", "/apis", "/api/v1", "/apis/apps/v1", "/version", "/healthz", "/openapi/v3"):
        assert (await jo.get(path)).status_code == 200, path
    refused = await jo.get("/metrics")
    assert refused.json()["message"] == 'forbidden: User "jo" cannot get path "/metrics"'
    async with http_as(api, User("nobody")) as nobody:
        assert (await nobody.get("/api")).status_code == 403
        assert (await nobody.post(f"{AUTHENTICATION}/selfsubjectreviews", json={})).status_code == 403


async def test_others_can_check_tokens_by_themselves(client: LocalClient, api: Api) -> None:
    worker = User("system:serviceaccount:default:worker", ("system:serviceaccounts", "system:authenticated"))
    async with http_as(api, worker) as pod:
        about = (await pod.get("/.well-known/openid-configuration")).json()
        assert about["issuer"] == "https://kubernetes.default.svc.cluster.local"
        assert about["jwks_uri"] == f"{about['issuer']}/openid/v1/jwks"
        keys = await pod.get("/openid/v1/jwks")
    assert keys.headers["content-type"] == "application/jwk-set+json"
    assert [key["alg"] for key in keys.json()["keys"]] == about["id_token_signing_alg_values_supported"]
    async with http_as(api, JO) as jo:
        assert (await jo.get("/openid/v1/jwks")).status_code == 403
