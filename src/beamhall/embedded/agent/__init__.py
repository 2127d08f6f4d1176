"""The kubelet of one machine: Pods that are bound to its node run as local processes.

``agent`` is the whole; ``lifecycle`` decides and ``status`` reports, both pure; ``pods`` carries out; ``sandbox`` is
the processes. ``care`` sees to probes and hooks, ``podvolumes`` to volumes, ``logfiles`` to logs. This package must not
know the API server, the store or the controllers: it has a ``Client``.
"""
