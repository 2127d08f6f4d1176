"""The HTTP surface: addresses, bodies, forms, errors, discovery."""

import json

import httpx2
import pytest

from beamhall.embedded.api.factory import create_app
from beamhall.embedded.api.replies import accepted_of
from beamhall.embedded.api.requests import Address, read_path
from beamhall.kernel.errors import NotAcceptable
from beamhall.kernel.kinds import CONFIG_MAP, CUSTOM_RESOURCE_DEFINITION, POD
from tests.unit.embedded.api.conftest import config_map, pod, toy_definition

PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("/api/v1/pods", Address("", "v1", "pods")),
        (PODS, Address("", "v1", "pods", "default")),
        (PODS + "/p", Address("", "v1", "pods", "default", "p")),
        (PODS + "/p/log", Address("", "v1", "pods", "default", "p", "log")),
        ("/api/v1/namespaces", Address("", "v1", "namespaces")),
        ("/api/v1/namespaces/n", Address("", "v1", "namespaces", "", "n")),
        ("/api/v1/namespaces/n/finalize", Address("", "v1", "namespaces", "", "n", "finalize")),
        ("/apis/batch/v1/jobs", Address("batch", "v1", "jobs")),
        ("/apis/batch/v1/namespaces/n/jobs/j/status", Address("batch", "v1", "jobs", "n", "j", "status")),
        ("/apis/batch/v1", None),
        ("/api/v1", None),
        ("/version", None),
        ("/", None),
    ],
)
def test_paths(path, address):
    assert read_path(path) == address


