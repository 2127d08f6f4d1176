"""Planners of the embedded cluster: scheduling, Jobs, Service endpoints, claims, service accounts.

What Kubernetes' own controllers and scheduler do, as pure planners over the same objects. Nothing here knows the
store, the API server or the agent. Start with ``registry``, then ``scheduling``.
"""
