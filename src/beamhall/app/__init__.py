"""The composition root: settings, building the parts, starting and stopping them.

The only place that knows every part, and the only one that knows whether the cluster is the embedded one. Start with
``service``.
"""
