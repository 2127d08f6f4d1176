"""Writes a store as the first Beamhall left it (format 1): its tables, and objects, one superseded."""

import json
import sqlite3
import sys

TABLES = """
CREATE TABLE log (revision INTEGER PRIMARY KEY, resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
  previous INTEGER NOT NULL, value BLOB);
CREATE INDEX log_by_resource ON log (resource, revision);
CREATE TABLE current (resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL,
  PRIMARY KEY (resource, namespace, name)) WITHOUT ROWID;
CREATE TABLE owners (uid TEXT NOT NULL, resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
  PRIMARY KEY (uid, resource, namespace, name)) WITHOUT ROWID;
CREATE TABLE compacted (revision INTEGER NOT NULL);
INSERT INTO compacted VALUES (1);
"""


def write(path: str, number: int) -> None:
    """Write so many objects; object 0 has an owner and is changed once."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.executescript(TABLES)
    for index in range(number):
        references = [{"uid": "owner", "kind": "Job", "name": "j"}] if index == 0 else []
        metadata = {"name": f"x{index}", "namespace": "a", "uid": f"u{index}", "ownerReferences": references}
        value = json.dumps({"metadata": metadata, "spec": index}, separators=(",", ":")).encode()
        connection.execute("INSERT INTO log VALUES (?, 'pods', 'a', ?, 0, ?)", (index + 2, f"x{index}", value))
        connection.execute("INSERT INTO current VALUES ('pods', 'a', ?, ?)", (f"x{index}", index + 2))
    changed = json.dumps(
        {
            "metadata": {
                "name": "x0",
                "namespace": "a",
                "uid": "u0",
                "ownerReferences": [{"uid": "owner", "kind": "Job", "name": "j"}],
            },
            "spec": "changed",
        },
        separators=(",", ":"),
    ).encode()
    connection.execute("INSERT INTO log VALUES (?, 'pods', 'a', 'x0', 2, ?)", (number + 2, changed))
    connection.execute("UPDATE current SET revision = ? WHERE name = 'x0'", (number + 2,))
    connection.execute("INSERT INTO owners VALUES ('owner', 'pods', 'a', 'x0')")
    connection.execute("PRAGMA user_version=1")
    connection.commit()
    connection.close()


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]))
