"""``managedFields`` as clients of the HTTP surface see them."""

import json
from typing import Any

import httpx2
import pytest

from beamhall.client.local import LocalClient
from beamhall.client.protocol import Apply
from beamhall.kernel.errors import Conflict, Forbidden
from beamhall.kernel.identity import User
from beamhall.kernel.kinds import CONFIG_MAP, POD, ROLE, ROLE_BINDING
from tests.unit.embedded.api.conftest import config_map, pod, toy, toy_definition

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
MERGE = {"content-type": "application/merge-patch+json"}
APPLY = {"content-type": "application/apply-patch+yaml"}


def entries_of(answer: httpx2.Response) -> dict[tuple[str, str], Any]:
    """Give the fields of each entry by manager and operation."""
    assert answer.status_code in (200, 201), answer.text
    found = answer.json()["metadata"].get("managedFields") or []
    return {(entry["manager"], entry["operation"]): entry["fieldsV1"] for entry in found}


async def apply(http: httpx2.AsyncClient, path: str, manager: str, body: Any, **query: str) -> httpx2.Response:
    return await http.patch(path, content=json.dumps(body), headers=APPLY, params={"fieldManager": manager, **query})


def applied(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


async def test_who_makes_an_object_owns_all_of_it(http):
    agent = {"user-agent": "curl/8.0 (linux)"}
    made = await http.post(MAPS, json=config_map(labels={"l": "1"}), headers=agent)
    fields = {"f:metadata": {"f:labels": {".": {}, "f:l": {}}}, "f:data": {".": {}, "f:a": {}}}
    assert entries_of(made) == {("curl", "Update"): fields}
    (entry,) = (await http.get(f"{MAPS}/c")).json()["metadata"]["managedFields"]
    assert {k: v for k, v in entry.items() if k != "fieldsV1"} == {
        "manager": "curl", "operation": "Update", "apiVersion": "v1", "time": "2026-01-02T03:04:05Z",
        "fieldsType": "FieldsV1",
    }  # fmt: skip
    (item,) = (await http.get(MAPS)).json()["items"]
    assert item["metadata"]["managedFields"] == [entry]


async def test_a_dry_run_is_not_taken_for_what_is_stored(http):
    await http.post(MAPS, json=config_map(), params={"fieldManager": "one"})
    patch = '{"data": {"b": "1"}}'
    before = entries_of(await http.get(f"{MAPS}/c"))
    for _ in range(2):
        options = {"fieldManager": "one", "dryRun": "All"}
        dry = await http.patch(f"{MAPS}/c", content=patch, headers=MERGE, params=options)
        assert entries_of(dry)["one", "Update"]["f:data"].keys() == {".", "f:a", "f:b"}
        assert entries_of(await http.get(f"{MAPS}/c")) == before


async def test_what_the_server_fills_in_is_nobodys(http):
    fields = entries_of(await http.post(PODS, json=pod()))
    (spec,) = (entry["f:spec"] for entry in fields.values())
    assert "f:restartPolicy" in spec
    assert "f:serviceAccountName" not in spec
    assert "f:priority" not in spec


async def test_each_owns_what_it_wrote_last(http, clock):
    await http.post(MAPS, json={**config_map(), "data": {"a": "1", "b": "1"}}, params={"fieldManager": "one"})
    clock.advance(60)
    patch = json.dumps({"data": {"b": "2", "c": "1"}})
    await http.patch(f"{MAPS}/c", content=patch, headers=MERGE, params={"fieldManager": "two"})
    found = await http.patch(
        f"{MAPS}/c", content='{"data": {"c": null}}', headers=MERGE, params={"fieldManager": "one"}
    )
    assert entries_of(found) == {("one", "Update"): {"f:data": {".": {}, "f:a": {}}}, ("two", "Update"): {
        "f:data": {"f:b": {}}
    }}  # fmt: skip
    times = {e["manager"]: e["time"] for e in found.json()["metadata"]["managedFields"]}
    assert times["two"] == "2026-01-02T03:05:05Z"


async def test_the_status_is_owned_apart(http):
    await http.post(PODS, json=pod(), params={"fieldManager": "one"})
    status = json.dumps({"status": {"phase": "Running", "message": "m"}})
    await http.patch(f"{PODS}/p/status", content=status, headers=MERGE, params={"fieldManager": "agent"})
    other = json.dumps({"status": {"message": "n"}})
    found = await http.patch(f"{PODS}/p/status", content=other, headers=MERGE, params={"fieldManager": "two"})
    by_name = {e["manager"]: e for e in found.json()["metadata"]["managedFields"]}
    assert by_name["agent"]["subresource"] == by_name["two"]["subresource"] == "status"
    assert by_name["two"]["fieldsV1"] == {"f:status": {"f:message": {}}}
    assert by_name["agent"]["fieldsV1"]["f:status"].keys() == {"f:phase"}
    assert "f:status" not in by_name["one"]["fieldsV1"]


async def test_sending_an_object_back_changes_nothing(http):
    made = (await http.post(MAPS, json=config_map())).json()
    again = await http.put(f"{MAPS}/c", json=made, headers={"user-agent": "other"})
    assert again.json() == made
    listed = (await http.get(MAPS)).json()["items"][0]
    listed["metadata"]["managedFields"] = []
    assert (await http.put(f"{MAPS}/c", json=listed, headers={"user-agent": "other"})).json() == made


async def test_entries_can_be_written_and_forgotten(http):
    await http.post(MAPS, json=config_map(), params={"fieldManager": "one"})
    entry = {"manager": "x", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1"}
    for value, expected in (
        ([entry | {"fieldsV1": {"f:data": {"f:a": {}}}}], {("x", "Apply"): {"f:data": {"f:a": {}}}}),
        ([entry | {"fieldsV1": {"wrong": {}}}], {("x", "Apply"): {"f:data": {"f:a": {}}}}),
        ([], {("x", "Apply"): {"f:data": {"f:a": {}}}}),
        ([{}], {}),
    ):
        patch: Any = [{"op": "replace", "path": "/metadata/managedFields", "value": value}]
        found = await http.patch(
            f"{MAPS}/c", content=json.dumps(patch), headers={"content-type": "application/json-patch+json"}
        )
        assert entries_of(found) == expected
    later = await http.patch(f"{MAPS}/c", content='{"data": {"a": "2"}}', headers=MERGE)
    assert entries_of(later) == {}, "what was forgotten stays so until somebody applies"
    found = await apply(http, f"{MAPS}/c", "me", applied(b="1"))
    assert entries_of(found).keys() == {("before-first-apply", "Update"), ("me", "Apply")}
    refused = await apply(http, f"{MAPS}/c", "me", applied(a="1"))
    assert 'conflict with "before-first-apply" using v1: .data.a' in refused.json()["message"]


async def test_the_oldest_updaters_become_one(http, clock):
    await http.post(MAPS, json=config_map(), params={"fieldManager": "m0"})
    for number in range(1, 14):
        clock.advance(1)
        patch = json.dumps({"data": {f"k{number}": "1"}})
        found = await http.patch(f"{MAPS}/c", content=patch, headers=MERGE, params={"fieldManager": f"m{number}"})
    entries = entries_of(found)
    assert len(entries) == 10
    old = entries["ancient-changes", "Update"]["f:data"]
    assert old.keys() == {".", "f:a", "f:k1", "f:k2", "f:k3", "f:k4"}


async def test_applying_makes_or_changes(http):
    made = await apply(http, f"{MAPS}/c", "me", applied(a="1"))
    assert made.status_code == 201
    changed = await apply(http, f"{MAPS}/c", "me", applied(a="2"))
    assert changed.status_code == 200
    assert entries_of(changed) == {("me", "Apply"): {"f:data": {"f:a": {}}}}
    await http.patch(f"{MAPS}/c", content='{"data": {"a": "3"}}', headers=MERGE, params={"fieldManager": "you"})
    refused = await apply(http, f"{MAPS}/c", "me", applied(a="2", b="1"))
    assert refused.status_code == 409
    assert refused.json()["details"] == {
        "causes": [{"reason": "FieldManagerConflict", "message": 'conflict with "you" using v1', "field": ".data.a"}]
    }
    several = await apply(http, f"{MAPS}/d", "me", {**applied(a="1", b="1"), "metadata": {}})
    assert several.status_code == 201
    refused = await apply(http, f"{MAPS}/d", "you", {**applied(a="2", b="2"), "metadata": {}})
    assert refused.json()["message"] == 'Apply failed with 2 conflicts: conflicts with "me":\n- .data.a\n- .data.b'


async def test_a_dry_run_of_an_apply_stores_nothing(http):
    assert (await apply(http, f"{MAPS}/c", "me", applied(a="1"), dryRun="All")).status_code == 201
    assert (await http.get(f"{MAPS}/c")).status_code == 404


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("[]", "must be one object"),
        ('{"kind": "ConfigMap"}', "must have apiVersion"),
        ('{"apiVersion": "v1", "kind": "Pod"}', "does not match the address"),
        ('{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}', "does not match the name on the URL"),
        ('{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "x"}}', "does not match the namespace"),
        ('{"apiVersion": "v1", "kind": "ConfigMap", "dta": {}}', 'unknown field "dta"'),
        ("{", "malformed"),
    ],
)
async def test_configurations_that_are_refused(http, body, message):
    answer = await http.patch(
        f"{MAPS}/c", content=body, headers=APPLY, params={"fieldManager": "me", "fieldValidation": "Strict"}
    )
    assert answer.status_code == 400
    assert message in answer.json()["message"]


