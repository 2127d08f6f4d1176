"""Ending Pods that no attempt waits for: of runs that were being ended when the service was, and of deleted runs."""

from collections.abc import Iterable

from beamhall.client.protocol import Selection
from beamhall.kernel.errors import NotFound
from beamhall.kernel.kinds import PERSISTENT_VOLUME_CLAIM, POD
from beamhall.kernel.objects import name_of, namespace_of, uid_of
from beamhall.pipelines.driver.claims import delete_claim
from beamhall.pipelines.driver.patience import patiently
from beamhall.pipelines.driver.tools import Tools
from beamhall.pipelines.steps.claims import WORKSPACE_LABEL
from beamhall.pipelines.steps.pods import RUN_LABEL

GRACE_S = 2
"""How long a step that is stopped has for its last words."""


async def stop_pods(tools: Tools, namespace: str, names: Iterable[str]) -> None:
    """Delete Pods, and wait until they are gone.

    Raises:
        ApiError: They may not be deleted.
    """
    for name in names:
        await _stop_pod(tools, namespace, name)


async def _stop_pod(tools: Tools, namespace: str, name: str) -> None:
    with tools.pods.watching(namespace, name) as watched:
        try:
            watched.see(await patiently(lambda: tools.client.get(POD, name, namespace)))
        except NotFound:
            return
        await delete_pod(tools, namespace, name, uid_of(watched.pod or {}))
        while not watched.is_gone:
            await watched.changed()
            if watched.is_doubtful:
                await tools.pods.recheck(namespace, name, watched)


async def delete_pod(tools: Tools, namespace: str, name: str, uid: str) -> None:
    """Have a Pod end within its grace. One that is gone is as good."""
    try:
        await patiently(lambda: tools.client.delete(POD, name, namespace, uid=uid, grace_period_s=GRACE_S))
    except NotFound:
        return


async def delete_all_of(tools: Tools, run_id: str) -> None:
    """Have all Pods of a run end, and its workspace go."""
    page = await patiently(lambda: tools.client.list(POD, Selection(labels=f"{RUN_LABEL}={run_id}")))
    for pod in page.items:
        await delete_pod(tools, namespace_of(pod), name_of(pod), uid_of(pod))
    mine = Selection(labels=f"{RUN_LABEL}={run_id},{WORKSPACE_LABEL}")
    page = await patiently(lambda: tools.client.list(PERSISTENT_VOLUME_CLAIM, mine))
    for claim in page.items:
        await delete_claim(tools.client, namespace_of(claim), name_of(claim))
