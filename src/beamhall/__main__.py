"""``python -m beamhall``: the same as the ``beamhall`` command."""

from beamhall.cli.main import main

main()
