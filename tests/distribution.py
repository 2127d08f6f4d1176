"""How tests are distributed over pytest's workers: modules go whole, in the order in which they are collected.

A module's services, runs and trainings then start once, not once in each worker. Groups by ``xdist_group`` would do the
same for some, but pytest 9.2 ignores them silently (pytest-dev/pytest-xdist#1386).
The services' tests come first and modules of unit tests, which are short, last: so the workers end together.
"""

import os
from typing import Any

from xdist.scheduler import LoadScopeScheduling

_MOST_WORKERS = 4
"""More would train more at a time than the memory of a usual machine holds."""


def number_of_workers() -> int:
    """Say how many workers share this machine: one a core, two on the smallest, since many tests wait."""
    said = os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS")
    return int(said) if said else min(max(len(os.sched_getaffinity(0)), 2), _MOST_WORKERS)


class ByModule(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each worker a module at a time."""

    def __init__(self, config: Any, log: Any = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # by the number of tests: those that train are few

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0]