@pytest.mark.parametrize(
    ("header", "form"),
    [
        (b"", "object"),
        (b"*/*", "object"),
        (b"application/json", "object"),
        (b"application/vnd.kubernetes.protobuf,application/json", "object"),
        (b"application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "table"),
        (b"application/vnd.kubernetes.protobuf;as=Table, application/json;as=Table;v=v1;g=meta.k8s.io", "table"),
        (b"application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "metadata"),
        (b"application/json;as=Unknown, application/json", "object"),
    ],
)
def test_the_form_that_a_client_wants(header, form):
    assert accepted_of(header).form == form


def test_protobuf_alone_is_not_served():
    with pytest.raises(NotAcceptable):
        accepted_of(b"application/vnd.kubernetes.protobuf")


async def test_nobody_is_answered_401(api):
    transport = httpx2.ASGITransport(app=create_app(api))
    async with httpx2.AsyncClient(transport=transport, base_url="http://api") as client:
        answer = await client.get(PODS)
    assert answer.status_code == 401
    assert answer.json()["reason"] == "Unauthorized"


async def test_json_yaml_and_no_content_type(http):
    answer = await http.post(MAPS, json=config_map("a"))
    assert answer.status_code == 201
    body = "metadata:\n  name: b\ndata:\n  day: 2026-01-02\n  n: '1'\n"
    answer = await http.post(MAPS, content=body, headers={"content-type": "application/yaml"})
    assert answer.json()["data"] == {"day": "2026-01-02", "n": "1"}
    for name, content in (("c", json.dumps(config_map("c"))), ("d", "metadata: {name: d}")):
        assert (await http.post(MAPS, content=content)).json()["metadata"]["name"] == name
    answer = await http.get(MAPS + "/b", headers={"accept": "application/yaml"})
    assert answer.headers["content-type"] == "application/yaml"
    assert "day: '2026-01-02'" in answer.text


@pytest.mark.parametrize(
    ("content", "media_type", "words"),
    [
        ('{"a": 1,\n "b": }', "application/json", "line 2, column 7"),
        ("a: [1,\nb: 2", "application/yaml", "(line 3, column 1)"),
        ("[1]", "application/json", "must be one ConfigMap object"),
        ("", "application/json", "must be one ConfigMap object"),
        ('{"metadata": 5}', "application/json", "metadata must be an object"),
        ('{"metadata": {"name": "x", "namespace": "other"}}', "application/json", "does not match the namespace"),
        ('{"kind": "Pod", "metadata": {"name": "x"}}', "application/json", "does not match the address"),
        ('{"metadata": {"name": "x"}, "data": {"a": 1}}', "application/json", "data"),
    ],
)
async def test_bodies_that_cannot_be_read(http, content, media_type, words):
    answer = await http.post(MAPS, content=content, headers={"content-type": media_type})
    assert answer.status_code == 400
    assert answer.json()["reason"] == "BadRequest"
    assert words in answer.json()["message"]


@pytest.mark.parametrize("depth", [900, 960, 990, 2_000, 100_000])
async def test_nesting_without_end_is_a_bad_request(http, depth):
    body = '{"metadata": {"name": "deep"}, "data": ' + '{"a":' * depth + "1" + "}" * depth + "}"
    for media_type in ("application/json", "application/yaml"):
        answer = await http.post(MAPS, content=body, headers={"content-type": media_type})
        assert answer.status_code == 400
    patch = {"content-type": "application/merge-patch+json"}
    assert (await http.patch("/api/v1/namespaces/default", content=body, headers=patch)).status_code in (200, 400, 422)


async def test_errors_are_status_objects(http):
    answer = await http.get(PODS + "/nothing")
    assert answer.status_code == 404
    assert answer.json() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'pods "nothing" not found',
        "reason": "NotFound",
        "code": 404,
        "details": {"kind": "pods", "name": "nothing"},
    }
    assert (await http.get("/nowhere")).status_code == 404
    assert (await http.get("/apis/example.org/v1/toys")).status_code == 404
    assert (await http.post(PODS + "/p", json={})).status_code == 405
    assert (await http.get(PODS + "/p/nonsense")).status_code == 404
    assert (await http.post(MAPS, content=b"x", headers={"content-type": "image/png"})).status_code == 415
    assert (await http.get(PODS, params={"limit": "many"})).status_code == 400
    assert (
        await http.get("/apis/batch/v1/namespaces/default/jobs", headers={"accept": "image/png"})
    ).status_code == 406


async def test_a_body_over_the_limit_is_413(http):
    answer = await http.post(MAPS, content=b" " * (3 * 1024 * 1024 + 1), headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert answer.json()["reason"] == "RequestEntityTooLarge"


async def test_a_defect_is_a_status_too(http, api, monkeypatch):
    async def broken(*_, **__):
        raise RuntimeError("a defect")

    monkeypatch.setattr(api, "get", broken)
    answer = await http.get(PODS + "/p")
    assert answer.status_code == 500
    assert answer.json()["reason"] == "InternalError"
    assert "a defect" not in answer.text


async def test_warnings_come_as_headers(http):
    obj = pod()
    obj["spec"]["contaners"] = []
    answer = await http.post(PODS, json=obj)
    assert answer.status_code == 201
    assert answer.headers["warning"] == r'299 - "unknown field \"spec.contaners\""'
    answer = await http.post(PODS, json=obj, params={"fieldValidation": "Strict"})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("media_type", "patch"),
    [
        ("application/merge-patch+json", {"data": {"b": "2"}}),
        ("application/strategic-merge-patch+json", {"data": {"b": "2"}}),
        ("application/json-patch+json", [{"op": "add", "path": "/data/b", "value": "2"}]),
    ],
)
async def test_patches(http, client, media_type, patch):
    await client.create(CONFIG_MAP, config_map())
    answer = await http.patch(MAPS + "/c", content=json.dumps(patch), headers={"content-type": media_type})
    assert answer.json()["data"] == {"a": "1", "b": "2"}


async def test_patches_that_are_not_served(http, client):
    await client.create(CONFIG_MAP, config_map())
    for media_type in ("application/apply-patch+cbor", "application/json"):
        answer = await http.patch(MAPS + "/c", content=b"{}", headers={"content-type": media_type})
        assert answer.status_code == 415
    answer = await http.patch(MAPS + "/c", content=b"[]", headers={"content-type": "application/merge-patch+json"})
    assert answer.status_code == 400


async def test_replace_and_status(http, client):
    await client.create(POD, pod())
    found = (await http.get(PODS + "/p")).json()
    found["status"] = {"phase": "Running"}
    assert (await http.put(PODS + "/p", json=found)).json()["status"]["phase"] == "Pending"
    assert (await http.put(PODS + "/p/status", json=found)).json()["status"] == {"phase": "Running"}
    assert (await http.get(PODS + "/p/status")).json()["status"] == {"phase": "Running"}
    assert (await http.put(PODS + "/other", json=found)).status_code == 400


async def test_tables(http, client):
    await client.create(POD, pod())
    accept = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    table = (await http.get(PODS, headers=accept)).json()
    assert table["kind"] == "Table"
    assert table["columnDefinitions"][0]["name"] == "Name"
    assert table["rows"][0]["cells"][0] == "p"
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    table = (await http.get(PODS + "/p", headers=accept, params={"includeObject": "Object"})).json()
    assert table["rows"][0]["object"]["spec"]["containers"][0]["name"] == "main"


async def test_metadata_alone(http, client):
    await client.create(POD, pod())
    accept = {"accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}
    listed = (await http.get(PODS, headers=accept)).json()
    assert listed["kind"] == "PartialObjectMetadataList"
    assert set(listed["items"][0]) == {"kind", "apiVersion", "metadata"}


async def test_deleting(http, client):
    await client.create(CONFIG_MAP, config_map())
    answer = (await http.delete(MAPS + "/c")).json()
    assert (answer["kind"], answer["status"], answer["details"]["name"]) == ("Status", "Success", "c")
    await client.create(POD, pod())
    assert (await http.delete(PODS + "/p")).json()["kind"] == "Pod"
    for name in ("a", "b"):
        await client.create(CONFIG_MAP, config_map(name))
    answer = (await http.delete(MAPS, params={"fieldSelector": "metadata.name=a"})).json()
    assert [item["metadata"]["name"] for item in answer["items"]] == ["a"]
    assert [item["metadata"]["name"] for item in (await http.get(MAPS)).json()["items"]] == ["b"]
    answer = await http.request("DELETE", MAPS + "/b", json={"propagationPolicy": "Nonsense"})
    assert answer.status_code == 400
    answer = await http.request("DELETE", MAPS + "/b", json={"preconditions": {"uid": "other"}})
    assert answer.status_code == 409


async def test_discovery(http, client):
    await client.create(CUSTOM_RESOURCE_DEFINITION, toy_definition())
    assert (await http.get("/api")).json()["versions"] == ["v1"]
    groups = {group["name"] for group in (await http.get("/apis")).json()["groups"]}
    assert {"batch", "apiextensions.k8s.io", "example.org"} <= groups
    resources = {r["name"]: r for r in (await http.get("/api/v1")).json()["resources"]}
    assert resources["pods"]["shortNames"] == ["po"]
    assert resources["pods/log"]["verbs"] == ["get"]
    assert (await http.get("/apis/example.org")).json()["preferredVersion"]["groupVersion"] == "example.org/v1"
    assert [r["name"] for r in (await http.get("/apis/example.org/v1")).json()["resources"]] == ["toys", "toys/status"]
    accept = {"accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"}
    found = await http.get("/apis", headers=accept)
    assert "as=APIGroupDiscoveryList" in found.headers["content-type"]
    assert "example.org" in {item["metadata"]["name"] for item in found.json()["items"]}
    assert (await http.get("/apis/nothing.org")).status_code == 404
    for path in ("/healthz", "/livez", "/readyz"):
        assert (await http.get(path)).text == "ok"
    assert (await http.get("/version")).json()["major"] == "1"


async def test_openapi(http, client):
    await client.create(CUSTOM_RESOURCE_DEFINITION, toy_definition())
    paths = (await http.get("/openapi/v3")).json()["paths"]
    assert {"api/v1", "apis/batch/v1", "apis/example.org/v1"} <= set(paths)
    url = paths["apis/example.org/v1"]["serverRelativeURL"]
    document = (await http.get(url)).json()
    assert document["components"]["schemas"]["org.example.v1.Toy"]["properties"]["spec"]["required"] == ["size"]
    patch = document["paths"]["/apis/example.org/v1/namespaces/{namespace}/toys/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "example.org", "version": "v1", "kind": "Toy"}
    assert "fieldValidation" in [parameter["name"] for parameter in patch["parameters"]]
    core = (await http.get("/openapi/v3/api/v1")).json()
    assert "io.k8s.api.core.v1.Pod" in core["components"]["schemas"]
    assert (await http.get("/openapi/v2")).json()["swagger"] == "2.0"


async def test_every_reference_of_openapi_leads_somewhere(http, client):
    await client.create(CUSTOM_RESOURCE_DEFINITION, toy_definition())
    for path in (await http.get("/openapi/v3")).json()["paths"]:
        text = (await http.get(f"/openapi/v3/{path}")).text
        schemas = json.loads(text)["components"]["schemas"]
        wanted = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
        assert wanted <= set(schemas), path


async def test_reviews(http):
    spec = {"resourceAttributes": {"verb": "create", "resource": "pods"}}
    answer = await http.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", json={"spec": spec})
    assert answer.json()["status"] == {"allowed": True}
    answer = await http.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", json={})
    assert answer.json()["status"]["userInfo"]["username"] == "tester"


async def test_binding(http, client):
    await client.create(POD, pod())
    answer = await http.post(PODS + "/p/binding", json={"target": {"kind": "Node", "name": "n"}})
    assert answer.status_code == 201
    assert (await client.get(POD, "p", "default"))["spec"]["nodeName"] == "n"
    answer = await http.post(PODS + "/p/binding", json={"target": {"kind": "Node", "name": "m"}})
    assert answer.status_code == 409


async def test_eviction(http, client):
    await client.create(POD, pod())
    assert (await http.post(PODS + "/p/eviction", json={"metadata": {"name": "p"}})).status_code == 201
    assert (await http.get(PODS + "/p")).status_code == 404


async def test_head_is_get_without_a_body(http):
    assert (await http.head("/readyz")).status_code == 200


@pytest.mark.parametrize(
    ("media_type", "body", "message"),
    [
        (
            "application/json",
            b'{"metadata": {"name": "c"}, "data": {"a": "1", "a": "2"}, "dta": {}}',
            'strict decoding error: unknown field "dta", duplicate field "data.a"',
        ),
        (
            "application/json",
            b'{"metadata" : {"name": "c", "x": [{"name": "x", "name": "y", "kind": "\\":"}]}}',
            'strict decoding error: unknown field "metadata.x", duplicate field "metadata.x[0].name"',
        ),
        (
            "application/yaml",
            b"metadata: {name: c}\ndata:\n  a: '1'\n  a: '2'\n",
            'strict decoding error: yaml: unmarshal errors: line 4: key "a" already set in map',
        ),
    ],
)
async def test_fields_that_are_given_twice(http, media_type, body, message):
    headers = {"content-type": media_type}
    refused = await http.post(MAPS, content=body, headers=headers, params={"fieldValidation": "Strict"})
    assert refused.status_code == 400
    assert refused.json()["message"] == message
    warned = await http.post(MAPS, content=body, headers=headers, params={"dryRun": "All"})
    assert warned.status_code == 201
    said = message.removeprefix("strict decoding error: ").partition(", dup")[0]
    assert said.replace('"', '\\"') in warned.headers["warning"]
    ignored = await http.post(MAPS, content=body, headers=headers, params={"fieldValidation": "Ignore"})
    assert "warning" not in ignored.headers


async def test_a_patch_that_says_a_field_twice(http, client):
    await client.create(CONFIG_MAP, config_map())
    for media_type in ("application/merge-patch+json", "application/strategic-merge-patch+json"):
        refused = await http.patch(
            MAPS + "/c",
            content=b'{"data": {"a": "1", "a": "2"}}',
            headers={"content-type": media_type},
            params={"fieldValidation": "Strict"},
        )
        assert refused.json()["message"] == 'strict decoding error: duplicate field "data.a"'
