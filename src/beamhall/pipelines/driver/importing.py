"""Importing an artifact: one that is known already keeps its id, unless it is to be imported anew."""

import msgspec

from beamhall.history.protocol import Reading
from beamhall.history.queries import Order, Where
from beamhall.history.records import Artifact
from beamhall.pipelines.driver.tools import Tools
from beamhall.pipelines.engine.values import Outputs
from beamhall.pipelines.steps.values import Import

_LOOKED_AT = 100


async def imported(tools: Tools, namespace: str, wanted: Import) -> Outputs:
    """Give the outputs of an importer. Raises ``ServiceUnavailable`` where the history cannot be read."""
    artifact = wanted.artifact
    if not wanted.reimport:
        known = await tools.history.read(lambda tx: _known(tx, namespace, wanted))
        artifact = msgspec.structs.replace(artifact, id=known)
    return Outputs(artifacts={wanted.output: [artifact]})


def _known(tx: Reading, namespace: str, wanted: Import) -> str:
    """Give the id of the oldest artifact that is the same; empty if there is none."""
    artifact = wanted.artifact
    where = (Where("namespace", "=", namespace), Where("uri", "=", artifact.uri))
    for found in tx.find(Artifact, *where, order=Order(), limit=_LOOKED_AT):
        if found.type == artifact.type.title and found.metadata == artifact.metadata:
            return found.id
    return ""
