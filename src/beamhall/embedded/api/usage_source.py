"""Who knows what Pods and nodes use now: the node agent. Next: ``usage``, which serves it."""

from collections.abc import Mapping
from typing import Any, Protocol


class UsageSource(Protocol):
    """Knows what is used; the node agent implements it."""

    async def pods(self) -> Mapping[str, Mapping[str, Any]]:
        """Give ``timestamp``, ``window`` and ``containers`` of each Pod that runs, by its uid."""
        ...

    async def nodes(self) -> Mapping[str, Mapping[str, Any]]:
        """Give ``timestamp``, ``window`` and ``usage`` of each node, by its name."""
        ...
