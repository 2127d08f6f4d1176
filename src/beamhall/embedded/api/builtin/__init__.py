"""What the embedded API server must know of Kubernetes' built-in kinds: schemas, defaults, checks, tables, protobuf.

Pure functions on plain objects; nothing here stores, serves or watches anything. Start with ``kinds``. A new kind is
one line there, one in ``scripts/builtin_definitions.py``, and what it wants of ``defaults``, ``validation`` and
``tables``.
"""
