"""What a step's files have to do with other machines: what is fetched before it, what is stored after it.

A step sees ``s3://bucket/key`` at ``/s3/bucket/key``, as with the KFP SDK; what has no such path, ``https://`` say, it
reaches by itself. Where its directory or an input is somewhere
else, its command runs below the launcher, which is told by the environment what to fetch and to store. Knows nothing
of how that is done.

Source: reference "KFP", 2.8; kubeflow/pipelines ``backend/src/v2/component/launcher_v2.go``.
"""

from collections.abc import Mapping, Sequence

import msgspec

from beamhall.kernel.objects import Object
from beamhall.pipelines.engine.values import ArtifactRef
from beamhall.pipelines.spec.placeholders import WORKSPACE_METADATA, local_path
from beamhall.pipelines.steps.executor_input import artifact_json
from beamhall.pipelines.steps.platform.draft import Draft
from beamhall.pipelines.steps.values import Transfers

TRANSFERS_ENV = "BEAMHALL_TRANSFERS"
"""The variable that holds ``Transfers`` in JSON."""

_VOLUME = "beamhall-transfers"


def is_local(uri: str) -> bool:
    """Tell whether a URI is a path of this machine."""
    return uri.startswith(("/", "file://"))


def transfers_of(root: str, inputs: Mapping[str, Sequence[ArtifactRef]], *, is_moved: bool) -> Transfers | None:
    """Give what is to be fetched and stored around a step; None if nothing is, and it may run as it is.

    Args:
        root: URI of its directory.
        inputs: Its artifacts.
        is_moved: Whether it may leave an artifact at a path of its own choice, from where it is to be taken.
    """
    fetch = {
        ref.uri: path
        for refs in inputs.values()
        for ref in refs
        if not is_local(ref.uri)
        and ref.metadata.get(WORKSPACE_METADATA) is not True
        and (path := local_path(artifact_json(ref))).startswith("/")
    }
    if is_local(root) and not fetch and not is_moved:
        return None
    return Transfers(tuple(fetch.items()), ((local_path({"uri": root}), root),))


def is_paused(draft: Draft) -> bool:
    """Tell whether a step is to be held, so that people can look into its Pod: ``set_debug_pause`` of the SDK."""
    asked = {one["name"]: str(one.get("value", "")).lower() for one in draft.container.get("env", ())}
    return any(asked.get(f"ARGO_DEBUG_PAUSE_{when}") == "true" for when in ("BEFORE", "AFTER", "ON_ERROR"))


def apply_pause(draft: Draft) -> None:
    """Give a Pod room for the files by which a step that is held goes on, where Argo has them."""
    draft.mount("var-run-argo", {"emptyDir": {}}, {"mountPath": "/var/run/argo"}, is_handed=False)


def apply_transfers(transfers: Transfers, draft: Draft, env: Sequence[Object]) -> None:
    """Give a Pod room for what is fetched and stored; tell it what that is, and by ``env`` how stores are reached."""
    mounts = {f"/{path.split('/')[1]}" for path, uri in transfers.store if not is_local(uri)}
    mounts |= {f"/{path.split('/')[1]}" for _, path in transfers.fetch}
    for mount in sorted(mounts):
        draft.mount(f"{_VOLUME}{mount.replace('/', '-')}", {"emptyDir": {}}, {"mountPath": mount}, is_handed=False)
    text = msgspec.json.encode(transfers).decode()
    draft.container.setdefault("env", []).extend([{"name": TRANSFERS_ENV, "value": text}, *env])
