"""Files of this machine: read, written, listed, packed and removed, and what may not be."""

import contextlib
import io
import os
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest

from beamhall.kernel.errors import BadRequest, Forbidden, NotFound, TooLarge
from beamhall.storage import Storage


async def test_writes_and_reads(storage: Storage, tmp_path: Path) -> None:
    uri = f"{tmp_path}/new/deep/file"
    await storage.write(uri, b"hello")
    assert await storage.read(uri, 5) == b"hello"
    assert await storage.read(f"file://{uri}", 5) == b"hello"
    assert [p.name for p in (tmp_path / "new/deep").iterdir()] == ["file"]
    found = await storage.stat(uri)
    assert found is not None
    assert (found.size_bytes, found.is_directory) == (5, False)
    await storage.write(uri, b"other")
    again = await storage.stat(uri)
    assert again is not None
    assert again.etag != found.etag


async def test_large_files_go_through_threads_and_small_ones_do_not(storage: Storage, tmp_path: Path) -> None:
    await storage.write(f"{tmp_path}/small", b"x" * 1000)
    await storage.read(f"{tmp_path}/small", 1000)
    assert not [t for t in threading.enumerate() if t.name.startswith("storage")]
    large = os.urandom(700_000)
    await storage.write(f"{tmp_path}/large", large)
    assert await storage.read(f"{tmp_path}/large", 700_000) == large
    assert [t for t in threading.enumerate() if t.name.startswith("storage")]


async def test_a_file_over_the_limit_is_refused(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 100)
    (tmp_path / "g").write_bytes(b"x" * 100_000)
    for name, limit in (("f", 99), ("f", 0), ("g", 99_999)):
        with pytest.raises(TooLarge, match="larger than"):
            await storage.read(f"{tmp_path}/{name}", limit)
    assert len(await storage.read(f"{tmp_path}/g", 100_000)) == 100_000


@pytest.mark.parametrize(
    ("start", "stop"), [(0, None), (0, 10), (5, 6), (5, 5), (600_000, None), (10, 900_000), (7, 3)]
)
async def test_ranges(storage: Storage, tmp_path: Path, start: int, stop: int | None) -> None:
    data = os.urandom(600_123)
    (tmp_path / "f").write_bytes(data)
    assert b"".join([c async for c in storage.chunks(f"{tmp_path}/f", start, stop)]) == data[start:stop]