@pytest.mark.parametrize("manager", ["x" * 129, "a\nb"])
async def test_names_of_managers_are_checked(http, manager):
    answer = await apply(http, f"{MAPS}/c", manager, applied())
    assert answer.status_code == 422
    assert "fieldManager" in answer.json()["message"]


async def test_kubectl_inherits_what_it_applied_from_its_side(http):
    last = json.dumps(applied(a="1", b="1"))
    obj = config_map(annotations={"kubectl.kubernetes.io/last-applied-configuration": last})
    obj["data"] = {"a": "1", "b": "other"}
    await http.post(MAPS, json=obj, params={"fieldManager": "kubectl-client-side-apply"})
    assert (await apply(http, f"{MAPS}/c", "someone", applied(a="2"))).status_code == 409
    refused = await apply(http, f"{MAPS}/c", "kubectl", applied(a="2", b="2"))
    assert refused.json()["message"].endswith('"kubectl-client-side-apply" using v1: .data.b')
    found = await apply(http, f"{MAPS}/c", "kubectl", applied(a="2"))
    annotation = found.json()["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
    assert json.loads(annotation)["data"] == {"a": "2"}


async def test_custom_kinds_are_applied_by_their_schema(http, client):
    spec = {
        "type": "object",
        "properties": {
            "size": {"type": "integer"},
            "replicas": {"type": "integer"},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "parts": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": {"type": "string"}, "n": {"type": "integer"}},
                },
            },
        },
    }
    schema = {"type": "object", "properties": {"spec": spec}}
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    definition = toy_definition(schema={"openAPIV3Schema": schema}, subresources={"status": {}, "scale": scale})
    await http.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=definition)
    path = "/apis/example.org/v1/namespaces/default/toys/t"

    def config(**spec: Any) -> dict[str, Any]:
        return {"apiVersion": "example.org/v1", "kind": "Toy", **toy(), "spec": spec}

    await apply(http, path, "one", config(size=1, parts=[{"name": "a", "n": 1}], free={"x": {"y": [1]}}))
    found = await apply(http, path, "two", config(parts=[{"name": "b", "n": 2}], free={"x": {"z": 1}}))
    assert found.json()["spec"] == {
        "size": 1, "parts": [{"name": "a", "n": 1}, {"name": "b", "n": 2}], "free": {"x": {"y": [1], "z": 1}},
    }  # fmt: skip
    scale_path = f"{path}/scale"
    body = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "t"}, "spec": {"replicas": 3}}
    assert (await apply(http, scale_path, "scaler", body)).json()["spec"] == {"replicas": 3}
    found = await http.get(path)
    by_name = {e["manager"]: e for e in found.json()["metadata"]["managedFields"]}
    assert by_name["scaler"]["subresource"] == "scale"
    assert by_name["scaler"]["fieldsV1"] == {"f:spec": {"f:replicas": {}}}
    refused = await apply(http, path, "one", config(size=1, replicas=2))
    assert 'conflict with "scaler" with subresource "scale": .spec.replicas' in refused.json()["message"]


