import json
from typing import Any

import httpx2
import pytest
import yaml

from beamhall.history.history import History
from beamhall.history.records import Pipeline, PipelineVersion, Run, Specification
from tests.postgresql import BOTH
from tests.unit.pipelines.specs import spec

both = pytest.mark.parametrize("history", BOTH, indirect=True)


def _other() -> Any:
    found = spec()
    found["pipelineInfo"]["name"] = "other"
    return found


async def _ask(api: httpx2.AsyncClient, method: str, path: str, **given: Any) -> Any:
    answer = await api.request(method, path, **given)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _make(api: httpx2.AsyncClient, name: str = "mine", **fields: Any) -> Any:
    return await _ask(api, "POST", "pipelines", json={"name": name, **fields})


async def _version(api: httpx2.AsyncClient, pipeline: str, name: str, **fields: Any) -> Any:
    given = {"name": name, "pipeline_spec": spec(), **fields}
    return await _ask(api, "POST", f"pipelines/{pipeline}/versions", json=given)


async def _names(api: httpx2.AsyncClient, path: str = "pipelines", **query: Any) -> list[str]:
    found = await _ask(api, "GET", path, params=query)
    return [each["name"] for each in found.get("pipelines", found.get("pipeline_versions", []))]


async def _count(history: History, record: Any) -> int:
    return await history.read(lambda tx: tx.count(record))


@both
async def test_a_pipeline_is_made_and_read(api: httpx2.AsyncClient, history: History) -> None:
    made = await _make(api, display_name="Mine", description="why", namespace="lab", tags={"team": "vision"})
    key = made["pipeline_id"]
    assert made == {
        "pipeline_id": key, "name": "mine", "display_name": "Mine", "description": "why", "namespace": "lab",
        "created_at": "2026-01-01T00:00:01Z", "tags": {"team": "vision"},
    }  # fmt: skip
    assert await _ask(api, "GET", f"pipelines/{key}") == made
    assert await _ask(api, "GET", "pipelines/names/mine?namespace=lab") == made
    assert await _ask(api, "GET", "http://kfp/pipeline/apis/v2beta1/pipelines?namespace=lab") == {
        "pipelines": [made], "total_size": 1,
    }  # fmt: skip
    assert (await api.get("pipelines/names/mine")).status_code == 404
    assert (await api.get("pipelines")).text == "{}"
    assert await _count(history, PipelineVersion) == 0
    assert (await _make(api, "", display_name="Only this"))["name"] == "Only this"


async def test_a_name_is_taken_once_in_a_namespace(api: httpx2.AsyncClient) -> None:
    key = (await _make(api))["pipeline_id"]
    await _version(api, key, "v")
    for path, given in (
        ("pipelines", {"name": "mine"}),
        ("pipelines/create", {"pipeline": {"name": "mine"}, "pipeline_version": {"pipeline_spec": spec()}}),
        (f"pipelines/{key}/versions", {"name": "v", "pipeline_spec": spec()}),
    ):
        answer = await api.post(path, json=given)
        assert (answer.status_code, answer.json()["code"]) == (409, 6), path
        assert "already" in answer.json()["message"]
    await _make(api, namespace="lab")
    await _version(api, (await _make(api, "second"))["pipeline_id"], "v")


@both
async def test_a_pipeline_is_made_with_its_first_version(api: httpx2.AsyncClient, history: History) -> None:
    given = {
        "pipeline": {"displayName": "Mine"},
        "pipeline_version": {"pipeline_spec": spec(), "description": "first", "code_source_url": "http://code"},
    }
    made = await _ask(api, "POST", "pipelines/create", json=given)
    (version,) = (await _ask(api, "GET", f"pipelines/{made['pipeline_id']}/versions"))["pipeline_versions"]
    assert version == {
        "pipeline_id": made["pipeline_id"], "pipeline_version_id": version["pipeline_version_id"], "name": "Mine",
        "display_name": "Mine", "description": "first", "code_source_url": "http://code", "pipeline_spec": spec(),
        "created_at": made["created_at"],
    }  # fmt: skip
    broken = {**given, "pipeline": {"name": "n"}, "pipeline_version": {"pipeline_spec": {"root": {}}}}
    assert (await api.post("pipelines/create", json=broken)).status_code == 400
    assert (await _count(history, Pipeline), await _count(history, Specification)) == (1, 1)


