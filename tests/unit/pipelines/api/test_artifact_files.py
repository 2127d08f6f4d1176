import base64
import dataclasses
import io
import os
import tarfile
from pathlib import Path
from typing import Any

import httpx2
import pytest

from beamhall.history.history import History
from beamhall.history.protocol import Writing
from beamhall.history.queries import Where
from beamhall.history.records import Artifact, ArtifactTask, Run, Task, task_id
from beamhall.pipelines.api import artifact_files
from beamhall.pipelines.api.access import Access
from beamhall.pipelines.api.application import kfp_application
from beamhall.pipelines.api.ranges import Answer, answer_for, disposition
from beamhall.pipelines.specifications import Specifications
from tests.postgresql import BOTH

both = pytest.mark.parametrize("history", BOTH, indirect=True)
OURS, THEIRS = "p/r/train/0", "p/theirs/train/0"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


@pytest.fixture
async def files(history: History, artifacts: Path) -> Path:
    """The directory of the execution of a task, beside that of one of another namespace; ``model`` is its artifact."""

    def add(tx: Writing) -> None:
        for run, namespace in (("r", "default"), ("theirs", "closed")):
            tx.add(
                Run(id=run, namespace=namespace, experiment_id="e", display_name="r", created_at=1),
                Task(
                    id=task_id(run, "/train"),
                    namespace=namespace,
                    run_id=run,
                    path="/train",
                    name="train",
                    created_at=1,
                ),
            )

    await history.write(add)
    for directory in (OURS, THEIRS):
        (artifacts / directory).mkdir(parents=True)
        (artifacts / directory / "model").write_bytes(b"0123456789")
    await _name(history, "model", artifacts / OURS / "model")
    return artifacts / OURS


async def _name(
    history: History, key: str, uri: Path | str, kind: str = "system.Model", namespace: str = "default"
) -> None:
    run = "r" if namespace == "default" else "theirs"

    def name(tx: Writing) -> None:
        tx.put(
            Artifact(id=key, namespace=namespace, name=key, type=kind, created_at=1, uri=str(uri)),
            ArtifactTask(
                id=key, namespace=namespace, artifact_id=key, task_id=task_id(run, "/train"), run_id=run, type="OUTPUT",
                key=key,
            ),
        )  # fmt: skip

    await history.write(name)