async def test_what_is_not_there(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    for uri in (f"{tmp_path}/none", f"{tmp_path}/f/below"):
        assert not await storage.exists(uri)
        await storage.remove(uri)
        with pytest.raises(NotFound, match=f"there is nothing at {uri}"):
            await storage.read(uri, 1)
    assert await storage.exists(str(tmp_path))
    assert await storage.exists(f"{tmp_path}/f")


async def test_a_directory_is_no_file_and_a_pipe_holds_up_nobody(storage: Storage, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadRequest, match="is no regular file"):
        await storage.read(f"{tmp_path}/pipe", 10)
    with pytest.raises(BadRequest, match="is a directory"):
        await storage.read(str(tmp_path), 10)
    with pytest.raises(BadRequest, match="is a directory"):
        await anext(storage.chunks(str(tmp_path)))
    with pytest.raises(BadRequest, match="File name too long"):
        await storage.read(f"{tmp_path}/{'x' * 300}", 10)


async def test_lists(storage: Storage, tmp_path: Path) -> None:
    for name in ("b", "a", "c/x"):
        await storage.write(f"{tmp_path}/{name}", b"12")
    found = await storage.listing(str(tmp_path))
    assert [(e.name, e.stat.size_bytes, e.stat.is_directory) for e in found] == [
        ("a", 2, False), ("b", 2, False), ("c", 0, True)
    ]  # fmt: skip
    assert [e.name for e in await storage.listing(str(tmp_path), limit=1)] == ["a"]


async def test_removes_trees_but_not_where_links_lead(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").write_text("x")
    await storage.write(f"{tmp_path}/tree/a/b", b"")
    (tmp_path / "tree/link").symlink_to(tmp_path / "kept")
    await storage.remove(f"{tmp_path}/tree")
    assert not (tmp_path / "tree").exists()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    await storage.remove(f"{tmp_path}/link")
    assert (tmp_path / "kept/file").exists()
    with pytest.raises(BadRequest, match="too near to the root"):
        await storage.remove("/beamhall-none")


async def test_a_directory_is_packed_without_what_leaves_it(storage: Storage, tmp_path: Path) -> None:
    tree, data = tmp_path / "tree", os.urandom(300_001)
    await storage.write(f"{tree}/deep/file", data)
    await storage.write(f"{tree}/{'n' * 120}/{'m' * 150}", b"long")
    (tree / "empty").mkdir()
    (tmp_path / "secret").write_text("secret")
    (tree / "out").symlink_to("../secret")
    (tree / "absolute").symlink_to(tmp_path / "secret")
    (tree / "broken").symlink_to("none")
    (tree / "inside").symlink_to("deep/file")
    os.mkfifo(tree / "pipe")
    packed = b"".join([c async for c in storage.archive(str(tree))])
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        names = archive.getnames()
        assert sorted(names) == sorted(["deep", "deep/file", "empty", "inside", "n" * 120, f"{'n' * 120}/{'m' * 150}"])
        archive.extractall(tmp_path / "out", filter="data")
    assert (tmp_path / "out/deep/file").read_bytes() == data == (tmp_path / "out/inside").read_bytes()


def _open_files() -> str:
    found = []
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(str(fd.readlink()))
    return " ".join(found)


async def test_an_archive_that_nobody_takes_to_its_end_leaves_nothing_open(storage: Storage, tmp_path: Path) -> None:
    await storage.write(f"{tmp_path}/tree/a", os.urandom(3_000_000))
    pieces = storage.archive(f"{tmp_path}/tree")
    for _ in range(2):  # the first is the beginning of the format
        await anext(pieces)
    assert f"{tmp_path}/tree/a" in _open_files()
    await pieces.aclose()
    assert f"{tmp_path}/tree/a" not in _open_files()


async def test_only_directories_that_may_be_used_are_used(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "inside-not"
    storage = Storage(local_roots=[inside])
    outside.mkdir()
    (outside / "file").write_text("secret")
    await storage.write(f"{inside}/file", b"fine")
    (inside / "link").symlink_to(outside)
    (inside / "good").symlink_to("file")
    assert await storage.read(f"{inside}/good", 100) == b"fine"
    for action in (
        storage.read(f"{outside}/file", 100),
        storage.read(f"{inside}/link/file", 100),
        storage.stat(f"{inside}/link/file"),
        storage.write(f"{outside}/file", b""),
        storage.write(f"{inside}/link/new", b""),
        storage.listing(f"{inside}/link"),
        storage.remove(f"{inside}/link/file"),
        anext(storage.archive(f"{inside}/link")),
        anext(storage.chunks(f"{inside}/link/file")),
    ):
        with pytest.raises(Forbidden, match="lies outside"):
            await action
    assert (outside / "file").read_text() == "secret"
    assert not (outside / "new").exists()


async def test_copies_trees_both_ways(storage: Storage, tmp_path: Path) -> None:
    await storage.write(f"{tmp_path}/from/a/b", b"1")
    assert await storage.fetch(f"{tmp_path}/from", tmp_path / "to")
    await storage.keep(tmp_path / "to/a/b", f"{tmp_path}/kept/b")
    assert (tmp_path / "kept/b").read_bytes() == b"1"
    assert not await storage.fetch(f"{tmp_path}/none", tmp_path / "never")


def test_local_files_load_nothing_heavy() -> None:
    program = (
        "import sys, beamhall.storage; print([m for m in ('fsspec', 's3fs', 'httpx2', 'botocore') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
