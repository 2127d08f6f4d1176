"""``python -m beamhall.launcher``: the program of a Pod."""

import sys

from beamhall.launcher.launch import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
