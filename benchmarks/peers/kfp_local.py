"""A pipeline of no-op components by ``kfp.local`` with its SubprocessRunner; prints how long it took, in seconds.

Arguments: ``chain`` or ``fanout``, how many steps, and ``pip`` or ``no-pip``: with pip each step first asks pip for the
SDK, as it ships.
"""

import sys
import tempfile
import time
from typing import Any

from kfp import dsl, local


def components(*, has_pip: bool) -> Any:
    """Give a component that gives back what it was given."""

    @dsl.component(base_image="python:3.11", install_kfp_package=has_pip)
    def passed_on(number: int) -> int:
        return number

    return passed_on


def main(shape: str, steps: int, *, has_pip: bool) -> None:
    """Run it; see the module."""
    step = components(has_pip=has_pip)

    @dsl.pipeline
    def chain() -> None:
        task = step(number=0)
        for _ in range(steps - 1):
            task = step(number=task.output)

    @dsl.pipeline
    def fanout() -> None:
        with dsl.ParallelFor(list(range(steps))) as number:
            step(number=number)

    with tempfile.TemporaryDirectory() as root:
        local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=root)
        began = time.perf_counter()
        (chain if shape == "chain" else fanout)()
        print(time.perf_counter() - began)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), has_pip=sys.argv[3] == "pip")
