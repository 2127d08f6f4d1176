"""The front door: one port for every API, with authentication, the web page, health and metrics.

Start with ``front``, which puts the parts together as one ASGI application; ``listener`` is the port. The gateway must
not know what stands behind the applications that it is handed.
"""
