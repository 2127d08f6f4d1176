"""``/api/jobs``: training jobs of every kind as people look at them: one list, one stream of events, one log.

Start with ``application``.
"""
