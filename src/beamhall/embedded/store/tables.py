"""The tables, how a connection to them is opened, and how objects become their bytes.

``log`` is append-only and its key is the resourceVersion; ``current`` names the newest row of each living object;
``owners`` finds dependants. Values lie in ``log`` alone, so a write stores its object once. Read ``writer`` next;
``formats`` brings older files up to date.

Source: the shape of the log follows kine's (docs/flow.md), without its gap filling: there is one writing process here.
"""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from beamhall.kernel.errors import UserError
from beamhall.kernel.objects import Object, metadata_of

FORMAT = 2
"""Version of these tables and of the file around them, kept in the file as ``user_version``; see ``formats``."""

WAL_KEPT_BYTES = 16 * 1024 * 1024
"""The write-ahead log is cut to this size when it begins anew."""

_SCHEMA = """
CREATE TABLE log (
  revision  INTEGER PRIMARY KEY,
  resource  TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name      TEXT NOT NULL,
  previous  INTEGER NOT NULL,  -- the revision that this one supersedes; 0: the object was created
  value     BLOB               -- the object without resourceVersion; NULL: deleted, the last value is that of previous
);
CREATE INDEX log_by_resource ON log (resource, revision);
CREATE TABLE current (
  resource  TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name      TEXT NOT NULL,
  revision  INTEGER NOT NULL,
  PRIMARY KEY (resource, namespace, name)
) WITHOUT ROWID;
CREATE TABLE owners (
  uid       TEXT NOT NULL,
  resource  TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name      TEXT NOT NULL,
  PRIMARY KEY (uid, resource, namespace, name)
) WITHOUT ROWID;
-- The state at this revision and every change after it are kept; older changes may be gone. Starts at 1, as etcd's
-- counter does, because clients give the revision 0 a meaning of its own.
CREATE TABLE compacted (revision INTEGER NOT NULL);
INSERT INTO compacted VALUES (1);
"""

_FIRST = ("kind", "apiVersion", "metadata")
_METADATA = b'"metadata":{'
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class StoreUnusable(UserError):
    """The file cannot be opened as a store; the message says why and what to do."""


def connect(path: Path, *, is_writer: bool = False) -> sqlite3.Connection:
    """Open a connection in autocommit mode; transactions are begun by hand.

    Args:
        path: The database file.
        is_writer: Make the tables if they are not there yet, and sync every commit to disk.

    Raises:
        StoreUnusable: The file is no database, is damaged, or has another format than ``FORMAT``.
    """
    try:
        connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # of a new file; it must come before everything else
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA journal_size_limit={WAL_KEPT_BYTES}")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA cache_size=-16384")
        if is_writer:
            _prepare(connection, path)
    except sqlite3.DatabaseError as err:
        raise unusable(path, str(err)) from err
    return connection


def unusable(path: Path, why: str) -> StoreUnusable:
    """Make the error for a file that is no store, or a damaged one."""
    return StoreUnusable(
        f"{path} cannot be opened as Beamhall's object store ({why}); put a backup in its place with"
        f" `beamhall restore FILE --force --data {path.parent}`, or move it away to start empty"
    )


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if version == 0 and not tables:
        connection.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version={FORMAT};COMMIT;")
    elif version != FORMAT:
        raise unusable(path, f"it has format {version}, and this Beamhall writes format {FORMAT}")


def encode(obj: Mapping[str, Any]) -> bytes:
    """Write an object as it lies in the log: JSON without ``metadata.resourceVersion``, metadata first (``whole``)."""
    metadata = dict(metadata_of(obj))
    metadata.pop("resourceVersion", None)
    first = {field: obj[field] for field in ("kind", "apiVersion") if field in obj}
    return _encode({**first, "metadata": metadata, **{key: obj[key] for key in obj if key not in _FIRST}})


def decode(value: bytes, revision: int) -> Object:
    """Read an object from the log; it is fresh and carries its revision as ``metadata.resourceVersion``."""
    obj = _decode(value)
    obj["metadata"]["resourceVersion"] = str(revision)
    return obj


def whole(value: bytes, revision: int) -> bytes:
    """Give an object from the log as JSON with its revision, without reading it where that can be.

    It can be where nothing but plain fields comes before the metadata: the name in quotes and a brace then begin the
    object's own, since a quote inside of a string has a backslash before it.
    """
    at = value.find(_METADATA)
    if at < 0 or b"{" in value[1:at]:  # written by an earlier Beamhall, with the fields in another order
        return _encode(decode(value, revision))
    at += len(_METADATA)
    separator = b"" if value[at : at + 1] == b"}" else b","
    return b'%b"resourceVersion":"%d"%b%b' % (value[:at], revision, separator, value[at:])


def encode_whole(obj: Mapping[str, Any]) -> bytes:
    """Write an object as JSON with everything it has."""
    return _encode(obj)


def is_same(one: bytes, other: bytes) -> bool:
    """Tell whether two encoded objects mean the same, whatever the order of their fields."""
    return one == other or (len(one) == len(other) and _decode(one) == _decode(other))


def owners_in(value: bytes) -> frozenset[str]:
    """Give the uids of the owner references in an encoded object."""
    if b'"ownerReferences"' not in value:  # most writes have none, or keep them: do not decode for nothing
        return frozenset()
    references = cast("list[dict[str, Any]]", _decode(value)["metadata"].get("ownerReferences") or [])
    return frozenset(str(reference.get("uid") or "") for reference in references) - {""}
