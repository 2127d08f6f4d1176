"""Opening the database: its URL, how connections to it are set up, and bringing its tables up to date.

A new database gets its tables at once; an older one is migrated by Alembic, which is loaded for nothing else. Read
``migrations`` for what changed when, and ``writer`` for who writes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, make_url, select, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from beamhall.history.tables import REVISIONS, metadata, version_table
from beamhall.kernel.errors import UserError

READERS = 4
"""Threads that read, and their connections."""

_LOCK = 0x6265616D68616C6C
"""The advisory lock in PostgreSQL that the one writer holds ("beamhall")."""

_LOCK_WAIT = "2s"
"""Enough for PostgreSQL to end the session of a service that is gone, which takes it a moment."""

_BUSY_S = 10
_WAL_KEPT_BYTES = 16 * 1024 * 1024


class HistoryUnusable(UserError):
    """The database cannot be opened; the message says why and what to do."""


def writing_engine(url: str) -> Engine:
    """Make the engine of the one writer: one connection, each commit on disk before it is acknowledged.

    Raises:
        HistoryUnusable: The URL is none of a database that is served, or the driver for it is not installed.
    """
    engine = _engine(_checked(url), 1)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "begin", _begin_immediate)
    else:
        event.listen(engine, "connect", _lock)
    return engine


def reading_engine(url: str) -> Engine:
    """Make the engine of the readers; what one transaction reads is of one moment."""
    engine = _engine(_checked(url), READERS)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "begin", _begin)
    return engine.execution_options(isolation_level="REPEATABLE READ") if engine.dialect.name != "sqlite" else engine


def bring_up_to_date(engine: Engine) -> None:
    """Make the tables, or migrate those of an older Beamhall, in one transaction.

    Raises:
        HistoryUnusable: It cannot be reached, is damaged, is no history, or was written by a newer Beamhall.
    """
    where = engine.url.render_as_string(hide_password=True)
    try:
        with engine.begin() as connection:
            revision = _revision(connection)
            if revision is None:
                _make_tables(connection, where)
            elif revision not in REVISIONS:
                raise HistoryUnusable(
                    f"the history in {where} was written by a newer Beamhall (its tables have revision {revision}, and"
                    f" this one knows revisions up to {REVISIONS[-1]}); start the newer Beamhall, or name another"
                    " database: a history is never taken back to an older form"
                )
            elif revision != REVISIONS[-1]:
                migrate(connection)
    except SQLAlchemyError as err:
        raise HistoryUnusable(f"the history in {where} cannot be opened: {reason(err)}") from err


def migrate(connection: Connection, **settings: str) -> None:
    """Bring the tables of an older revision to the newest, in the transaction that the connection is in."""
    # Alembic and its templates cost 11 MiB, which only a migration needs to pay.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    options = {"script_location": str(Path(__file__).parent / "migrations"), **settings}
    for name, value in options.items():
        config.set_main_option(name, value.replace("%", "%%"))
    command.upgrade(config, "head")


def reason(err: BaseException) -> str:
    """Give what the database said, without the statement that it said it about."""
    return str(getattr(err, "orig", None) or err).strip().partition("\n")[0]


def _checked(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise HistoryUnusable(
            "the address of the history database cannot be read; write sqlite:///PATH or"
            " postgresql://USER:PASSWORD@HOST/DATABASE"
        ) from None
    if parsed.drivername in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "postgresql+psycopg"):
        raise HistoryUnusable(f"the history cannot be kept in {parsed.drivername}: SQLite and PostgreSQL are served")
    return parsed


def _engine(url: URL, connections: int) -> Engine:
    options: dict[str, Any] = {"pool_size": connections, "max_overflow": 0}
    if url.drivername == "sqlite":
        options["connect_args"] = {"timeout": _BUSY_S, "isolation_level": None, "check_same_thread": False}
    else:
        options["pool_pre_ping"] = True
    try:
        engine = create_engine(url, json_serializer=_encode, json_deserializer=msgspec.json.decode, **options)
    except (NoSuchModuleError, ImportError) as err:
        raise HistoryUnusable(
            f"the driver for PostgreSQL is not installed ({err}); install it with `pip install beamhall[postgresql]`"
        ) from err
    if url.drivername == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
    return engine


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()


# SQLite's driver would begin transactions too late, and not for tables that are made: they are begun by hand.
# Source: SQLAlchemy, "SQLite: Serializable isolation / Savepoints / Transactional DDL".
def _set_up_sqlite(connection: Any, _: object) -> None:
    for pragma in (
        "journal_mode=WAL",
        f"journal_size_limit={_WAL_KEPT_BYTES}",
        "synchronous=FULL",
        "foreign_keys=ON",
        "cache_size=-8192",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _lock(connection: Any, _: object) -> None:
    """Hold the database for this service alone; the lock goes with the connection."""
    from psycopg.errors import LockNotAvailable  # noqa: PLC0415  (the driver is an extra)

    try:
        connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'")
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
    except LockNotAvailable:
        connection.close()
        raise HistoryUnusable(
            "the history database is in use by another Beamhall; stop that one, or give this one a database of its own"
        ) from None
    connection.commit()


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(version_table.name):
        return None
    return connection.execute(select(version_table.c.version_num)).scalar()


def _make_tables(connection: Connection, where: str) -> None:
    if connection.dialect.name == "postgresql":
        encoding = connection.execute(text("SHOW server_encoding")).scalar()
        if encoding != "UTF8":
            raise HistoryUnusable(f"the database {where} has the encoding {encoding}; make one with ENCODING 'UTF8'")
    taken: Mapping[str, Any] = {
        name: metadata.tables[name] for name in inspect(connection).get_table_names() if name in metadata.tables
    }
    if taken:
        raise HistoryUnusable(
            f"{where} has tables of another program ({', '.join(sorted(taken))}); give Beamhall a database of its own"
        )
    metadata.create_all(connection)
    version_table.create(connection)
    connection.execute(insert(version_table).values(version_num=REVISIONS[-1]))
