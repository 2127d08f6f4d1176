"""A real S3 server: what works, and what it says when something is wrong."""

import io
import os
import tarfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from beamhall.kernel.errors import ApiError, BadRequest, Forbidden, NotFound, ServiceUnavailable, TooLarge
from beamhall.storage import Storage
from tests.s3_server import S3Server


@pytest.fixture
def lab(s3: S3Server, storage: Storage) -> Storage:
    return Storage([s3.options()], shared=storage)


async def test_writes_reads_and_lists(lab: Storage) -> None:
    for name, data in (("a", b"1"), ("d e?/ä+#%.txt", b"22"), ("empty", b"")):
        await lab.write(f"s3://lab/list/{name}", data)
    assert await lab.read("s3://lab/list/d e?/ä+#%.txt", 2) == b"22"
    assert await lab.read("s3://lab/list/empty", 0) == b""
    found = await lab.listing("s3://lab/list")
    assert [(e.name, e.stat.size_bytes, e.stat.is_directory) for e in found] == [
        ("a", 1, False), ("d e?", 0, True), ("empty", 0, False)
    ]  # fmt: skip
    stat = await lab.stat("s3://lab/list/a")
    assert stat is not None
    assert (stat.size_bytes, stat.etag) == (1, "c4ca4238a0b923820dcc509a6f75849b")
    assert stat.modified_at is not None
    with pytest.raises(TooLarge):
        await lab.read("s3://lab/list/a", 0)


@pytest.mark.parametrize(("start", "stop"), [(0, None), (0, 10), (5, 6), (5, 5), (5_000_000, None), (10, 9_000_000)])
async def test_ranges(lab: Storage, start: int, stop: int | None) -> None:
    data = os.urandom(5_000_123)
    await lab.write("s3://lab/range", data)
    assert b"".join([c async for c in lab.chunks("s3://lab/range", start, stop)]) == data[start:stop]


async def test_a_beginning_of_keys_is_a_directory(lab: Storage) -> None:
    await lab.write("s3://lab/dir/one/two", b"1")
    for uri, exists in (
        ("s3://lab/dir", True), ("s3://lab/dir/one", True), ("s3://lab/dir/one/two", True), ("s3://lab", True),
        ("s3://lab/di", False), ("s3://lab/dir/one/t", False), ("s3://lab/dir/one/two/three", False),
    ):  # fmt: skip
        assert await lab.exists(uri) is exists, uri
    with pytest.raises(BadRequest, match="s3://lab/dir is a directory"):
        await lab.read("s3://lab/dir", 10)
    with pytest.raises(BadRequest, match="is a file"):
        await lab.listing("s3://lab/dir/one/two")


async def test_trees_are_kept_fetched_packed_and_removed(lab: Storage, tmp_path: Path) -> None:
    source, data = tmp_path / "source", os.urandom(9_000_000)
    (source / "deep").mkdir(parents=True)
    (source / "deep/large").write_bytes(data)
    (source / "small").write_text("1")
    await lab.keep(source, "s3://lab/tree")
    await lab.keep(source / "small", "s3://lab/tree-not")
    assert await lab.fetch("s3://lab/tree", tmp_path / "back")
    assert (tmp_path / "back/deep/large").read_bytes() == data
    assert await lab.fetch("s3://lab/tree-not", tmp_path / "one")
    assert (tmp_path / "one").read_text() == "1"
    packed = b"".join([c async for c in lab.archive("s3://lab/tree")])
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        assert archive.getnames() == ["deep", "deep/large", "small"]
        assert archive.extractfile("deep/large").read() == data  # type: ignore[union-attr]
    await lab.remove("s3://lab/tree")
    await lab.remove("s3://lab/tree")
    assert not await lab.exists("s3://lab/tree")
    assert await lab.exists("s3://lab/tree-not")
    assert not await lab.fetch("s3://lab/tree", tmp_path / "never")


async def test_keys_that_go_upward_are_not_fetched(lab: Storage, s3: S3Server, tmp_path: Path) -> None:
    s3.client().put_object(Bucket="lab", Key="tricks/../../escaped", Body=b"x")
    s3.client().put_object(Bucket="lab", Key="tricks/good", Body=b"x")
    assert await lab.fetch("s3://lab/tricks", tmp_path / "a/b/c")
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["good"]


async def test_minio_is_the_same_store_by_another_name(s3: S3Server, storage: Storage) -> None:
    lab = Storage([s3.options("minio")], shared=storage)
    await lab.write("minio://lab/by-minio", b"1")
    assert s3.client().get_object(Bucket="lab", Key="by-minio")["Body"].read() == b"1"


async def _refusal(action: Awaitable[Any]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await action
    return caught.value


@pytest.mark.parametrize(
    "action",
    [
        lambda lab, uri: lab.read(uri, 10),
        lambda lab, uri: lab.stat(uri),
        lambda lab, uri: lab.write(uri, b""),
        lambda lab, uri: lab.listing(uri),
        lambda lab, uri: anext(lab.chunks(uri)),
        lambda lab, uri: anext(lab.archive(uri)),
    ],
)
async def test_what_is_wrong_is_said(
    s3: S3Server, storage: Storage, action: Callable[[Storage, str], Awaitable[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    good = Storage([s3.options()], shared=storage)
    missing = await _refusal(action(good, "s3://nobucket/a"))
    assert isinstance(missing, NotFound)
    assert "s3://nobucket/a: there is no bucket 'nobucket'" in missing.message
    for changed in ({"key": "wrong"}, {"secret": "wrong-secret"}):
        wrong = await _refusal(action(Storage([s3.options(**changed)], shared=storage), "s3://lab/a"))
        assert isinstance(wrong, Forbidden)
        assert "s3://lab/a: the store refuses" in wrong.message
        assert "kfp-launcher" in wrong.message
        assert "wrong-secret" not in wrong.message
    none = await _refusal(action(Storage([s3.options(key="", secret="")], shared=storage), "s3://lab/a"))
    assert isinstance(none, Forbidden)
    assert "s3://lab/a: there are no credentials" in none.message
    away = await _refusal(action(Storage([s3.options(endpoint="http://127.0.0.1:9")], shared=storage), "s3://lab/a"))
    assert isinstance(away, ServiceUnavailable)
    assert "http://127.0.0.1:9" in away.message


async def test_the_environment_counts_where_nothing_is_said(
    s3: S3Server, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.secret)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
    await storage.write("s3://lab/by-environment", b"1")
    assert await storage.read("s3://lab/by-environment", 1) == b"1"


async def test_what_is_not_served_is_said(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadRequest, match=r"ftp:// is not served; use s3://"):
        await storage.read("ftp://x/y", 1)
    monkeypatch.setitem(__import__("sys").modules, "gcsfs", None)
    with pytest.raises(BadRequest, match=r"gs:// needs gcsfs: install it by `pip install 'beamhall\[gcs\]'`"):
        await storage.read("gs://x/y", 1)


async def test_a_bucket_is_not_removed(lab: Storage) -> None:
    with pytest.raises(BadRequest, match="is a bucket"):
        await lab.remove("s3://lab")


async def test_memory(storage: Storage) -> None:
    await storage.write("memory://lab/a/b", b"123")
    assert await storage.read("memory://lab/a/b", 3) == b"123"
    assert [e.name for e in await storage.listing("memory://lab/a")] == ["b"]
    assert [c async for c in storage.chunks("memory://lab/a/b", 1)] == [b"23"]
    await storage.remove("memory://lab/a")
    assert not await storage.exists("memory://lab/a/b")
