"""The containers that run now, as limits and usage are concerned with them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from beamhall.embedded.agent.sandbox import Sandbox
from beamhall.kernel.objects import ReadOnlyObject


@dataclass(frozen=True, slots=True)
class Running:
    """A container that runs.

    Attributes:
        pod: Its Pod.
        container: Its part of the Pod's spec.
        sandbox: Its processes.
        started_at: When its program was started.
    """

    pod: ReadOnlyObject
    container: Mapping[str, Any]
    sandbox: Sandbox
    started_at: datetime


Everything = Callable[[], Sequence[Running]]
"""Gives the containers that run now."""
