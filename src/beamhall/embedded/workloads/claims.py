"""PersistentVolumeClaims: every claim is bound at once, to a volume of its own.

On one machine a claim is a directory that the agent makes, so there is nothing to wait for. The PersistentVolume is
there for those who look; a claim that names one (``volumeName``) is bound to that.

Source: Kubernetes "Persistent Volumes", sections on binding and on the phases.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from beamhall.kernel.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM
from beamhall.kernel.objects import Object, ReadOnlyObject, is_being_deleted, key_of, name_of, namespace_of, uid_of
from beamhall.kernel.plan import Action, Create, Delete, Patch, Plan, View

STORAGE_CLASS = "beamhall"


def plan_claims(_: ReadOnlyObject, view: View) -> Plan:
    """Bind all claims, and let volumes follow theirs."""
    actions: list[Action] = []
    for claim in view.list(PERSISTENT_VOLUME_CLAIM):
        actions += _bind(claim, view)
    for volume in view.list(PERSISTENT_VOLUME):
        actions += _follow_claim(volume, view)
    return Plan(actions)


def _bind(claim: ReadOnlyObject, view: View) -> Sequence[Action]:
    """Bind one claim to the volume that it names, or to a new one."""
    spec: Mapping[str, Any] = claim.get("spec") or {}
    if is_being_deleted(claim) or ((claim.get("status") or {}).get("phase") == "Bound" and spec.get("volumeName")):
        return ()
    actions: list[Action] = []
    name = str(spec.get("volumeName") or f"pvc-{uid_of(claim)}")
    volume = view.get(PERSISTENT_VOLUME, name)
    if volume is None:
        if spec.get("volumeName"):
            return ()  # as in Kubernetes: the claim waits for the volume that it names
        volume = _volume(name, claim)
        actions.append(Create(PERSISTENT_VOLUME, dict(volume)))
    elif not volume["spec"].get("claimRef"):
        patch = {"spec": {"claimRef": _reference(claim)}}
        actions.append(Patch(key_of(PERSISTENT_VOLUME, volume), patch, uid=uid_of(volume)))
    elif volume["spec"]["claimRef"].get("uid") not in (None, uid_of(claim)):
        return ()  # somebody else's
    key, uid = key_of(PERSISTENT_VOLUME_CLAIM, claim), uid_of(claim)
    if not spec.get("volumeName"):
        actions.append(Patch(key, {"spec": {"volumeName": name}}, uid=uid))
    bound = {
        "phase": "Bound",
        "accessModes": list(volume["spec"].get("accessModes") or ()),
        "capacity": dict(volume["spec"].get("capacity") or {}),
    }
    return (*actions, Patch(key, {"status": bound}, subresource="status", uid=uid))


def _follow_claim(volume: ReadOnlyObject, view: View) -> Sequence[Action]:
    """Report how a volume is; without its claim it is deleted or released, as its reclaim policy says."""
    spec: Mapping[str, Any] = volume.get("spec") or {}
    phase = (volume.get("status") or {}).get("phase")
    if is_being_deleted(volume):
        return ()
    reference = spec.get("claimRef")
    if reference:
        claim = view.get(PERSISTENT_VOLUME_CLAIM, reference.get("name") or "", reference.get("namespace") or "")
        is_there = claim is not None and reference.get("uid") in (None, uid_of(claim))
        if not is_there and phase == "Bound" and spec.get("persistentVolumeReclaimPolicy") == "Delete":
            return (Delete(key_of(PERSISTENT_VOLUME, volume), uid_of(volume)),)
        wanted = "Bound" if is_there else "Released"
    else:
        wanted = "Available"
    if phase == wanted:
        return ()
    key = key_of(PERSISTENT_VOLUME, volume)
    return (Patch(key, {"status": {"phase": wanted}}, subresource="status", uid=uid_of(volume)),)


def _reference(claim: ReadOnlyObject) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": namespace_of(claim),
        "name": name_of(claim),
        "uid": uid_of(claim),
    }


def _volume(name: str, claim: ReadOnlyObject) -> Object:
    spec: Mapping[str, Any] = claim.get("spec") or {}
    path = f"{namespace_of(claim)}/{name_of(claim)}"
    return {
        "apiVersion": PERSISTENT_VOLUME.api_version,
        "kind": PERSISTENT_VOLUME.kind,
        "metadata": {"name": name},
        "spec": {
            "capacity": dict((spec.get("resources") or {}).get("requests") or {}),
            "accessModes": list(spec.get("accessModes") or ["ReadWriteOnce"]),
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": spec.get("storageClassName") or STORAGE_CLASS,
            "claimRef": _reference(claim),
            "hostPath": {"path": f"volumes/{path}"},
        },
    }
