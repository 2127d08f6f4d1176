"""Placeholder."""

from __future__ import annotations

from collections.abc import Callable

from beamhall.embedded.agent.sandbox.child import shim


def program(result: shim.Shim) -> Callable[[], None]:
    """Placeholder."""
    raise NotImplementedError
