"""Pipelines: everything that the KFP SDK can express, from its compiled form to steps that run.

``spec`` (pure) reads and checks a specification and knows its types, placeholders and expressions; ``packages`` takes
one out of what users upload. ``api`` is the REST API of KFP over the tables of ``history``. Start with ``spec.ir``.
"""
