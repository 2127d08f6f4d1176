"""How older databases become new ones, by Alembic: ``env`` is what it runs, ``versions`` has one module a revision.

A new revision: change the records, add a module here that does the same to a database, and add its name to
``tables.REVISIONS``. A test holds the two against each other.
"""
