"""The ``beamhall`` command: parse, call, print. One file a command; ``main`` finds them by name."""
