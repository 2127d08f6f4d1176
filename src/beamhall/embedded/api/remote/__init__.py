"""Streams into Pods over WebSocket: ``exec``, ``attach`` and ``portforward``.

``upgrades`` is where a request comes in. ``commands`` serves exec and attach: several streams in one WebSocket, as
``client.channels`` writes them. ``forwarding`` serves ports on the same channels, ``tunnel`` serves them on ``spdy``
frames, as kubectl wants it.
"""
