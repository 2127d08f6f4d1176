"""Facts that only grow, in SQL: experiments, pipelines, runs and their tasks, artifacts, lineage, schedules, events.

Knows nothing of pipelines' documents, of HTTP, or of Kubernetes objects. Read ``records`` for what is kept, then
``protocol`` and ``history`` for how it is reached. SQLAlchemy costs 0.2 s and 28 MiB and is loaded on the first use:
users import ``history``, ``protocol``, ``queries`` and ``records`` alone.
"""