@both
async def test_versions_are_made_read_listed_and_changed(api: httpx2.AsyncClient, history: History) -> None:
    key = (await _make(api))["pipeline_id"]
    pair = {"pipeline_spec": spec(), "platform_spec": {"platforms": {"kubernetes": {}}}}
    first = await _version(api, key, "b", display_name="B", tags={"stage": "test"})
    second = await _version(api, key, "a", pipeline_spec=pair)
    assert second["pipeline_spec"] == pair
    path = f"pipelines/{key}/versions"
    one = f"{path}/{first['pipeline_version_id']}"
    assert await _ask(api, "GET", one) == first
    assert await _names(api, path) == ["b", "a"]
    assert await _names(api, path, sort_by="created_at desc", page_size=1) == ["a"]
    assert await _names(api, path, sort_by="name") == ["a", "b"]
    for key_of, value, names in (
        ("tags.stage", "test", ["b"]),
        ("tags.stage", "", ["a"]),
        ("display_name", "B", ["b"]),
    ):
        predicate = {"operation": "EQUALS", "key": key_of, "stringValue": value}
        assert await _names(api, path, filter=json.dumps({"predicates": [predicate]})) == names
    changed = await _ask(api, "PATCH", one, json={**first, "display_name": "New", "tags": {}})
    assert changed == {key: value for key, value in {**first, "display_name": "New"}.items() if key != "tags"}
    assert await _ask(api, "GET", one) == changed
    other = (await _make(api, "other"))["pipeline_id"]
    for wrong in (f"pipelines/{other}/versions/{first['pipeline_version_id']}", f"{path}/x", f"{path}/%00"):
        assert (await api.get(wrong)).status_code == 404, wrong


async def test_what_a_change_does_not_have_stays(api: httpx2.AsyncClient) -> None:
    made = await _make(api, tags={"a": "1"}, description="d")
    path = f"pipelines/{made['pipeline_id']}"
    assert await _ask(api, "PATCH", path, json={}) == made
    assert (await _ask(api, "PATCH", path, json={"display_name": "New"}))["tags"] == {"a": "1"}
    assert (await _ask(api, "PATCH", path, json={"tags": {"b": "2"}}))["tags"] == {"b": "2"}
    assert "tags" not in await _ask(api, "PATCH", path, json={"tags": {}})
    for field in ("name", "description", "namespace"):
        answer = await api.patch(path, json={field: "other"})
        assert answer.status_code == 400
        assert f"{field}: it cannot be changed" in answer.json()["message"]


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"name": ""}, "name: it must be given"),
        ({"name": " "}, "name: it must be given"),
        ({"name": "x" * 129}, "name: it has 129 characters, and may have 128"),
        ({"display_name": "x" * 129}, "display_name: it has 129 characters"),
        ({"tags": {str(n): "" for n in range(21)}}, "tags: there are 21, and may be 20"),
        ({"tags": {"a.b": "1"}}, "'a.b' is no key"),
        ({"tags": {"": "1"}}, "'' is no key"),
        ({"tags": {"k" * 64: "1"}}, "is no key: 1 to 63 characters"),
        ({"tags": {"k": "v" * 64}}, "tags.k: it has 64 characters, and may have 63"),
        ({"tags": {"k": 1}}, "tags.k: 1 is no string"),
        ({"tags": []}, "tags: [] is no object"),
        ({"colour": "red"}, "colour: there is no such field"),
    ],
)
async def test_what_cannot_be_made_says_why(api: httpx2.AsyncClient, fields: dict[str, Any], part: str) -> None:
    key = (await _make(api))["pipeline_id"]
    for path, more in (("pipelines", {}), (f"pipelines/{key}/versions", {"pipeline_spec": spec()})):
        answer = await api.post(path, json={"name": "new", **more, **fields})
        assert (answer.status_code, answer.json()["code"]) == (400, 3), answer.text
        assert part in answer.json()["message"]
    assert await _names(api) == ["mine"]


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({}, "one of package_url.pipeline_url and pipeline_spec is needed"),
        ({"pipeline_spec": spec(), "package_url": {"pipeline_url": "http://x"}}, "not both"),
        ({"pipeline_spec": {"pipelineInfo": {"name": "Bad Name"}}}, "pipeline"),
        ({"pipeline_spec": spec(), "pipeline_id": "x"}, "it is another than that of the path"),
    ],
)
async def test_a_version_needs_one_specification(api: httpx2.AsyncClient, fields: dict[str, Any], part: str) -> None:
    key = (await _make(api))["pipeline_id"]
    answer = await api.post(f"pipelines/{key}/versions", json={"name": "v", **fields})
    assert answer.status_code == 400
    assert part in answer.json()["message"]


