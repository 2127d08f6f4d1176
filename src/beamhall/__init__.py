"""Beamhall: a centralised machine-learning service for a laboratory, in one process.

The tree is the house plan: ``kernel`` (plain values) at the bottom, ``cli`` at the top, and every import points
downward. ``docs/guide/architecture.md`` walks through the floors.
"""

__version__ = "0.1.0"
