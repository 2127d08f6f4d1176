"""A dry run answers as the real one would, and stores nothing: every verb and every subresource."""

import json

import pytest

from beamhall.kernel.kinds import CUSTOM_RESOURCE_DEFINITION, POD
from tests.unit.embedded.api.conftest import TOY, config_map, pod, toy, toy_definition

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DRY = {"dryRun": "All"}
MERGE = {"content-type": "application/merge-patch+json"}
BINDING = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
EVICTION = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p", "namespace": "default"}}


@pytest.fixture
async def state(http):
    """Give what is stored, as a function."""
    await http.post(MAPS, json=config_map(labels={"a": "b"}))
    await http.post(PODS, json=pod())

    async def read():
        return [(await http.get(path)).json()["items"] for path in (MAPS, PODS)]

    return read


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", MAPS, config_map("d"), 201),
        ("POST", MAPS, {**config_map(), "metadata": {"generateName": "g-"}}, 201),
        ("PUT", f"{MAPS}/c", {**config_map(), "data": {"x": "y"}}, 200),
        ("PATCH", f"{MAPS}/c", {"data": {"x": "y"}}, 200),
        ("DELETE", f"{MAPS}/c", {}, 200),
        ("DELETE", MAPS, {}, 200),
        ("PATCH", f"{PODS}/p/status", {"status": {"phase": "Running"}}, 200),
        ("POST", f"{PODS}/p/binding", BINDING, 201),
        ("POST", f"{PODS}/p/eviction", EVICTION, 201),
        ("DELETE", f"{PODS}/p", {}, 200),
    ],
)
async def test_nothing_is_stored(http, state, method, path, body, code):
    before = await state()
    headers = MERGE if method == "PATCH" else {"content-type": "application/json"}
    answer = await http.request(method, path, content=json.dumps(body), headers=headers, params=DRY)
    assert answer.status_code == code, answer.text
    assert await state() == before


async def test_the_options_of_an_eviction_can_ask_for_a_dry_run(http, state):
    before = await state()
    body = {**EVICTION, "deleteOptions": {"dryRun": ["All"]}}
    assert (await http.post(f"{PODS}/p/eviction", json=body)).status_code == 201
    assert await state() == before


async def test_a_scale_is_not_stored(http, client):
    scale = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    await client.create(CUSTOM_RESOURCE_DEFINITION, toy_definition(subresources={"scale": scale}))
    made = await client.create(TOY, toy())
    path = "/apis/example.org/v1/namespaces/default/toys/t/scale"
    answer = await http.patch(path, content='{"spec": {"replicas": 3}}', headers=MERGE, params=DRY)
    assert answer.json()["spec"] == {"replicas": 3}
    answer = await http.put(path, json={"spec": {"replicas": 4}, "metadata": {"name": "t"}}, params=DRY)
    assert answer.json()["spec"] == {"replicas": 4}
    assert await client.get(TOY, "t", "default") == made


async def test_a_dry_run_is_refused_as_the_real_one(http, client):
    await client.create(POD, pod())
    assert (await http.post(PODS, json=pod(), params=DRY)).status_code == 409
    assert (await http.post(PODS, json={"metadata": {"name": "q"}}, params=DRY)).status_code == 422
    assert (await http.delete(f"{PODS}/nobody", params=DRY)).status_code == 404
    assert (await http.post(PODS, json=pod("q"), params={"dryRun": "Some"})).status_code == 400
