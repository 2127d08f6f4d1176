"""Runs the benchmarks that are named, or all, and prints JSON lines."""

import importlib
import json
import sys
from pathlib import Path

NAMES = [file.stem for file in sorted(Path(__file__).parent.glob("bench_*.py"))]


def main() -> None:
    """Run them one after another: they share the machine's cores."""
    asked = [f"bench_{name}" for name in sys.argv[1:]] or NAMES
    for name in asked:
        if name not in NAMES:
            sys.exit(
                f"no benchmark {name.removeprefix('bench_')}; there are {[n.removeprefix('bench_') for n in NAMES]}"
            )
        for figure in importlib.import_module(f"benchmarks.{name}").measure():
            print(json.dumps(figure), flush=True)


main()
