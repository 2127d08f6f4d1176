"""Claims of runs: those that a task makes, and the workspace that the tasks of a run share."""

from beamhall.client.protocol import Client
from beamhall.kernel.errors import AlreadyExists, NotFound
from beamhall.kernel.kinds import PERSISTENT_VOLUME_CLAIM
from beamhall.kernel.objects import Object, labels_of, name_of, namespace_of
from beamhall.pipelines.driver.patience import patiently
from beamhall.pipelines.steps.claims import workspace_of
from beamhall.pipelines.steps.facts import RunFacts
from beamhall.pipelines.steps.pods import RUN_LABEL


async def make_claim(client: Client, claim: Object) -> None:
    """Make a claim; one that the same run made before is as good.

    Raises:
        AlreadyExists: One of that name is somebody else's.
        ApiError: It may not be made, or not as it is.
    """
    try:
        await patiently(lambda: client.create(PERSISTENT_VOLUME_CLAIM, claim))
    except AlreadyExists:
        found = await patiently(lambda: client.get(PERSISTENT_VOLUME_CLAIM, name_of(claim), namespace_of(claim)))
        if labels_of(found).get(RUN_LABEL) != labels_of(claim).get(RUN_LABEL):
            raise


async def ensure_workspace(client: Client, facts: RunFacts) -> None:
    """Make the workspace of a run, if it is not there. Errors as for ``make_claim``."""
    claim = workspace_of(facts)
    if claim is not None:
        await make_claim(client, claim)


async def clear_workspace(client: Client, facts: RunFacts) -> None:
    """Delete the workspace of a run, if there is one."""
    if facts.workspace_claim:
        await delete_claim(client, facts.namespace, facts.workspace_claim)


async def delete_claim(client: Client, namespace: str, name: str) -> None:
    """Delete a claim; one that is gone is as good."""
    try:
        await patiently(lambda: client.delete(PERSISTENT_VOLUME_CLAIM, name, namespace))
    except NotFound:
        return