async def _preview(api: httpx2.AsyncClient, key: str, query: str = "") -> tuple[str, str]:
    answer = await api.get(f"artifacts/{key}:preview?{query}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert "allow-same-origin" not in answer.headers["content-security-policy"]
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    return answer.headers["x-preview-kind"], answer.text


async def test_an_artifact_is_downloaded(api: httpx2.AsyncClient, files: Path) -> None:
    answer = await api.get("artifacts/model:download")
    assert (answer.status_code, answer.content) == (200, b"0123456789")
    headers = answer.headers
    assert headers["content-length"] == "10"
    assert headers["accept-ranges"] == "bytes"
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"] == "attachment; filename=\"model\"; filename*=UTF-8''model"
    assert headers["x-content-type-options"] == "nosniff"
    head = await api.head("artifacts/model:download")
    assert (head.status_code, head.content) == (200, b"")
    assert (head.headers["content-length"], head.headers["etag"]) == ("10", headers["etag"])
    again = await api.get("artifacts/model:download", headers={"if-none-match": headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    (files / "model").write_bytes(b"another")
    changed = await api.get("artifacts/model:download", headers={"if-none-match": headers["etag"]})
    assert (changed.status_code, changed.content) == (200, b"another")


async def test_a_part_is_downloaded(api: httpx2.AsyncClient, files: Path) -> None:
    etag = (await api.head("artifacts/model:download")).headers["etag"]
    for asked, status, content, said in (
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
    ):
        answer = await api.get("artifacts/model:download", headers={"range": asked})
        assert (answer.status_code, answer.content, answer.headers["content-range"]) == (status, content, said), asked
    for condition, status in ((etag, 206), ('"other"', 200)):
        answer = await api.get("artifacts/model:download", headers={"range": "bytes=0-1", "if-range": condition})
        assert answer.status_code == status


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("", Answer(200, 0, 10)),
        ("bytes=0-0", Answer(206, 0, 1)),
        ("Bytes= 0-9 ", Answer(206, 0, 10)),
        ("bytes=0-99", Answer(206, 0, 10)),
        ("bytes=9-9", Answer(206, 9, 10)),
        ("bytes=-10", Answer(206, 0, 10)),
        ("bytes=-99", Answer(206, 0, 10)),
        ("bytes=-0", Answer(416)),
        ("bytes=10-10", Answer(416)),
        ("bytes=5-4", Answer(200, 0, 10)),
        ("bytes=-", Answer(200, 0, 10)),
        ("bytes=0-1,3-4", Answer(200, 0, 10)),
        ("lines=0-1", Answer(200, 0, 10)),
        ("bytes=a-b", Answer(200, 0, 10)),
        (f"bytes=0-{'9' * 30}", Answer(200, 0, 10)),
    ],
)
def test_ranges(asked: str, expected: Answer) -> None:
    assert answer_for({"range": asked}, 10, '"e"') == expected


def test_an_empty_file_has_no_parts() -> None:
    assert answer_for({}, 0, "") == Answer(200, 0, 0)
    assert answer_for({"range": "bytes=0-"}, 0, "") == Answer(416)
    assert answer_for({"if-none-match": "*"}, 0, "") == Answer(200, 0, 0)
    assert answer_for({"if-none-match": 'W/"a", "e"'}, 1, '"e"') == Answer(304)


@pytest.mark.parametrize(
    ("name", "plain", "full"),
    [
        ("model.bin", "model.bin", "model.bin"),
        ('a"; filename="evil.exe', "a_filename_evil.exe", "a%3B%20filename%3Devil.exe"),
        ("a\r\nset-cookie: x", "aset-cookie_x", "aset-cookie%3A%20x"),
        ("../../.bashrc", "bashrc", "bashrc"),
        ("Modèle", "Mod_le", "Mod%C3%A8le"),
        ("\u202egpj.exe", "gpj.exe", "gpj.exe"),
        ("日本", "artifact", "%E6%97%A5%E6%9C%AC"),
        ("", "artifact", "artifact"),
        ("..", "artifact", "artifact"),
    ],
)
def test_names_are_safe_to_save_under(name: str, plain: str, full: str) -> None:
    assert disposition(name) == f"attachment; filename=\"{plain}\"; filename*=UTF-8''{full}"
    assert len(disposition("x" * 5000)) < 500


async def test_a_directory_is_downloaded_as_an_archive(api: httpx2.AsyncClient, files: Path, history: History) -> None:
    data = files / "data"
    (data / "sub").mkdir(parents=True)
    (data / "sub" / "a.txt").write_text("text")
    (data / "leak").symlink_to("/etc/passwd")
    await _name(history, "data", data)
    answer = await api.get("artifacts/data:download", headers={"range": "bytes=0-1"})
    assert answer.status_code == 200
    assert 'filename="data.tar.gz"' in answer.headers["content-disposition"]
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        assert [member.name for member in archive if member.isfile()] == ["sub/a.txt"]
        assert "leak" not in archive.getnames()
    size = (data / "leak").lstat().st_size
    assert await _preview(api, "data") == ("directory", f"{size}\tleak\n-\tsub\n")
    assert await _preview(api, "data", "path=sub/a.txt") == ("text", "text")
    assert (await api.get("artifacts/data:download?path=sub/a.txt")).content == b"text"
    for path, status in (("../model", 400), ("leak", 403), ("nothing", 404), ("sub/../../model", 400)):
        assert (await api.get(f"artifacts/data:download?path={path}")).status_code == status, path


@pytest.mark.parametrize(
    ("content", "kind", "text"),
    [
        (b"plain", "text", "plain"),
        (b"", "text", ""),
        ("Zürich".encode(), "text", "Zürich"),
        ("\ufeffwith a mark".encode(), "text", "with a mark"),
        ("wide".encode("utf-16"), "text", "wide"),
        ("Zürich".encode("latin-1"), "text", "Zürich"),
        (b'{"a": 1}', "text", '{"a": 1}'),
        (b"a\x00b", "binary", "3 bytes that are no text: download it\n"),
        (b"PK\x03\x04", "binary", "4 bytes that are no text: download it\n"),
    ],
)
async def test_text_is_shown(
    api: httpx2.AsyncClient, files: Path, history: History, content: bytes, kind: str, text: str
) -> None:
    (files / "shown").write_bytes(content)
    await _name(history, "shown", files / "shown")
    assert await _preview(api, "shown") == (kind, text)


async def test_of_a_large_file_the_beginning_is_shown(
    api: httpx2.AsyncClient, files: Path, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    (files / "large").write_bytes("äb".encode() * 2_000_000)
    await _name(history, "large", files / "large", "system.Markdown")
    assert await _preview(api, "large", "peek=4") == ("markdown", "äb")  # the letter that is cut is left out
    assert len((await _preview(api, "large"))[1].encode()) == artifact_files.USUAL_PEEK - 1
    assert len((await _preview(api, "large", "peek=99999999"))[1].encode()) <= artifact_files.MOST_PEEK
    for peek in ("0", "-1", "x", "9" * 20):
        assert (await api.get(f"artifacts/large:preview?peek={peek}")).status_code == 400


@pytest.mark.parametrize(
    ("content", "kind", "media_type", "shown"),
    [
        (PNG, "system.Artifact", "image/png", "picture"),
        (b"\xff\xd8\xff\xe0", "system.Artifact", "image/jpeg", "picture"),
        (b"RIFF1234WEBPVP8 ", "system.Artifact", "image/webp", "picture"),
        (b'<?xml version="1.0"?><svg onload="alert(1)">', "system.Artifact", "image/svg+xml", "picture"),
        (b"<script>alert(1)</script>", "system.HTML", "text/html; charset=utf-8", "page"),
        (b"<!DOCTYPE html><p>", "system.Artifact", "text/html; charset=utf-8", "page"),
    ],
)
async def test_pictures_and_pages_are_shown_but_cannot_act_as_whoever_looks(
    api: httpx2.AsyncClient, files: Path, history: History, content: bytes, kind: str, media_type: str, shown: str
) -> None:
    (files / "shown").write_bytes(content)
    await _name(history, "shown", files / "shown", kind)
    answer = await api.get("artifacts/shown:preview?peek=30")
    assert (answer.status_code, answer.content) == (200, content)
    assert (answer.headers["content-type"], answer.headers["x-preview-kind"]) == (media_type, shown)
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = answer.headers["content-security-policy"]
    assert "sandbox" in policy
    assert "allow-same-origin" not in policy
    assert ("allow-scripts" in policy) == (shown == "page")
    assert "default-src 'none'" in policy


async def test_a_page_that_is_too_large_is_not_shown(
    api: httpx2.AsyncClient, files: Path, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact_files, "READ_LIMIT", 5)
    await _name(history, "page", files / "model", "system.HTML")
    answer = await api.get("artifacts/page:preview")
    assert (answer.status_code, "download it" in answer.json()["error_message"]) == (413, True)
    answer = await api.get("runs/r/nodes/train/artifacts/page:read")
    assert answer.status_code == 413


async def test_upstreams_way_to_read_an_artifact(api: httpx2.AsyncClient, files: Path, history: History) -> None:
    for node in ("train", task_id("r", "/train"), "%2Ftrain"):
        answer = await api.get(f"runs/r/nodes/{node}/artifacts/model:read")
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"data": base64.b64encode(b"0123456789").decode()}
    await _name(history, "all", files)
    data = base64.b64decode((await api.get("runs/r/nodes/train/artifacts/all:read")).json()["data"])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames() == ["model"]
    for path, status in (
        ("r/nodes/train/artifacts/other", 404), ("r/nodes/test/artifacts/model", 404),
        ("x/nodes/train/artifacts/model", 404), ("theirs/nodes/train/artifacts/model", 403),
        ("r/nodes/train/artifacts/%00", 404),
    ):  # fmt: skip
        answer = await api.get(f"runs/{path}:read")
        assert answer.status_code == status, path
        assert answer.json()["error_message"].startswith("Failed to read the artifact: ")


async def test_what_a_uri_leads_to_elsewhere_is_not_given(
    api: httpx2.AsyncClient, files: Path, history: History, artifacts: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("s")
    (files / "link").symlink_to(tmp_path / "secret")
    (files / "there").symlink_to(artifacts / THEIRS)
    (files / "pipe").parent.mkdir(exist_ok=True)
    os.mkfifo(files / "pipe")
    beside = artifacts.with_name("artifacts-of-others")
    beside.mkdir()
    (beside / "x").write_text("s")
    for uri, status in (
        ("/etc/passwd", 403), ("file:///etc/passwd", 403), (tmp_path / "secret", 403), (files / "link", 403),
        (beside / "x", 403), (artifacts, 403), (artifacts / "p", 403), (artifacts / "p/r", 403),
        (artifacts / THEIRS / "model", 403), (files / "there/model", 403), (f"file://{artifacts / THEIRS}/model", 403),
        (f"{files}/../../../theirs/train/0/model", 400), (files / "pipe", 400),
        ("http://169.254.169.254/latest/meta-data", 403), ("https://example.com/x", 403), ("ftp://h/x", 400),
        ("oci://registry/model", 400), ("relative", 400), ("", 404), (files / "gone", 404),
    ):  # fmt: skip
        await _name(history, "evil", uri)
        for path in ("artifacts/evil:download", "artifacts/evil:preview", "runs/r/nodes/train/artifacts/evil:read"):
            answer = await api.get(path)
            assert answer.status_code == status, (uri, path, answer.text)
            assert answer.json()["error_message"], uri
            assert "text/html" not in answer.headers["content-type"]


@both
async def test_what_a_deleted_run_left_is_its_namespaces(
    api: httpx2.AsyncClient, files: Path, history: History, artifacts: Path
) -> None:
    await _name(history, "theirs", artifacts / THEIRS / "model", namespace="closed")
    await _name(history, "mine", artifacts / THEIRS / "model")
    await history.write(lambda tx: tx.remove(Run, Where("id", "=", "theirs")))
    assert (await api.get("artifacts/mine:download")).status_code == 403
    await history.write(lambda tx: tx.remove(Run, Where("id", "=", "r")))
    assert (await api.get("artifacts/model:download")).status_code == 200  # ours is found in the cache yet


async def test_where_runs_kept_their_files_before_is_guarded_too(
    access: Access, files: Path, history: History, artifacts: Path, tmp_path: Path
) -> None:
    newer = tmp_path / "newer"
    newer.mkdir()
    moved = dataclasses.replace(access, pipeline_root=str(newer), readable_roots=[str(artifacts), str(newer)])
    transport = httpx2.ASGITransport(app=kfp_application(moved, Specifications()))
    await _name(history, "evil", artifacts / THEIRS / "model")
    async with httpx2.AsyncClient(transport=transport, base_url="http://kfp/apis/v2beta1/") as api:
        assert (await api.get("artifacts/evil:download")).status_code == 403
        assert (await api.get("artifacts/model:download")).content == b"0123456789"


async def test_what_is_anothers_is_forbidden(
    api: httpx2.AsyncClient, files: Path, history: History, artifacts: Path
) -> None:
    await _name(history, "theirs", artifacts / THEIRS / "model", namespace="closed")
    for action in ("download", "preview"):
        answer = await api.get(f"artifacts/theirs:{action}")
        assert answer.status_code == 403
        assert "may not readArtifact runs in closed" in answer.json()["error_message"]
        assert (await api.get(f"artifacts/nothing:{action}")).status_code == 404


async def test_a_large_file_is_sent_in_pieces(access: Access, files: Path, history: History) -> None:
    size = 64 * 2**20
    with (files / "large").open("wb") as file:
        file.truncate(size)
    await _name(history, "large", files / "large")
    sizes: list[int] = []

    async def send(message: Any) -> None:
        sizes.append(len(message.get("body", b"")))

    path = "/apis/v2beta1/artifacts/large:download"
    scope: dict[str, Any] = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1", "method": "GET",
        "path": path, "raw_path": path.encode(), "query_string": b"", "headers": [], "scheme": "http",
        "server": ("kfp", 80), "client": None, "root_path": "",
    }  # fmt: skip
    await kfp_application(access, Specifications())(scope, _silence, send)
    assert sum(sizes) == size
    assert max(sizes) <= 2**20


async def _silence() -> Any:
    raise AssertionError("nothing more is asked for")
