import io
import json
import tarfile
import zipfile
from typing import Any

import httpx2
import pytest
import yaml

from beamhall.history.history import History
from beamhall.history.records import Pipeline, Specification
from beamhall.pipelines.packages import MAX_PACKAGE_BYTES
from tests.postgresql import BOTH
from tests.unit.pipelines.specs import spec

YAML = yaml.safe_dump(spec()).encode()
PLATFORM: Any = {"platforms": {"kubernetes": {}}}


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("pipeline.yaml", YAML)
    return file.getvalue()


def _tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        entry = tarfile.TarInfo("pipeline.yaml")
        entry.size = len(YAML)
        archive.addfile(entry, io.BytesIO(YAML))
    return file.getvalue()


async def _upload(
    api: httpx2.AsyncClient, content: bytes = YAML, name: str = "p.yaml", **query: Any
) -> httpx2.Response:
    return await api.post("pipelines/upload", params=query, files={"uploadfile": (name, content)})


async def _versions(api: httpx2.AsyncClient, pipeline: str) -> Any:
    return (await api.get(f"pipelines/{pipeline}/versions")).json()["pipeline_versions"]


@pytest.mark.parametrize("history", BOTH, indirect=True)
async def test_a_file_becomes_a_pipeline_and_its_first_version(api: httpx2.AsyncClient, history: History) -> None:
    tags = json.dumps({"team": "vision"})
    answer = await _upload(
        api,
        name="p.yaml",
        display_name="Mine",
        description="why",
        namespace="lab",
        tags=tags,
        code_source_url="http://c",
    )
    made = answer.json()
    assert made == {
        "pipeline_id": made["pipeline_id"], "name": "Mine", "display_name": "Mine", "description": "why",
        "namespace": "lab", "created_at": "2026-01-01T00:00:01Z", "tags": {"team": "vision"},
    }  # fmt: skip
    (version,) = await _versions(api, made["pipeline_id"])
    assert version == {
        "pipeline_id": made["pipeline_id"], "pipeline_version_id": version["pipeline_version_id"], "name": "Mine",
        "display_name": "Mine", "description": "why", "created_at": made["created_at"], "tags": {"team": "vision"},
        "code_source_url": "http://c", "pipeline_spec": spec(),
    }  # fmt: skip
    assert await history.read(lambda tx: tx.count(Specification)) == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.yaml", YAML),
        ("p.yml", b"# PIPELINE DEFINITION\n" + YAML),
        ("p.json", json.dumps(spec()).encode()),
        ("p.zip", _zip()),
        ("p.tar.gz", _tar()),
        ("p.tgz", _tar()),
    ],
)
async def test_every_format_is_taken_and_a_file_without_another_name_keeps_its_own(
    api: httpx2.AsyncClient, name: str, content: bytes
) -> None:
    made = (await _upload(api, content, name)).json()
    assert made["name"] == name
    (version,) = await _versions(api, made["pipeline_id"])
    assert (version["name"], version["pipeline_spec"]) == (name, spec())


async def test_what_is_asked_of_the_platform_comes_along(api: httpx2.AsyncClient) -> None:
    content = yaml.safe_dump_all([spec(), PLATFORM]).encode()
    (version,) = await _versions(api, (await _upload(api, content)).json()["pipeline_id"])
    assert version["pipeline_spec"] == {"pipeline_spec": spec(), "platform_spec": PLATFORM}


async def test_a_file_becomes_another_version(api: httpx2.AsyncClient) -> None:
    key = (await _upload(api)).json()["pipeline_id"]
    path, files = "pipelines/upload_version", {"uploadfile": ("q.yaml", YAML)}
    query = {"pipelineid": key, "name": "second", "description": "better"}
    made = (await api.post(path, params=query, files=files)).json()
    assert (made["name"], made["description"], made["pipeline_spec"]) == ("second", "better", spec())
    assert [each["name"] for each in await _versions(api, key)] == ["p.yaml", "second"]
    answer = await api.post(path, params=query, files=files)
    assert answer.status_code == 409
    assert answer.json()["error_message"].startswith("Failed to upload pipeline version: the pipeline has a version")
    for other, status in ({}, 400), ({"pipelineid": "x"}, 404):
        answer = await api.post(path, params=other, files=files)
        assert answer.status_code == status
        assert answer.json()["error_message"].startswith("Failed to upload pipeline version: ")


@pytest.mark.parametrize(
    ("content", "query", "status", "part"),
    [
        (b"", {}, 400, "the package 'p.yaml' is empty"),
        (b"a: [", {}, 400, "neither YAML nor JSON"),
        (b"PK\x03\x04broken", {}, 400, "is a broken archive"),
        (b"\x1f\x8bbroken", {}, 400, "is a broken archive"),
        (b"apiVersion: v1\nkind: Pod\n", {}, 400, "this is v1 Pod, not a pipeline specification"),
        (YAML.replace(b"2.1.0", b"2.0.0"), {}, 400, "schemaVersion: must be 2.1.0"),
        (YAML, {"name": "x" * 129}, 400, "name: it has 129 characters"),
        (YAML, {"tags": "x"}, 400, "tags is no JSON"),
        (YAML, {"tags": '{"a.b": "1"}'}, 400, "'a.b' is no key"),
        (b"x" * (MAX_PACKAGE_BYTES + 1), {}, 413, "33554433 bytes; 33554432 are allowed"),
        (b"x" * 40 * 2**20, {}, 413, "the file is larger than 32 MiB"),
    ],
)
async def test_what_cannot_be_uploaded_says_why_in_the_form_of_uploads(
    api: httpx2.AsyncClient, history: History, content: bytes, query: dict[str, str], status: int, part: str
) -> None:
    answer = await _upload(api, content, **query)
    assert answer.status_code == status, answer.text
    found = answer.json()
    assert found["error_message"].startswith("Failed to upload pipeline: ")
    assert part in found["error_message"]
    assert part in found["error_details"]
    assert await history.read(lambda tx: tx.count(Pipeline)) == 0


async def test_a_name_has_no_nul(api: httpx2.AsyncClient) -> None:
    answer = await api.post("pipelines/upload?name=a%00", files={"uploadfile": ("p.yaml", YAML)})
    assert answer.status_code == 400
    assert "name: a string cannot have a NUL in it" in answer.json()["error_message"]


async def test_a_request_that_is_no_upload_says_so(api: httpx2.AsyncClient) -> None:
    for given in (
        {"content": YAML},
        {"content": b"", "headers": {"content-type": "application/json"}},
        {"files": {"other": ("p.yaml", YAML)}},
        {"files": {"uploadfile": (None, YAML)}},
        {"content": b"--x", "headers": {"content-type": "multipart/form-data"}},
        {"content": b"nonsense", "headers": {"content-type": "multipart/form-data; boundary=x"}},
        {"files": [("uploadfile", ("p.yaml", YAML)), ("uploadfile", ("q.yaml", YAML))]},
    ):
        answer = await api.post("pipelines/upload", **given)
        assert answer.status_code == 400, given
        assert "uploadfile" in answer.text or "multipart/form-data" in answer.text
