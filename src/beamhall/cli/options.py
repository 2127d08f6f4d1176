"""Options that commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def service_options(function: F) -> F:
    """Add the options that say which service is meant, and which namespace there: ``data`` and ``namespace``."""
    function = click.option("--data", type=click.Path(path_type=Path), help="The service's data directory.")(function)
    return click.option("--namespace", "-n", default="", help="Default: the service's.")(function)
