"""Backups: what is in one, who may read it, that nothing in one can do harm, and that a store goes on after it."""

import io
import os
import stat
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from beamhall.app import restore
from beamhall.app.archive import BackupUnusable, Manifest, examine
from beamhall.app.backup import NothingToBackUp, make_backup
from beamhall.app.datadir import DataDirectoryInUse, claimed
from beamhall.app.restore import RestoreRefused, finish_restore, restore_backup
from beamhall.embedded.store.store import Store
from beamhall.history.history import History, sqlite_url
from beamhall.history.records import Experiment
from beamhall.kernel.errors import Expired
from tests.programs.store_of_format_1 import write as write_format_1

KEPT = ("token", "service-account.key", "users.yaml", "images.yaml", "tls/ca.crt")
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def thing(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "a"}}


async def names_in(data: Path) -> list[str]:
    store = await Store.open(data / "objects.db")
    found = [obj["metadata"]["name"] for obj in store.list("things").items]
    await store.close()
    return found


async def filled(data: Path) -> int:
    """Make a data directory with a bit of everything; give the store's revision."""
    (data / "tls").mkdir(parents=True)
    (data / "tls" / "ca.crt").write_text("authority")
    (data / "token").write_text("secret\n")
    (data / "images.yaml").write_text("images: []\n")
    (data / "users.yaml").write_text("users: []\n")
    (data / "service-account.key").write_text("key")
    volume = data / "volumes" / "lab" / "claim"
    (volume / "deep").mkdir(parents=True)
    (volume / "deep" / "file").write_text("content")
    (volume / "run").write_text("#!/bin/sh")
    (volume / "run").chmod(0o755)
    (volume / "link").symlink_to("/etc/passwd")
    (volume / "empty").mkdir(mode=0o711)
    os.mkfifo(volume / "pipe")
    (data / "environments").mkdir()
    (data / "environments" / "large").write_text("can be made anew")
    store = await Store.open(data / "objects.db")
    for name in ("x", "y"):
        await store.create("things", thing(name))
    revision = store.revision
    await store.close()
    return revision


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    await filled(tmp_path / "data")
    return tmp_path / "data"


