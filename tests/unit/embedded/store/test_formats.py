"""Files of an older format are brought up to date or left as they were; newer and damaged ones are refused."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from beamhall.embedded.store import formats
from beamhall.embedded.store.formats import inspect, prepare_file
from beamhall.embedded.store.store import Store
from beamhall.embedded.store.tables import FORMAT, StoreUnusable
from tests.programs.store_of_format_1 import write


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "objects.db"
    write(str(path), 50)
    return path


async def test_a_store_of_format_1_goes_on(old: Path) -> None:
    store = await Store.open(old)
    assert store.revision == 52
    assert [obj["spec"] for obj in store.list("pods").items][:2] == ["changed", 1]
    assert store.count("pods") == 50
    assert store.owned_by("owner") == [("pods", "a", "x0")]
    with store.watch("pods", since=51) as changes:
        assert [(change.type, change.revision) for change in await changes.batch()] == [("MODIFIED", 52)]
    await store.create("pods", {"metadata": {"name": "new", "namespace": "a"}})
    await store.close()
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (FORMAT,)
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)


async def test_the_old_file_is_kept_as_it_was(old: Path) -> None:
    before = old.read_bytes()
    await (await Store.open(old)).close()
    assert old.with_name("objects.db.format-1").read_bytes() == before
    assert inspect(old.with_name("objects.db.format-1")).format == 1


@pytest.mark.parametrize("at", ["copy_to", "_bring_up_to_date", "_sync", "_require_alone"])
def test_one_that_fails_leaves_the_old_file(old: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    before = old.read_bytes()
    with monkeypatch.context() as broken:
        broken.setattr(formats, at, fail)
        with pytest.raises(StoreUnusable, match=r"from format 1 to format 2 .the disk is full.; it is as it was"):
            prepare_file(old)
    assert old.read_bytes() == before
    assert [path.name for path in old.parent.iterdir()] == ["objects.db"]
    prepare_file(old)
    assert inspect(old).format == FORMAT


def test_a_step_that_fails_leaves_the_old_file(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM log")
        raise sqlite3.OperationalError("no such column")

    before = old.read_bytes()
    monkeypatch.setattr(formats, "STEPS", {1: fail})
    with pytest.raises(StoreUnusable, match="no such column"):
        prepare_file(old)
    assert old.read_bytes() == before


def test_another_program_that_has_it_open_is_waited_out(old: Path) -> None:
    with closing(sqlite3.connect(old)) as other:
        other.execute("INSERT INTO log VALUES (99, 'pods', 'a', 'late', 0, '{}')")
        other.commit()
        with pytest.raises(StoreUnusable, match="another program has"):
            prepare_file(old)
    prepare_file(old)
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("SELECT max(revision) FROM log").fetchone() == (99,)


def test_a_newer_format_is_refused_with_what_can_be_done(tmp_path: Path) -> None:
    path = tmp_path / "objects.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version={FORMAT + 1}")
    before = path.read_bytes()
    with pytest.raises(StoreUnusable, match=rf"format {FORMAT + 1}, of a newer Beamhall.*objects.db.format-{FORMAT}"):
        prepare_file(path)
    assert path.read_bytes() == before


async def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "objects.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE log (something TEXT)")
    with pytest.raises(StoreUnusable, match="it has format 0"):
        await Store.open(path)


async def test_damage_in_the_middle_is_found_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "objects.db"
    store = await Store.open(path)
    for number in range(300):
        await store.create("pods", {"metadata": {"name": f"p{number}", "namespace": "a"}, "spec": "x" * 500})
    await store.close()
    assert inspect(path).problems == ()
    content = bytearray(path.read_bytes())
    content[5 * 4096 : 25 * 4096] = b"\xa5" * 20 * 4096
    path.write_bytes(content)
    with pytest.raises(StoreUnusable, match="beamhall restore FILE --force"):
        await Store.open(path)
    with pytest.raises(StoreUnusable, match="restore"):
        prepare_file(path)
