"""Versioned objects in one SQLite file: one revision counter, optimistic writes, and a log to watch.

``store.Store`` is the only way in; ``tables`` has the SQL schema, ``reader`` the queries, ``writer`` the thread that
commits in groups, ``watch`` what follows the log, ``lock`` keeps other processes out. This package knows nothing of
kinds, users, schemas or HTTP: a row is (resource, namespace, name) and JSON. Only ``embedded.api`` and ``app`` open it.
"""
