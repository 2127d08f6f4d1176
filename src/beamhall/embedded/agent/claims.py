"""Claims as a Pod's volumes need them: with the volume that they are bound to; ephemeral ones are made here.

What a claim is on the disk is ``volumes``' business.

Source: Kubernetes "Ephemeral Volumes", section "PersistentVolumeClaim naming".
"""

import asyncio
from contextlib import suppress
from typing import Any

from beamhall.client.protocol import Client
from beamhall.embedded.agent.projections import VolumeError, claim_of, volumes_of
from beamhall.kernel.errors import AlreadyExists, NotFound
from beamhall.kernel.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD, Kind
from beamhall.kernel.objects import Object, ReadOnlyObject, controller_of, namespace_of, owner_reference, uid_of

_BINDING_ATTEMPTS = 20
_BINDING_PERIOD_S = 0.05

Found = dict[tuple[Kind, str], Object | None]


async def claim_and_volume(client: Client, pod: ReadOnlyObject, name: str) -> Found:
    """Read a claim, and its volume once it is bound, which takes a moment after it was made.

    Returns:
        Both by kind and name; what there is not is None, or left out.

    Raises:
        VolumeError: An ephemeral volume's claim has the name of somebody else's.
    """
    template = _template_of(pod, name)
    if template is not None:
        await _make(client, pod, name, template)
    claim: Object | None = None
    for _ in range(_BINDING_ATTEMPTS):
        try:
            claim = await client.get(PERSISTENT_VOLUME_CLAIM, name, namespace_of(pod))
        except NotFound:
            return {(PERSISTENT_VOLUME_CLAIM, name): None}
        if volume_name := str((claim.get("spec") or {}).get("volumeName") or ""):
            volume: Object | None = None
            with suppress(NotFound):
                volume = await client.get(PERSISTENT_VOLUME, volume_name)
            return {(PERSISTENT_VOLUME_CLAIM, name): claim, (PERSISTENT_VOLUME, volume_name): volume}
        await asyncio.sleep(_BINDING_PERIOD_S)
    return {(PERSISTENT_VOLUME_CLAIM, name): claim}


def _template_of(pod: ReadOnlyObject, claim: str) -> Any:
    """Give the template of the ephemeral volume whose claim this is; None: it is no ephemeral volume's."""
    for volume in volumes_of(pod):
        if volume.get("ephemeral") is not None and claim_of(pod, volume) == claim:
            return volume["ephemeral"].get("volumeClaimTemplate") or {}
    return None


async def _make(client: Client, pod: ReadOnlyObject, name: str, template: dict[str, Any]) -> None:
    """Make the claim of an ephemeral volume, which goes with its Pod."""
    metadata = dict(template.get("metadata") or {})
    metadata |= {"name": name, "namespace": namespace_of(pod), "ownerReferences": [owner_reference(POD, pod)]}
    try:
        await client.create(PERSISTENT_VOLUME_CLAIM, {"metadata": metadata, "spec": template.get("spec") or {}})
    except AlreadyExists:
        found = await client.get(PERSISTENT_VOLUME_CLAIM, name, namespace_of(pod))
        if (controller_of(found) or {}).get("uid") != uid_of(pod):
            raise VolumeError(f'PVC "{name}" was not created for this Pod (Pod is not owner)') from None
