import asyncio
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, inspect, text

from beamhall.history import database
from beamhall.history.database import HistoryUnusable, bring_up_to_date, migrate, writing_engine
from beamhall.history.history import History, sqlite_url
from beamhall.history.records import Experiment
from beamhall.history.tables import REVISIONS, metadata
from tests.postgresql import Server

LATER = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{head}"

def upgrade():
    with op.batch_alter_table("experiments") as table:
        table.add_column(sa.Column("owner", sa.Text(), nullable=False, server_default="nobody"))
    {more}
"""


def _later(tmp_path: Path, more: str = "pass") -> str:
    """Make a revision after the newest; give Alembic's list of places of revisions."""
    (tmp_path / "later").mkdir()
    (tmp_path / "later/v9999.py").write_text(LATER.format(head=REVISIONS[-1], more=more))
    ours = Path(database.__file__).parent / "migrations/versions"
    return f"{ours}{':'}{tmp_path / 'later'}"


def _migrate(engine: Engine, places: str) -> None:
    with engine.begin() as connection:
        migrate(connection, version_locations=places, path_separator="os")


def _revision(engine: Engine) -> str:
    with engine.begin() as connection:
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


def test_the_migrations_make_the_tables_that_a_new_database_gets(url: str) -> None:
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415
    from alembic.migration import MigrationContext  # noqa: PLC0415

    engine = writing_engine(url)
    with engine.begin() as connection:
        migrate(connection)
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        names = {key["name"] for table in metadata.tables for key in inspect(connection).get_unique_constraints(table)}
    assert _revision(engine) == REVISIONS[-1]
    assert names == {
        constraint.name for table in metadata.tables.values() for constraint in table.constraints
        if type(constraint).__name__ == "UniqueConstraint"
    }  # fmt: skip
    bring_up_to_date(engine)
    engine.dispose()


def test_every_revision_is_named_once_and_in_order() -> None:
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    found = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(found)) == REVISIONS


async def test_an_older_database_is_migrated_with_what_it_holds(url: str, tmp_path: Path) -> None:
    history = History(url)
    await history.write(lambda tx: tx.add(Experiment(id="e", namespace="a", display_name="mine", created_at=1)))
    await history.close()
    engine = writing_engine(url)
    _migrate(engine, _later(tmp_path))
    with engine.begin() as connection:
        rows = connection.execute(text("SELECT display_name, owner FROM experiments")).all()
    assert [tuple(row) for row in rows] == [("mine", "nobody")]
    assert _revision(engine) == "9999"
    engine.dispose()


def test_opening_an_older_database_migrates_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = writing_engine(url)
    bring_up_to_date(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'older'"))
    asked: list[bool] = []
    monkeypatch.setattr(database, "REVISIONS", ("older", *REVISIONS))
    monkeypatch.setattr(database, "migrate", lambda connection: asked.append(connection.in_transaction()))
    bring_up_to_date(engine)
    assert asked == [True]
    engine.dispose()


def test_a_migration_that_fails_leaves_the_database_as_it_was(url: str, tmp_path: Path) -> None:
    engine = writing_engine(url)
    bring_up_to_date(engine)
    places = _later(tmp_path, "raise RuntimeError('half done')")
    with pytest.raises(RuntimeError, match="half done"):
        _migrate(engine, places)
    assert _revision(engine) == REVISIONS[-1]
    with engine.begin() as connection:
        assert "owner" not in {column["name"] for column in inspect(connection).get_columns("experiments")}
    engine.dispose()


async def test_a_database_of_a_newer_beamhall_is_refused_and_left_alone(url: str, tmp_path: Path) -> None:
    engine = writing_engine(url)
    bring_up_to_date(engine)
    _migrate(engine, _later(tmp_path))
    engine.dispose()
    history = History(url)
    with pytest.raises(HistoryUnusable, match=r"newer Beamhall \(its tables have revision 9999"):
        await history.read(lambda tx: tx.count(Experiment))
    await history.close()
    engine = writing_engine(url)
    assert _revision(engine) == "9999"
    engine.dispose()


async def test_what_is_no_history_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database at all, but it is long enough to look like one " * 20)
    for url, part in (
        (sqlite_url(tmp_path / "text.db"), "not a database"),
        (sqlite_url(tmp_path / "none/history.db"), "unable to open"),
        ("mysql://x@y/z", "SQLite and PostgreSQL are served"),
        ("nonsense", "write sqlite:///PATH"),
        ("postgresql://beamhall:secret@127.0.0.1:1/x", "cannot be opened"),
    ):
        history = History(url)
        with pytest.raises(HistoryUnusable, match=part) as caught:
            await history.open()
        assert "secret" not in str(caught.value)
        await history.close()


def test_tables_of_another_program_are_left_alone(url: str) -> None:
    engine = writing_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE runs (theirs INTEGER)"))
    with pytest.raises(HistoryUnusable, match=r"tables of another program \(runs\)"):
        bring_up_to_date(engine)
    engine.dispose()


async def test_a_database_has_one_beamhall(postgresql: Server) -> None:
    url = postgresql.database()
    first, second = History(url), History(url)
    await first.open()
    with pytest.raises(HistoryUnusable, match="in use by another Beamhall"):
        await second.open()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(second.open())
        with psycopg.connect(url, autocommit=True) as connection:
            while not connection.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
                await asyncio.sleep(0.01)
        await first.close()  # it goes on: PostgreSQL ends sessions a moment later than their clients
    await second.close()


async def test_a_database_that_cannot_hold_all_letters_is_refused(postgresql: Server) -> None:
    history = History(postgresql.database("ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"))
    with pytest.raises(HistoryUnusable, match="ENCODING 'UTF8'"):
        await history.open()
    await history.close()