@both
async def test_a_pipeline_goes_with_its_versions_only_if_that_is_meant(
    api: httpx2.AsyncClient, history: History
) -> None:
    key = (await _make(api))["pipeline_id"]
    version = await _version(api, key, "v")
    await _version(api, key, "w", pipeline_spec=_other())
    reference = {"pipeline_id": key, "pipeline_version_id": version["pipeline_version_id"]}
    run = {"display_name": "r", "pipeline_version_reference": reference}
    run_id = (await _ask(api, "POST", "runs", json=run))["run_id"]
    for query in ("", "?cascade=false"):
        answer = await api.delete(f"pipelines/{key}{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, 9)
        assert "has 2 versions" in answer.json()["message"]
    assert (await api.delete(f"pipelines/{key}?cascade=maybe")).status_code == 400
    assert await _ask(api, "DELETE", f"pipelines/{key}?cascade=true") == {}
    assert (await api.get(f"pipelines/{key}")).status_code == 404
    assert await _count(history, PipelineVersion) == 0
    assert await _count(history, Specification) == 1  # the run still needs its own
    assert (await _ask(api, "GET", f"runs/{run_id}"))["pipeline_version_reference"]["pipeline_id"] == key
    await _ask(api, "DELETE", f"runs/{run_id}")
    assert await _count(history, Specification) == 0


async def test_a_version_goes_with_its_specification(api: httpx2.AsyncClient, history: History) -> None:
    key = (await _make(api))["pipeline_id"]
    versions = [(await _version(api, key, name))["pipeline_version_id"] for name in ("v", "w")]
    for version, left in zip(versions, (1, 0), strict=True):
        assert await _ask(api, "DELETE", f"pipelines/{key}/versions/{version}") == {}
        assert (await api.get(f"pipelines/{key}/versions/{version}")).status_code == 404
        assert await _count(history, Specification) == left
    assert await _ask(api, "DELETE", f"pipelines/{key}") == {}


async def test_what_is_anothers_is_forbidden(api: httpx2.AsyncClient, history: History) -> None:
    theirs = Pipeline(id="p", namespace="closed", name="p", display_name="P", created_at=1)
    version = PipelineVersion(
        id="v", namespace="closed", pipeline_id="p", name="v", display_name="V", created_at=1, spec_digest="d"
    )
    await history.write(lambda tx: tx.add(theirs, version))
    for method, path in (
        ("GET", "pipelines?namespace=closed"), ("GET", "pipelines/names/p?namespace=closed"), ("GET", "pipelines/p"),
        ("DELETE", "pipelines/p?cascade=true"), ("PATCH", "pipelines/p"), ("GET", "pipelines/p/versions"),
        ("POST", "pipelines/p/versions"), ("GET", "pipelines/p/versions/v"), ("PATCH", "pipelines/p/versions/v"),
        ("DELETE", "pipelines/p/versions/v"),
    ):  # fmt: skip
        answer = await api.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (403, 7), (method, path)
    for path, given in (
        ("pipelines", {"name": "n", "namespace": "closed"}),
        ("pipelines/create", {"pipeline": {"name": "n", "namespace": "closed"}}),
    ):
        assert (await api.post(path, json=given)).status_code == 403
    content = yaml.safe_dump(spec()).encode()
    for path in ("pipelines/upload?namespace=closed", "pipelines/upload_version?pipelineid=p"):
        answer = await api.post(path, files={"uploadfile": ("p.yaml", content)})
        assert answer.status_code == 403
        assert "you may not create pipelines in closed" in answer.json()["error_message"]
    assert await _count(history, Run) == 0
    assert await history.read(lambda tx: tx.get(Pipeline, "p")) == theirs


async def test_whether_one_may_is_answered(api: httpx2.AsyncClient) -> None:
    query = {"namespace": "lab", "resources": "VIEWERS", "verb": "GET"}
    assert await _ask(api, "GET", "auth", params=query) == {}
    assert (await api.get("auth", params={**query, "namespace": "closed"})).status_code == 403
    for name in query:
        assert (await api.get("auth", params={**query, name: ""})).status_code == 400