async def test_writers_in_the_process_are_named_by_their_user(client):
    made = await client.create(CONFIG_MAP, config_map())
    assert [entry["manager"] for entry in made["metadata"]["managedFields"]] == ["tester"]


async def test_binding_leaves_the_owners_alone(client):
    made = await client.create(POD, pod())
    bound = await client.patch(POD, "p", "default", {"status": {"phase": "Running"}}, subresource="status")
    assert bound["metadata"]["managedFields"][0] == made["metadata"]["managedFields"][0]
    with pytest.raises(Conflict):
        await client.patch(POD, "p", "default", {"status": {"phase": "Failed"}}, type=Apply("me"), subresource="status")


async def test_only_an_apply_can_be_forced(http):
    await http.post(MAPS, json=config_map())
    answer = await http.patch(f"{MAPS}/c", content="{}", headers=MERGE, params={"force": "true"})
    assert answer.status_code == 422
    assert "force: Forbidden: may not be specified for non-apply patch" in answer.json()["message"]


TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"a": "b"}},
    "spec": {"containers": [{"name": "m", "image": "python:1", "ports": [{"containerPort": 80}]}]},
}
SELECTOR = {"matchLabels": {"a": "b"}}
MANIFESTS = [
    ("v1", "Pod", "pods", {"spec": TEMPLATE["spec"]}),
    ("v1", "ConfigMap", "configmaps", {"data": {"a": "1"}}),
    ("v1", "Secret", "secrets", {"data": {"a": "MQ=="}}),
    ("v1", "Service", "services", {"spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]}}),
    ("v1", "PersistentVolumeClaim", "persistentvolumeclaims",
     {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
    ("batch/v1", "Job", "jobs",
     {"spec": {"template": {**TEMPLATE, "spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}}}),
    ("batch/v1", "CronJob", "cronjobs",
     {"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {
         "template": {**TEMPLATE, "spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}}}}}),
    ("apps/v1", "Deployment", "deployments", {"spec": {"selector": SELECTOR, "template": TEMPLATE}}),
    ("apps/v1", "StatefulSet", "statefulsets",
     {"spec": {"selector": SELECTOR, "serviceName": "s", "template": TEMPLATE}}),
    ("apps/v1", "ReplicaSet", "replicasets", {"spec": {"selector": SELECTOR, "template": TEMPLATE}}),
    ("rbac.authorization.k8s.io/v1", "Role", "roles",
     {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]}),
    ("coordination.k8s.io/v1", "Lease", "leases", {"spec": {"holderIdentity": "x", "leaseDurationSeconds": 15}}),
]  # fmt: skip


async def test_defaults_inside_of_an_atomic_value_are_no_change_of_it(http):
    claim: dict[str, Any] = {"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    claim["spec"]["resources"] = {"requests": {"storage": "1Gi"}}
    spec = {"selector": SELECTOR, "serviceName": "s", "template": TEMPLATE, "volumeClaimTemplates": [claim]}
    manifest = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "x"}, "spec": spec}
    path = "/apis/apps/v1/namespaces/default/statefulsets"
    await http.post(path, json=manifest, params={"fieldManager": "one"})
    assert (await apply(http, f"{path}/x", "two", manifest)).status_code == 200
    claim["spec"]["accessModes"] = ["ReadWriteMany"]
    refused = await apply(http, f"{path}/x", "two", manifest)
    assert refused.status_code == 409
    assert refused.json()["message"].endswith('"one" using apps/v1: .spec.volumeClaimTemplates')


@pytest.mark.parametrize(("version", "kind", "plural", "rest"), MANIFESTS, ids=[m[1] for m in MANIFESTS])
async def test_each_kind_moves_to_the_server_side(http, version, kind, plural, rest):
    """What kubectl does when an object that it applied from its side is applied on the server's for the first time."""
    place = f"/apis/{version}" if "/" in version else f"/api/{version}"
    path = f"{place}/namespaces/default/{plural}"
    manifest = {"apiVersion": version, "kind": kind, "metadata": {"name": "x"}, **rest}
    made = await http.post(path, json=manifest, params={"fieldManager": "kubectl-client-side-apply"})
    assert made.status_code == 201, made.text
    (entry,) = made.json()["metadata"]["managedFields"]
    moved = {**entry, "manager": "kubectl", "operation": "Apply"}
    patch = [{"op": "replace", "path": "/metadata/managedFields", "value": [moved]}]
    headers = {"content-type": "application/json-patch+json"}
    answer = await http.patch(f"{path}/x", content=json.dumps(patch), headers=headers)
    assert answer.status_code == 200, answer.text
    before = answer.json()
    again = await apply(http, f"{path}/x", "kubectl", manifest)
    assert again.status_code == 200, again.text
    after = again.json()
    assert {k: v for k, v in after.items() if k != "metadata"} == {k: v for k, v in before.items() if k != "metadata"}
    (owner,) = after["metadata"]["managedFields"]
    assert set(owner["fieldsV1"]) <= set(entry["fieldsV1"])
    assert (await apply(http, f"{path}/x", "kubectl", manifest)).json() == after


async def test_whoever_may_only_patch_makes_nothing_by_applying(api, client):
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]}]
    await client.create(ROLE, {"metadata": {"name": "patcher", "namespace": "default"}, "rules": rules})
    await client.create(
        ROLE_BINDING,
        {
            "metadata": {"name": "patcher", "namespace": "default"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "patcher"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "bob"}],
        },
    )
    bob = LocalClient(api, User("bob"))
    with pytest.raises(Forbidden, match='cannot create resource "configmaps"'):
        await bob.patch(CONFIG_MAP, "c", "default", {"data": {"b": "1"}}, type=Apply("bob"))
    await client.create(CONFIG_MAP, config_map())
    changed = await bob.patch(CONFIG_MAP, "c", "default", {"data": {"b": "1"}}, type=Apply("bob"))
    assert changed["data"] == {"a": "1", "b": "1"}
