"""PersistentVolumeClaims: each is bound to a volume that fits, or to a new one of its own.

On one machine a claim is a directory that the agent makes, so a new volume costs nothing and is made at once, also
where its class would wait for the first Pod. Which directory stands in the volume, never in anything that a user may
write. A directory is one volume's alone: a claim of the same name waits until that of the one before it is gone. Next:
the agent's ``reclaiming``, which removes directories.

Source: Kubernetes "Persistent Volumes", sections on binding, reclaiming, expanding, and on the phases.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from beamhall.embedded.workloads.resources import amount
from beamhall.kernel.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, STORAGE_CLASS
from beamhall.kernel.objects import (
    Object,
    ReadOnlyObject,
    is_being_deleted,
    key_of,
    labels_of,
    metadata_of,
    name_of,
    namespace_of,
    uid_of,
)
from beamhall.kernel.plan import Action, Create, Delete, Emit, Patch, Plan, View
from beamhall.kernel.selectors import selector_from_object

DEFAULT_CLASS = "beamhall"
PROVISIONER = "beamhall.io/directory"
DIRECTORY_FINALIZER = "beamhall.io/directory"
VOLUME_PROTECTION = "kubernetes.io/pv-protection"
_PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"


def plan_claims(_: ReadOnlyObject, view: View) -> Plan:
    """Bind all claims, and let volumes follow theirs."""
    actions: list[Action] = []
    taken: set[str] = set()
    for claim in view.list(PERSISTENT_VOLUME_CLAIM):
        if not is_being_deleted(claim):
            actions += _grow(claim, view) if _is_bound(claim) else _bind(claim, view, taken)
    for volume in view.list(PERSISTENT_VOLUME):
        actions += _follow_claim(volume, view)
    return Plan(actions)


def _is_bound(claim: ReadOnlyObject) -> bool:
    return (claim.get("status") or {}).get("phase") == "Bound" and bool((claim.get("spec") or {}).get("volumeName"))


def _bind(claim: ReadOnlyObject, view: View, taken: set[str]) -> Sequence[Action]:
    """Bind one claim: to the volume that it names, that is kept for it, that fits, or to a new one."""
    spec: Mapping[str, Any] = claim.get("spec") or {}
    named = str(spec.get("volumeName") or "")
    volume = view.get(PERSISTENT_VOLUME, named) if named else _fitting(claim, view, taken)
    if volume is None:
        # As in Kubernetes, a claim waits for the volume that it names.
        return () if named else _provision(claim, view)
    reference = volume["spec"].get("claimRef") or {}
    if reference and not _is_for(reference, claim):
        return ()
    taken.add(name_of(volume))
    return _join(claim, volume)


def _join(claim: ReadOnlyObject, volume: ReadOnlyObject) -> Sequence[Action]:
    actions: list[Action] = []
    if (volume["spec"].get("claimRef") or {}).get("uid") != uid_of(claim):
        patch = {"spec": {"claimRef": _reference(claim)}}
        actions.append(_patched(volume, patch))
    key, uid = key_of(PERSISTENT_VOLUME_CLAIM, claim), uid_of(claim)
    if not (claim.get("spec") or {}).get("volumeName"):
        actions.append(Patch(key, {"spec": {"volumeName": name_of(volume)}}, uid=uid))
    bound = {
        "phase": "Bound",
        "accessModes": list(volume["spec"].get("accessModes") or ()),
        "capacity": dict(volume["spec"].get("capacity") or {}),
    }
    return (*actions, Patch(key, {"status": bound}, subresource="status", uid=uid))


def _is_for(reference: Mapping[str, Any], claim: ReadOnlyObject) -> bool:
    """Tell whether a volume is kept for this claim; one without a uid is kept for whoever has that name."""
    same = (reference.get("namespace"), reference.get("name")) == (namespace_of(claim), name_of(claim))
    return same and reference.get("uid") in (None, uid_of(claim))


def _fitting(claim: ReadOnlyObject, view: View, taken: set[str]) -> ReadOnlyObject | None:
    """Find the volume that is kept for a claim, or the smallest free one of its class that is enough."""
    found: list[tuple[int, str, ReadOnlyObject]] = []
    for volume in view.list(PERSISTENT_VOLUME):
        if is_being_deleted(volume) or name_of(volume) in taken:
            continue
        reference = volume["spec"].get("claimRef") or {}
        if reference:
            if _is_for(reference, claim):
                return volume
        elif _fits(claim, volume):
            found.append((_size(volume["spec"].get("capacity")), name_of(volume), volume))
    return min(found, key=lambda entry: entry[:2])[2] if found else None


def _fits(claim: ReadOnlyObject, volume: ReadOnlyObject) -> bool:
    wanted: Mapping[str, Any] = claim.get("spec") or {}
    offered: Mapping[str, Any] = volume["spec"]
    selector = wanted.get("selector")
    return (
        (wanted.get("storageClassName") or "") == (offered.get("storageClassName") or "")
        and (wanted.get("volumeMode") or "Filesystem") == (offered.get("volumeMode") or "Filesystem")
        and set(wanted.get("accessModes") or ()) <= set(offered.get("accessModes") or ())
        and _size(offered.get("capacity")) >= _size((wanted.get("resources") or {}).get("requests"))
        and (not selector or selector_from_object(selector).matches(labels_of(volume)))
    )


def _size(amounts: Mapping[str, Any] | None) -> int:
    return amount("storage", (amounts or {}).get("storage", 0))


def _provision(claim: ReadOnlyObject, view: View) -> Sequence[Action]:
    """Make a volume for a claim. A class that is not there is served as the default one, so that manifests work."""
    spec: Mapping[str, Any] = claim.get("spec") or {}
    name = spec.get("storageClassName")
    if name == "":
        message = "no persistent volumes available for this claim and no storage class is set"
        return (Emit(PERSISTENT_VOLUME_CLAIM, claim, "FailedBinding", message),)
    found = view.get(STORAGE_CLASS, str(name or DEFAULT_CLASS))
    provisioner = str((found or {}).get("provisioner") or PROVISIONER)
    if provisioner != PROVISIONER:
        message = (
            f'waiting for a volume to be created, either by the external provisioner "{provisioner}" or manually by an '
            f"administrator; on one machine only {PROVISIONER} makes volumes by itself"
        )
        return (Emit(PERSISTENT_VOLUME_CLAIM, claim, "ExternalProvisioning", message),)
    path = _free_path(claim, view)
    if path is None:
        return ()  # the directory of the claim that had this name is still being removed
    volume = _volume(claim, found or {}, path)
    message = f"Successfully provisioned volume {name_of(volume)}"
    return (
        Create(PERSISTENT_VOLUME, volume),
        *_join(claim, volume),
        Emit(PERSISTENT_VOLUME_CLAIM, claim, "ProvisioningSucceeded", message),
    )


def _free_path(claim: ReadOnlyObject, view: View) -> str | None:
    """Give the directory for a new volume: named like the claim, with its uid where a kept volume has that one."""
    plain = f"volumes/{namespace_of(claim)}/{name_of(claim)}"
    for volume in view.list(PERSISTENT_VOLUME):
        if ((volume["spec"].get("hostPath") or {}).get("path")) != plain:
            continue
        is_going = is_being_deleted(volume) or volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
        return None if is_going else f"{plain}.{uid_of(claim)}"
    return plain


def _volume(claim: ReadOnlyObject, storage_class: ReadOnlyObject, path: str) -> Object:
    spec: Mapping[str, Any] = claim.get("spec") or {}
    return {
        "apiVersion": PERSISTENT_VOLUME.api_version,
        "kind": PERSISTENT_VOLUME.kind,
        "metadata": {
            "name": f"pvc-{uid_of(claim)}",
            "annotations": {_PROVISIONED_BY: PROVISIONER},
            "finalizers": [VOLUME_PROTECTION, DIRECTORY_FINALIZER],
        },
        "spec": {
            "capacity": dict((spec.get("resources") or {}).get("requests") or {}),
            "accessModes": list(spec.get("accessModes") or ["ReadWriteOnce"]),
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
            "storageClassName": spec.get("storageClassName") or DEFAULT_CLASS,
            "volumeMode": spec.get("volumeMode") or "Filesystem",
            "claimRef": _reference(claim),
            "hostPath": {"path": path},
        },
    }


def _reference(claim: ReadOnlyObject) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": namespace_of(claim),
        "name": name_of(claim),
        "uid": uid_of(claim),
    }


def _grow(claim: ReadOnlyObject, view: View) -> Iterator[Action]:
    """Give a bound claim the size that it asks for by now: a directory has room for any."""
    volume = view.get(PERSISTENT_VOLUME, str(claim["spec"]["volumeName"]))
    wanted = ((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage")
    if volume is None or _PROVISIONED_BY not in (metadata_of(volume).get("annotations") or {}):
        return
    if _size(volume["spec"].get("capacity")) < amount("storage", wanted or 0):
        yield Patch(key_of(PERSISTENT_VOLUME, volume), {"spec": {"capacity": {"storage": wanted}}}, uid=uid_of(volume))
    if _size((claim.get("status") or {}).get("capacity")) < amount("storage", wanted or 0):
        patch = {"status": {"capacity": {"storage": wanted}}}
        yield Patch(key_of(PERSISTENT_VOLUME_CLAIM, claim), patch, subresource="status", uid=uid_of(claim))


def _follow_claim(volume: ReadOnlyObject, view: View) -> Sequence[Action]:
    """Report how a volume is; without its claim it is deleted or released, as its reclaim policy says."""
    spec: Mapping[str, Any] = volume.get("spec") or {}
    phase = (volume.get("status") or {}).get("phase")
    key, uid = key_of(PERSISTENT_VOLUME, volume), uid_of(volume)
    is_claimed = _is_claimed(spec.get("claimRef") or {}, view)
    if is_being_deleted(volume):
        finalizers = list(metadata_of(volume).get("finalizers") or ())
        if is_claimed or VOLUME_PROTECTION not in finalizers:
            return ()
        rest = [finalizer for finalizer in finalizers if finalizer != VOLUME_PROTECTION]
        return (_patched(volume, {"metadata": {"finalizers": rest}}),)
    if (spec.get("claimRef") or {}).get("uid"):
        if not is_claimed and phase in ("Bound", "Released") and spec.get("persistentVolumeReclaimPolicy") == "Delete":
            return (Delete(key, uid),)
        wanted = "Bound" if is_claimed else "Released"
    else:
        wanted = "Available"
    return () if phase == wanted else (Patch(key, {"status": {"phase": wanted}}, subresource="status", uid=uid),)


def _patched(volume: ReadOnlyObject, patch: Mapping[str, Any]) -> Patch:
    """Change a volume only as the view shows it: what is claimed by somebody else meanwhile is not ours."""
    revision = str(metadata_of(volume).get("resourceVersion") or "")
    return Patch(key_of(PERSISTENT_VOLUME, volume), patch, uid=uid_of(volume), revision=revision)


def _is_claimed(reference: Mapping[str, Any], view: View) -> bool:
    if not reference.get("uid"):
        return False
    claim = view.get(PERSISTENT_VOLUME_CLAIM, str(reference.get("name") or ""), str(reference.get("namespace") or ""))
    return claim is not None and reference["uid"] == uid_of(claim)
