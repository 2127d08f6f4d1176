"""Recurring runs: when the next run of a schedule is due, what it is called, and the loop that makes it.

``triggers``, ``planning`` and ``macros`` are pure; ``making`` works inside one transaction of the history; ``loop``
keeps time. Nothing here runs a pipeline, and nothing answers requests: that is in ``driver`` and ``api``. Start with
``planning``.
"""
