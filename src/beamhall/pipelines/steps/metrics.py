"""Which numbers an artifact tells: scalar metrics, which the history keeps as values of their own.

Source: ``kfp/dsl/types/artifact_types.py``, ``Metrics``; KEP 12147 of Kubeflow Pipelines, ``Artifact.number_value``.
"""

import math
from collections.abc import Mapping

from beamhall.pipelines.engine.values import ArtifactRef

METRICS_TYPE = "system.Metrics"

_RESERVED = frozenset(("display_name", "store_session_info", "_kfp_workspace"))


def metrics_of(artifact: ArtifactRef) -> Mapping[str, float]:
    """Give the scalar metrics of an artifact by name; none unless it is a ``system.Metrics``.

    Numbers of its metadata that are finite count, and text that is one (the SDK writes NumPy scalars so); booleans and
    all else do not.
    """
    if artifact.type.title != METRICS_TYPE:
        return {}
    found = {name: _number(value) for name, value in artifact.metadata.items() if name not in _RESERVED}
    return {name: value for name, value in found.items() if value is not None}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