async def test_a_backup_has_what_cannot_be_made_anew(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar.gz"
    made = make_backup(data, file, NOW, with_volumes=False)
    assert examine(file) == made
    assert (made.manifest.made, made.manifest.has_volumes) == ("2026-03-04T05:06:07Z", False)
    with tarfile.open(file) as archive:
        assert archive.getnames() == ["manifest.json", "objects.db", *KEPT]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.tar.gz", "data"]
    assert not [path for path in data.iterdir() if path.name.startswith(".")]


async def test_a_restored_directory_is_as_the_first(data: Path, tmp_path: Path) -> None:
    file, other = tmp_path / "backup.tar.gz", tmp_path / "other"
    make_backup(data, file, NOW, with_volumes=True)
    done = restore_backup(file, other, NOW, force=False)
    assert done.replaced is None
    assert await names_in(other) == ["x", "y"]
    for name in (*KEPT, "volumes/lab/claim/deep/file"):
        assert (other / name).read_text() == (data / name).read_text()
    volume = other / "volumes" / "lab" / "claim"
    assert stat.S_IMODE((volume / "run").stat().st_mode) == 0o755
    assert stat.S_IMODE((volume / "empty").stat().st_mode) == 0o711
    assert (volume / "link").readlink() == Path("/etc/passwd")
    assert not (volume / "pipe").exists()
    for name in ("token", "objects.db", "tls/ca.crt"):
        assert stat.S_IMODE((other / name).stat().st_mode) == 0o600, name
    assert not (other / "environments").exists()


async def test_runs_are_in_it_while_they_are_written_and_artifacts_on_demand(data: Path, tmp_path: Path) -> None:
    history = History(sqlite_url(data / "history.db"))
    await history.write(lambda tx: tx.add(experiment("kept")))
    (data / "artifacts" / "digits").mkdir(parents=True)
    (data / "artifacts" / "digits" / "model").write_text("weights")
    make_backup(data, tmp_path / "small.tar.gz", NOW, with_volumes=False)
    make_backup(data, tmp_path / "large.tar.gz", NOW, with_volumes=True)
    await history.write(lambda tx: tx.add(experiment("lost")))
    restore_backup(tmp_path / "small.tar.gz", tmp_path / "other", NOW, force=False)
    assert await experiments_in(tmp_path / "other") == ["kept"]
    assert not (tmp_path / "other" / "artifacts").exists()
    done = restore_backup(tmp_path / "large.tar.gz", data, NOW, force=True)  # the history was not closed: it has a log
    await history.close()
    assert await experiments_in(data) == ["kept"]
    assert (data / "artifacts" / "digits" / "model").read_text() == "weights"
    assert done.replaced is not None
    assert (done.replaced / "history.db-wal").exists()


async def experiments_in(data: Path) -> list[str]:
    history = History(sqlite_url(data / "history.db"))
    found = [each.id for each in await history.read(lambda tx: tx.find(Experiment))]
    await history.close()
    return found


def experiment(name: str) -> Experiment:
    return Experiment(id=name, namespace="a", display_name=name, created_at=1)


async def test_a_history_that_cannot_be_copied_makes_no_backup(data: Path, tmp_path: Path) -> None:
    (data / "history.db").write_bytes(b"no database, but as long as the header of one" * 100)
    with pytest.raises(OSError, match=r"history.db cannot be copied"):
        make_backup(data, tmp_path / "backup.tar.gz", NOW, with_volumes=False)
    assert not (tmp_path / "backup.tar.gz").exists()


async def test_revisions_of_an_earlier_life_are_expired_for_ever(data: Path, tmp_path: Path) -> None:
    """Watchers of changes that the restore undid must list afresh, also once the counter would have passed theirs."""
    file = tmp_path / "backup.tar.gz"
    backed_up = make_backup(data, file, NOW, with_volumes=False).manifest.revision
    store = await Store.open(data / "objects.db")
    for number in range(20):
        await store.create("things", thing(f"lost{number}"))
    lost = store.revision
    await store.close()
    done = restore_backup(file, data, NOW, force=True)
    assert await names_in(data) == ["x", "y"]
    store = await Store.open(data / "objects.db")
    assert store.revision == done.revision == int(NOW.timestamp() * 1e6)
    for number in range(30):
        await store.create("things", thing(f"new{number}"))
    for since in (backed_up - 1, backed_up, lost - 5, lost, lost + 5):
        with pytest.raises(Expired):
            store.watch("things", since=since)
        with pytest.raises(Expired):
            store.list("things", at_revision=since)
    with store.watch("things", since=done.revision) as changes:
        assert len(await changes.batch()) == 30
    await store.close()


async def test_two_restores_of_one_backup_are_two_lives(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar.gz"
    make_backup(data, file, NOW, with_volumes=False)
    first = restore_backup(file, tmp_path / "one", NOW, force=False)
    second = restore_backup(file, tmp_path / "two", NOW + timedelta(seconds=1), force=False)
    assert second.revision >= first.revision + 1_000_000
    # a clock that was set back does not make the counter go back
    third = restore_backup(file, tmp_path / "two", NOW - timedelta(days=900), force=True)
    assert third.revision == second.revision + 1


async def test_what_is_replaced_is_kept(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar.gz"
    make_backup(data, file, NOW, with_volumes=False)
    (data / "token").write_text("another\n")
    (data / "config.yaml").write_text("port: 9\n")
    done = restore_backup(file, data, NOW, force=True)
    assert done.replaced is not None
    assert (done.replaced / "token").read_text() == "another\n"
    assert (done.replaced / "objects.db").exists()
    assert (data / "token").read_text() == "secret\n"
    assert (data / "config.yaml").read_text() == "port: 9\n"
    assert (data / "volumes" / "lab" / "claim" / "deep" / "file").exists()


async def test_data_is_not_replaced_unasked(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar.gz"
    make_backup(data, file, NOW, with_volumes=False)
    with pytest.raises(RestoreRefused, match=r"has data \(volumes, tls, token, .*, objects.db\).*--force"):
        restore_backup(file, data, NOW, force=False)
    with claimed(data), pytest.raises(DataDirectoryInUse):
        restore_backup(file, data, NOW, force=True)


@pytest.mark.parametrize("after", range(8))
async def test_a_restore_that_was_interrupted_is_finished(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Wherever between its renames it ended, the next start ends at the same state, and never at an empty one."""
    file = tmp_path / "backup.tar.gz"
    make_backup(data, file, NOW, with_volumes=True)
    store = await Store.open(data / "objects.db")
    await store.create("things", thing("late"))
    await store.close()
    (data / "objects.db-wal").write_bytes(b"of the old file")
    calls = 0
    put_aside = restore._put_aside

    def fail_later(path: Path, aside: Path) -> None:
        nonlocal calls
        calls += 1
        if calls > after:
            raise KeyboardInterrupt
        put_aside(path, aside)

    with monkeypatch.context() as broken:
        broken.setattr(restore, "_put_aside", fail_later)
        with pytest.raises(KeyboardInterrupt):
            restore_backup(file, data, NOW, force=True)
    finish_restore(data, NOW + timedelta(minutes=1))
    assert finish_restore(data, NOW + timedelta(minutes=2)) is None
    assert await names_in(data) == ["x", "y"]
    assert (data / "token").read_text() == "secret\n"


async def test_a_store_of_an_older_format_is_brought_up_to_date(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    write_format_1(str(old / "objects.db"), 5)
    make_backup(old, tmp_path / "backup.tar.gz", NOW, with_volumes=False)
    restore_backup(tmp_path / "backup.tar.gz", tmp_path / "new", NOW, force=False)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["lock", "objects.db"]
    store = await Store.open(tmp_path / "new" / "objects.db")
    assert store.count("pods") == 5
    await store.close()


async def test_the_copy_of_a_backup_that_was_killed_is_removed(data: Path, tmp_path: Path) -> None:
    of_nobody, of_one_that_runs = data / ".backup-4194999-x", data / f".backup-{os.getpid()}-y"
    for path in (of_nobody, of_one_that_runs):
        path.mkdir()
        (path / "objects.db").touch()
    make_backup(data, tmp_path / "backup.tar.gz", NOW, with_volumes=False)
    assert [path.exists() for path in (of_nobody, of_one_that_runs)] == [False, True]


def test_nothing_to_back_up_is_said(tmp_path: Path) -> None:
    with pytest.raises(NothingToBackUp, match="no data directory"):
        make_backup(tmp_path / "none", tmp_path / "b", NOW, with_volumes=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingToBackUp, match=r"no objects.db"):
        make_backup(tmp_path / "empty", tmp_path / "b", NOW, with_volumes=False)
    assert not (tmp_path / "b").exists()


# Archives that are no backups

MANIFEST = Manifest(
    format=2, beamhall="1", made="2026-01-01T00:00:00Z", store_format=2, revision=1, has_volumes=True
)  # fmt: skip
Add = Callable[[tarfile.TarFile], None]


def file_member(name: str, content: bytes = b"x") -> Add:
    def add(archive: tarfile.TarFile) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))

    return add


def other_member(name: str, kind: bytes, to: str = "") -> Add:
    def add(archive: tarfile.TarFile) -> None:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, to
        archive.addfile(member)

    return add


def archive_of(file: Path, *members: Add, manifest: bytes | None = None) -> Path:
    with tarfile.open(file, "w:gz") as archive:
        file_member("manifest.json", manifest or msgspec.json.encode(MANIFEST))(archive)
        file_member("objects.db")(archive)
        for add in members:
            add(archive)
    return file


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (file_member("../token"), "outside"),
        (file_member("/etc/passwd"), "outside"),
        (file_member("volumes/../../x"), "outside"),
        (file_member("./token"), "outside"),
        (file_member("service.json"), "nothing that a backup has"),
        (file_member("tls/a/b"), "nothing that a backup has"),
        (file_member("objects.db-wal"), "nothing that a backup has"),
        (other_member("token", tarfile.SYMTYPE, "/etc/shadow"), "nothing that a backup has"),
        (other_member("tls/ca.crt", tarfile.LNKTYPE, "token"), "nothing that a backup has"),
        (other_member("volumes", tarfile.SYMTYPE, "/etc"), "nothing that a backup has"),
        (other_member("volumes/a/dev", tarfile.CHRTYPE), "nothing that a backup has"),
        (file_member("token", b"x" * (1024 * 1024 + 1)), "at most 1048576"),
        (file_member("objects.db"), "twice"),
    ],
)
def test_a_threatening_member_is_refused(tmp_path: Path, member: Add, said: str) -> None:
    file = archive_of(tmp_path / "b", member)
    with pytest.raises(BackupUnusable, match=said):
        restore_backup(file, tmp_path / "data", NOW, force=True)
    assert not (tmp_path / "data").exists()


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    file = archive_of(
        tmp_path / "b", other_member("volumes/a", tarfile.SYMTYPE, str(outside)), file_member("volumes/a/x")
    )
    with pytest.raises(BackupUnusable):
        restore_backup(file, tmp_path / "data", NOW, force=True)
    assert list(outside.iterdir()) == []


def test_other_files_are_refused(tmp_path: Path) -> None:
    cases = {
        "text": b"no archive",
        "empty": b"",
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BackupUnusable):
            examine(tmp_path / name)
    with tarfile.open(tmp_path / "other.tar.gz", "w:gz") as archive:
        file_member("token")(archive)
    with pytest.raises(BackupUnusable, match=r"does not begin with manifest.json"):
        examine(tmp_path / "other.tar.gz")
    newer = msgspec.json.encode(msgspec.structs.replace(MANIFEST, format=3))
    with pytest.raises(BackupUnusable, match="form 3"):
        examine(archive_of(tmp_path / "newer", manifest=newer))
    with pytest.raises(BackupUnusable, match=r"manifest.json that cannot be read"):
        examine(archive_of(tmp_path / "unclear", manifest=b"{}"))


async def test_a_damaged_backup_is_refused_and_changes_nothing(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar.gz"
    make_backup(data, file, NOW, with_volumes=True)
    content = file.read_bytes()
    for damaged in (content[:-20], content[: len(content) // 2], content[:500] + b"\0\0\0" + content[503:]):
        file.write_bytes(damaged)
        with pytest.raises(BackupUnusable):
            restore_backup(file, data, NOW, force=True)
    assert await names_in(data) == ["x", "y"]


def test_a_backup_whose_store_is_damaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackupUnusable, match=r"objects.db in the backup cannot be used"):
        restore_backup(archive_of(tmp_path / "b"), tmp_path / "data", NOW, force=True)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["lock"]
